//! `bantam run`: one answer to a prompt.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::io::{IsTerminal, Read, stdin};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bantam::{EncodeOptions, Error, Model, Sampler, SamplerOptions, Session, SessionOptions, TokenId};
use clap::Args;

use crate::answer::{End, generate};
use crate::failure::{Failure, Result};
use crate::interrupt::on_interrupt;
use crate::options::{Machine, ModelFile};
use crate::output::note;
use crate::{progress, units};

const EXPLANATION: &str = "\
The answer is streamed to standard output, and nothing else is.

Examples:
  bantam run model.gguf -p \"Why is the sky blue?\"
  bantam run model.gguf -f question.txt --temp 0 -n 200 > answer.txt
  git diff | bantam run model.gguf --system \"Write a commit message for this change.\" -
  bantam run model.gguf --raw -p \"Once upon a time\"     continue a text

Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted.";

/// Answer a prompt, or chat
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Run {
    #[command(flatten)]
    file: ModelFile,
    #[command(flatten)]
    prompt: Prompt,
    /// Most tokens of the answer [default: as many as the context holds]
    #[arg(short = 'n', long = "max", value_name = "TOKENS")]
    limit: Option<u32>,
    #[command(flatten)]
    sampling: Sampling,
    /// Tokens that prompt and answer may have together [default: 4096, or the model's own if that is smaller]
    #[arg(long = "ctx", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    #[command(flatten)]
    machine: Machine,
    /// Continue the text as it stands, without the model's chat template; print only the continuation
    #[arg(long)]
    raw: bool,
    /// Say on standard error what runs, with which seed, how fast and in how much memory
    #[arg(short, long)]
    verbose: bool,
}

/// Where the prompt comes from. One line break at the end of a file or of standard input is not part of it.
#[derive(Args)]
struct Prompt {
    /// The prompt
    #[arg(short = 'p', long = "prompt", value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read the prompt from a file
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Read the prompt from standard input, as is done without a prompt when standard input is not a terminal
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true, conflicts_with_all = ["text", "file"])]
    stdin: Option<String>,
}

/// How tokens are chosen.
#[derive(Args)]
struct Sampling {
    /// Temperature: below 1 sharpens, above 1 flattens, 0 always takes the likeliest token
    #[arg(long = "temp", value_name = "T", default_value_t = 0.8, allow_negative_numbers = true)]
    temperature: f32,
    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 40)]
    top_k: u32,
    /// Keep the likeliest tokens until their probabilities add up to P; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    top_p: f32,
    /// Keep the tokens that are at least P times as likely as the likeliest; 0 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.05, allow_negative_numbers = true)]
    min_p: f32,
    /// Seed of the random draws: the same seed gives the same answer [default: a fresh one; -v shows it]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl Run {
    pub(crate) fn execute(&self) -> Result<()> {
        let mut sampler = self.sampling.sampler()?;
        let text = self.prompt.read()?;
        let cancel = on_interrupt()?;
        let start = Instant::now();
        let model = self.machine.open(&self.file)?;
        let tokens = self.encode(&model, &text)?;
        let mut session = self.open_session(&model, tokens.len())?;
        session.set_cancel(cancel);
        if self.verbose {
            self.describe(&session, start.elapsed(), &sampler);
        }
        let start = Instant::now();
        progress::prefill(&mut session, &tokens)?;
        let reading = start.elapsed();
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let answer = generate(&mut session, &mut sampler, limit, &mut Vec::new())?;
        if self.verbose {
            note(&format!("prompt: {}", rate(tokens.len(), reading)));
            note(&format!("answer: {}", rate(answer.drawn, answer.time)));
        }
        match answer.end {
            End::Model | End::Limit => Ok(()),
            End::Context => {
                note(&format!(
                    "note: the answer ends here: the context of {} is full (--ctx)",
                    session.context()
                ));
                Ok(())
            }
            End::Interrupt => Err(Failure::Interrupted),
        }
    }

    /// The tokens of the prompt.
    fn encode(&self, model: &Model, text: &str) -> Result<Vec<TokenId>> {
        let tokenizer = model.tokenizer();
        let mut tokens = Vec::new();
        let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
        tokens.extend(tokenizer.bos().filter(|_| tokenizer.adds_bos()));
        tokenizer.encode(text, options, &mut tokens)?;
        Ok(tokens)
    }

    /// A session in which a prompt of `needed` tokens fits.
    fn open_session(&self, model: &Model, needed: usize) -> Result<Session> {
        let mut options = SessionOptions::default();
        options.context = self.context.map(|context| context as usize);
        let pool = self.machine.pool()?;
        let context = Session::plan(model, &options, pool.threads())?.context;
        if needed > context {
            return Err(Failure::Message(format!(
                "the prompt has {needed} tokens and the context holds {context}: shorten it, or ask for more with --ctx"
            )));
        }
        Session::open(model, pool, &options).map_err(|error| match error {
            Error::Memory { .. } => Failure::Message(format!("{error}: ask for less with --ctx")),
            _ => error.into(),
        })
    }

    fn describe(&self, session: &Session, loading: Duration, sampler: &Sampler) {
        let (model, plan) = (session.model(), session.memory());
        let (file_bytes, ms) = (model.file().mapping().bytes().len() as u64, loading.as_secs_f64() * 1e3);
        note(&format!(
            "model: {}, {}, opened in {ms:.1} ms",
            self.file.path.display(),
            units::bytes(file_bytes)
        ));
        note(&format!("backend: {}, {}", model.backend().name(), units::plural(session.threads(), "thread")));
        note(&format!(
            "memory: {} for a context of {}, {} for buffers",
            units::bytes(plan.kv_bytes as u64),
            units::plural(plan.context, "token"),
            units::bytes(plan.scratch_bytes as u64)
        ));
        note(&format!("seed: {}", sampler.options().seed));
    }
}

impl Sampling {
    fn sampler(&self) -> Result<Sampler> {
        let mut options = SamplerOptions::default();
        options.temperature = self.temperature;
        options.top_k = self.top_k as usize;
        options.top_p = self.top_p;
        options.min_p = self.min_p;
        // The standard library's hasher is keyed by the system's randomness.
        options.seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        Sampler::new(options).map_err(|error| Failure::Usage(error.to_string()))
    }
}

impl Prompt {
    fn read(&self) -> Result<String> {
        if let Some(text) = &self.text {
            return Ok(text.clone());
        }
        let mut bytes = Vec::new();
        let name = match &self.file {
            Some(path) => {
                let read = std::fs::read(path);
                bytes = read
                    .map_err(|error| Failure::Message(format!("cannot read {}: {error}", path.display())))?;
                path.display().to_string()
            }
            None if self.stdin.is_none() && stdin().is_terminal() => {
                return Err(Failure::Usage("there is no prompt: give one with -p or -f".into()));
            }
            None => {
                let read = stdin().lock().read_to_end(&mut bytes);
                read.map_err(|error| Failure::Message(format!("cannot read standard input: {error}")))?;
                "standard input".to_owned()
            }
        };
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::Message(format!("{name} is not UTF-8 text: byte {at} begins no character"))
        })?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

/// `36 tokens in 72.0 ms, 500.0 tokens/s`.
fn rate(tokens: usize, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    format!(
        "{} in {:.1} ms, {:.1} tokens/s",
        units::plural(tokens, "token"),
        seconds * 1e3,
        tokens as f64 / seconds
    )
}
