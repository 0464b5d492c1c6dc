//! `bantam run`: an answer to a prompt, the continuation of a text, or a chat.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bantam::chat::ChatTemplate;
use bantam::{
    DRAFT_MAX, DraftModel, Drafter, EncodeOptions, Error, GenerateOptions, Generator, Lookup, Model,
    Overflow, Pool, Sampler, Session, SessionOptions, StopReason,
};
use clap::Args;

use crate::answer::{Drawing, Turn, generate};
use crate::chat::{Terminal, converse};
use crate::conversation::{Conversation, too_long};
use crate::failure::{Failure, Result};
use crate::input;
use crate::interrupt::on_interrupt;
use crate::options::{Cache, Machine, ModelFile};
use crate::output::note;
use crate::prompt_cache::PromptCache;
use crate::report::Report;
use crate::sampling::Sampling;
use crate::{progress, units};

const EXPLANATION: &str = "\
The answer is streamed to standard output, as text or as lines of JSON (--logprobs, --confidence), and nothing else is. Without a prompt, on a terminal, it is a chat: Ctrl-C stops \
an answer, a second one leaves. Tokens are guessed ahead by what followed the last ones before, which makes answers that repeat their prompt come \
faster and changes none; -v shows how many guesses were right. One line break at the end of a file or of standard input is not part of the prompt.

Examples:
  bantam run model.gguf -p \"Why is the sky blue?\"
  bantam run model.gguf -f question.txt --temp 0 -n 200 > answer.txt
  git diff | bantam run model.gguf --system \"Write a commit message for this change.\" -
  bantam run model.gguf --raw -p \"Once upon a time\"     continue a text
  bantam run large.gguf --model-draft small.gguf -v     guess with a smaller model

Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted.";

/// Answer a prompt, or chat
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Run {
    #[command(flatten)]
    file: ModelFile,
    #[command(flatten)]
    prompt: Prompt,
    /// Say how to answer, instead of what the model's template says by default
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Continue the text as it stands, without the model's chat template; print only the continuation
    #[arg(long)]
    raw: bool,
    /// Say on standard error what runs, with which seed, how fast and in how much memory
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten, next_help_heading = "End of the answer")]
    ending: Ending,
    #[command(flatten, next_help_heading = "Sampling")]
    sampling: Sampling,
    #[command(flatten, next_help_heading = "Confidence")]
    report: Report,
    #[command(flatten, next_help_heading = "Context")]
    memory: Memory,
    #[command(flatten)]
    prompt_cache: PromptCache,
    #[command(flatten, next_help_heading = "Guesses ahead")]
    drafting: Drafting,
    #[command(flatten, next_help_heading = "Machine")]
    machine: Machine,
}

/// What is kept of prompt and answer.
#[derive(Args)]
struct Memory {
    /// Tokens that prompt and answer may have together [default: 4096, or the model's own if that is smaller]
    #[arg(short = 'c', long = "ctx", visible_alias = "ctx-size", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    #[command(flatten)]
    cache: Cache,
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
    #[arg(value_name = "-", value_parser = dash, conflicts_with_all = ["text", "file"])]
    stdin: Option<String>,
}

/// What ends an answer, beside the model.
#[derive(Args)]
struct Ending {
    /// Most tokens of the answer [default: as many as the context holds]
    #[arg(short = 'n', long = "max", visible_alias = "n-predict", value_name = "TOKENS")]
    limit: Option<u32>,
    /// End the answer before this text; may be given several times
    #[arg(short = 'r', long, visible_alias = "reverse-prompt", value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on behind the tokens with which the model ends its answers
    #[arg(long)]
    ignore_eos: bool,
    /// When the context is full in the middle of an answer, forget half of what lies behind the first --keep tokens and go on
    #[arg(long)]
    context_shift: bool,
    /// Tokens at the start that --context-shift never forgets
    #[arg(long, value_name = "N", default_value_t = 4, requires = "context_shift")]
    keep: u32,
}

impl Ending {
    fn generator(&self, session: &Session, sampler: Sampler) -> Result<Generator> {
        let stop: Vec<&str> = self.stop.iter().map(String::as_str).collect();
        let options = GenerateOptions {
            max_tokens: self.limit.map_or(usize::MAX, |limit| limit as usize),
            stop: &stop,
            ignore_end: self.ignore_eos,
            overflow: match self.context_shift {
                true => Overflow::Shift { keep: self.keep as usize },
                false => Overflow::Stop,
            },
            ..GenerateOptions::default()
        };
        Generator::new(session.model(), session.context(), sampler, &options).map_err(|error| match error {
            Error::Argument(_) => Failure::Usage(format!("--stop: {error}")),
            _ => error.into(),
        })
    }
}

/// How tokens are guessed ahead: several are read at once where guesses turn out right. It changes no answer.
#[derive(Args)]
struct Drafting {
    /// Most tokens that are guessed ahead and verified at once; 0 guesses none
    #[arg(long, value_name = "N", default_value_t = DRAFT_MAX as u8, value_parser = clap::value_parser!(u8).range(0..=DRAFT_MAX as i64))]
    draft_max: u8,
    /// Fewest tokens that are verified at once, even if that seems not to pay
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=DRAFT_MAX as i64))]
    draft_min: u8,
    /// Guess with this smaller model of the same vocabulary, instead of looking up what followed the last tokens where they
    /// stood before, in the prompt or in the answer
    #[arg(long, visible_alias = "md", value_name = "MODEL")]
    model_draft: Option<PathBuf>,
}

impl Run {
    pub(crate) fn execute(&self) -> Result<()> {
        if self.raw && self.system.is_some() {
            return Err(Failure::Usage("--raw has no place for a --system text".into()));
        }
        let Drafting { draft_max, draft_min, .. } = self.drafting;
        if draft_min > draft_max {
            return Err(Failure::Usage(format!(
                "--draft-min {draft_min} is more than --draft-max {draft_max}"
            )));
        }
        let prompt = self.prompt.read()?;
        // After the prompt, whose reading may take Ctrl-C for itself.
        let cancel = on_interrupt()?;
        let start = Instant::now();
        let model = self.machine.open(&self.file)?;
        let logprobs = self.report.logprobs.unwrap_or(0).into();
        let sampler = self.sampling.sampler(model.tokenizer(), logprobs)?;
        let template = if self.raw { None } else { Some(ChatTemplate::from_model(&model)?) };
        let pool = self.machine.pool()?;
        let mut session = self.open_session(&model, &pool)?;
        session.set_cancel(cancel.clone());
        let trained = model.hyper().context_length;
        if session.context() > trained {
            note(&format!(
                "note: the model was trained on {trained} tokens; what lies behind them may make no sense"
            ));
        }
        if self.verbose {
            self.describe(&session, start.elapsed(), &sampler);
        }
        self.prompt_cache.restore(&mut session)?;
        let mut generator = self.ending.generator(&session, sampler)?;
        generator.set_drafter(Some(self.drafter(&session, &pool)?));
        let mut drawing = Drawing { generator, constraint: None, report: self.report };
        let context = session.context();
        let conversation = |session, template| {
            Conversation::new(session, template, self.prompt_cache.clone(), self.system.as_deref())
        };
        let turn = match (prompt, template) {
            (Input::Text(text), None) => self.continue_text(&mut session, &text, &mut drawing)?,
            (Input::Text(text), Some(_)) if text.trim().is_empty() => return Err(empty()),
            (Input::Text(text), Some(template)) => {
                conversation(session, template).say(&text, &mut drawing)?
            }
            (Input::Terminal(_), None) => {
                return Err(Failure::Usage("--raw needs a text to continue: give it with -p or -f".into()));
            }
            (Input::Terminal(terminal), Some(template)) => {
                let mut conversation = conversation(session, template);
                return converse(terminal, &mut conversation, &mut drawing, &cancel, self.verbose);
            }
        };
        if self.verbose {
            turn.describe();
        }
        if turn.answer.stop == StopReason::Cancelled {
            return Err(Failure::Interrupted);
        }
        turn.warn(context, "ask for more with --ctx, or --context-shift");
        Ok(())
    }

    fn open_session(&self, model: &Model, pool: &Arc<Pool>) -> Result<Session> {
        let options = SessionOptions {
            context: self.memory.context.map(|context| context as usize),
            kv_format: self.memory.cache.kv_format,
            draft_max: self.drafting.draft_max.into(),
            draft_min: self.drafting.draft_min.into(),
            ..SessionOptions::default()
        };
        Session::open(model, pool.clone(), &options).map_err(unaffordable)
    }

    /// Who guesses for `session`.
    fn drafter(&self, session: &Session, pool: &Arc<Pool>) -> Result<Box<dyn Drafter + Send>> {
        let Some(path) = self.drafting.model_draft.as_ref().filter(|_| self.drafting.draft_max > 0) else {
            return Ok(Box::new(Lookup::new()));
        };
        let file = ModelFile { path: path.clone() };
        let model = self.machine.open(&file)?;
        let options = SessionOptions { context: Some(session.context()), ..SessionOptions::default() };
        let mut guessing = Session::open(&model, pool.clone(), &options).map_err(unaffordable)?;
        guessing.set_cancel(session.cancel());
        if self.verbose {
            let memory = units::bytes(guessing.memory().total_bytes() as u64);
            note(&format!("draft model: {}, {memory} of memory", path.display()));
        }
        let drafter = DraftModel::new(guessing, session.model()).map_err(|error| file.blame(error))?;
        Ok(Box::new(drafter))
    }

    /// Reads `text` as it stands, and continues it.
    fn continue_text(&self, session: &mut Session, text: &str, drawing: &mut Drawing) -> Result<Turn> {
        let tokenizer = session.model().tokenizer();
        let mut tokens = Vec::new();
        // A text that is to be continued gets no EOS, whatever the metadata says.
        tokens.extend(tokenizer.bos().filter(|_| tokenizer.adds_bos()));
        tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: true }, &mut tokens)?;
        if tokens.is_empty() {
            return Err(empty());
        }
        if tokens.len() > session.context() {
            return Err(too_long(tokens.len(), session.context()));
        }
        let start = Instant::now();
        let read = progress::prompt(session, &tokens)?;
        let reading = start.elapsed();
        self.prompt_cache.save_prompt(session, read)?;
        let answer = generate(session, drawing)?;
        self.prompt_cache.save_answer(session)?;
        Ok(Turn { read, reading, answer })
    }

    fn describe(&self, session: &Session, loading: Duration, sampler: &Sampler) {
        let (model, plan) = (session.model(), session.memory());
        let (file_bytes, ms) = (model.file().mapping().bytes().len() as u64, loading.as_secs_f64() * 1e3);
        note(&format!(
            "model: {}, {}, opened in {ms:.1} ms",
            self.file.path.display(),
            units::bytes(file_bytes)
        ));
        let threads = units::plural(session.threads(), "thread");
        note(&format!("backend: {}, {threads} on {}", model.backend().name(), self.machine.cpus()));
        note(&format!(
            "memory: {} for a context of {}, {} for buffers",
            units::bytes(plan.kv_bytes as u64),
            units::plural(plan.context, "token"),
            units::bytes(plan.scratch_bytes as u64)
        ));
        note(&format!("seed: {}", sampler.seed()));
    }
}

/// The one argument that may follow the model.
fn dash(argument: &str) -> std::result::Result<String, &'static str> {
    if argument == "-" { Ok(argument.to_owned()) } else { Err("a prompt is given with -p") }
}

/// The error of a session that could not be opened, for want of memory most likely.
fn unaffordable(error: Error) -> Failure {
    match error {
        Error::Memory { .. } => Failure::Message(format!("{error}: ask for less with --ctx or --cache-type")),
        _ => error.into(),
    }
}

fn empty() -> Failure {
    Failure::Message("the prompt is empty: there is nothing to answer".into())
}

/// What is to be answered.
enum Input {
    /// One prompt.
    Text(String),
    /// Whatever is typed.
    Terminal(Terminal),
}

impl Prompt {
    fn read(&self) -> Result<Input> {
        if let Some(text) = &self.text {
            return Ok(Input::Text(text.clone()));
        }
        if self.file.is_none() && self.stdin.is_none() && stdin().is_terminal() {
            return Ok(Input::Terminal(Terminal::open()?));
        }
        let mut text = input::read_text(self.file.as_deref())?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(Input::Text(text))
    }
}
