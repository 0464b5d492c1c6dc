//! `bantam run`: an answer to a prompt, the continuation of a text, or a chat.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bantam::chat::{ChatTemplate, Conversation as Talk, Speaker};
use bantam::constrain::{Constrainer, Grammar};
use bantam::{EncodeOptions, Model, Pool, Sampler, Session, SessionOptions, StopReason};
use clap::Args;

use crate::adapters::{Adapters, Opened};
use crate::answer::{Drawing, Rule, Turn, generate};
use crate::chat::converse;
use crate::constraining::{Constraining, Templating};
use crate::conversation::{Conversation, too_long};
use crate::drafting::Drafting;
use crate::ending::Ending;
use crate::failure::{self, Failure, Result};
use crate::interrupt::on_interrupt;
use crate::options::{Cache, Machine, ModelFile};
use crate::output::note;
use crate::prompt::{Input, Prompt, empty};
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
  bantam run model.gguf --messages chat.json -p \"Why?\"  the next question of a conversation
  bantam run model.gguf --raw -p \"Once upon a time\"     continue a text
  bantam run large.gguf --model-draft small.gguf -v     guess with a smaller model
  bantam run model.gguf --lora tone.gguf=0.5            with a LoRA adapter, at half its strength

Exit codes: 0 success, 1 error, 2 wrong usage, 3 an answer that ended before its schema or grammar did, 130 interrupted.";

/// Answer a prompt, or chat
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Run {
    #[command(flatten)]
    file: ModelFile,
    #[command(flatten)]
    prompt: Prompt,
    /// Say how to answer, instead of what the model's template says by default; not beside --messages that begin with a system
    /// message
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Continue the text as it stands, without the model's chat template; print only the continuation
    ///
    /// Control tokens that are written in the text, such as <|im_end|>, are read as such: a text of strangers could speak as the
    /// system does. Give it without --raw, where it cannot.
    #[arg(long)]
    raw: bool,
    /// Say on standard error what runs, with which seed, how fast and in how much memory
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten, next_help_heading = "End of the answer")]
    ending: Ending,
    #[command(flatten, next_help_heading = "Sampling")]
    sampling: Sampling,
    #[command(flatten, next_help_heading = "Form of the answer")]
    constraining: Constraining,
    #[command(flatten, next_help_heading = "Chat template")]
    templating: Templating,
    #[command(flatten, next_help_heading = "Confidence")]
    report: Report,
    #[command(flatten, next_help_heading = "Context")]
    memory: Memory,
    #[command(flatten)]
    prompt_cache: PromptCache,
    #[command(flatten, next_help_heading = "Guesses ahead")]
    drafting: Drafting,
    #[command(flatten, next_help_heading = "Adapters")]
    adapters: Adapters,
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

impl Run {
    pub(crate) fn execute(&self) -> Result<()> {
        self.check()?;
        self.prompt_cache.check()?;
        let grammar = self.constraining.grammar()?;
        let tools = self.constraining.tools()?;
        let variables = self.templating.variables()?;
        let prompt = self.prompt.read()?;
        if let Input::Messages(messages) = &prompt
            && self.system.is_some()
            && messages.first().is_some_and(|first| first.speaker == Speaker::System)
        {
            return Err(Failure::Usage(
                "--system and the first of the --messages both say how to answer: leave one of them out"
                    .into(),
            ));
        }
        // After the prompt, whose reading may take Ctrl-C for itself.
        let cancel = on_interrupt()?;
        let start = Instant::now();
        let model = self.machine.open(&self.file)?;
        let logprobs = self.report.logprobs.unwrap_or(0).into();
        let sampler = self.sampling.sampler(model.tokenizer(), logprobs)?;
        // A model that writes nothing has no template either: the session says what is to be done with it.
        let is_raw = self.raw || !model.writes();
        let untold = |error| Failure::Message(format!("{error} (--raw)"));
        let template = if is_raw { None } else { Some(ChatTemplate::from_model(&model).map_err(untold)?) };
        let grammar = match &template {
            Some(template) if !tools.is_empty() => {
                self.constraining.calls(template, model.tokenizer(), &tools)?
            }
            _ => grammar,
        };
        let constraint = grammar.map(|grammar| rule(&model, grammar)).transpose();
        let constraint = constraint.map_err(|error| self.constraining.blame(&error))?;
        let adapters = self.adapters.open(&model)?;
        let pool = self.machine.pool()?;
        let mut session = self.open_session(&model, &pool, &adapters)?;
        adapters.set(&mut session)?;
        session.set_cancel(cancel.clone());
        let trained = model.hyper().context_length;
        if session.context() > trained {
            note(&format!(
                "note: the model was trained on {trained} tokens; what lies behind them may make no sense"
            ));
        }
        if self.verbose {
            self.describe(&session, start.elapsed(), &sampler);
            self.adapters.describe(&adapters);
        }
        self.prompt_cache.restore(&mut session)?;
        let mut generator = self.ending.generator(&session, sampler)?;
        let drafter = self.drafting.drafter(&self.machine, &session, &pool, self.verbose)?;
        generator.set_drafter(Some(drafter));
        let report = Report { message: !tools.is_empty(), ..self.report };
        let mut drawing = Drawing { generator, constraint, report };
        let context = session.context();
        let conversation = |session, template| -> Result<Conversation> {
            let mut talk = Talk::new(template);
            talk.set_tools(tools);
            talk.set_variables(variables)?;
            Ok(Conversation::new(session, talk, self.prompt_cache.clone(), self.system.as_deref()))
        };
        let turn = match (prompt, template) {
            (Input::Text(text), None) => self.continue_text(&mut session, &text, &mut drawing)?,
            (Input::Text(text), Some(_)) if text.trim().is_empty() => return Err(empty()),
            (Input::Text(text), Some(template)) => {
                conversation(session, template)?.say(&text, &mut drawing)?
            }
            (Input::Messages(messages), Some(template)) => {
                conversation(session, template)?.go_on(messages, &mut drawing)?
            }
            (Input::Messages(_), None) => {
                return Err(Failure::Usage(
                    "--raw continues a text, and --messages are a conversation".into(),
                ));
            }
            (Input::Terminal(_), None) => {
                return Err(Failure::Usage("--raw needs a text to continue: give it with -p or -f".into()));
            }
            (Input::Terminal(_), Some(_)) if report.message => {
                return Err(Failure::Usage(
                    "--tools answers one question: give it with -p, -f or --messages".into(),
                ));
            }
            (Input::Terminal(terminal), Some(template)) => {
                let mut conversation = conversation(session, template)?;
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
        // What there is of such an answer was shown: it may not parse.
        if turn.answer.complete == Some(false) { Err(Failure::Unfinished) } else { Ok(()) }
    }

    /// An error if options contradict each other.
    fn check(&self) -> Result<()> {
        if self.raw && self.system.is_some() {
            return Err(Failure::Usage("--raw has no place for a --system text".into()));
        }
        if self.raw && self.constraining.has_tools() {
            return Err(Failure::Usage("--raw has no place for --tools".into()));
        }
        self.drafting.check()
    }

    fn open_session(&self, model: &Model, pool: &Arc<Pool>, adapters: &Opened) -> Result<Session> {
        let options = SessionOptions {
            context: self.memory.context.map(|context| context as usize),
            kv_format: self.memory.cache.kv_format,
            draft_max: self.drafting.draft_max.into(),
            draft_min: self.drafting.draft_min.into(),
            adapter_rank: adapters.rank(),
            ..SessionOptions::default()
        };
        Session::open(model, pool.clone(), &options).map_err(|error| match error {
            bantam::Error::Unsupported(_) if !model.writes() => {
                Failure::Message(format!("{error} (bantam embed)"))
            }
            _ => failure::unaffordable(error),
        })
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

/// Makes rules of `grammar`, which is tried once to see whether it is one.
fn rule(model: &Model, grammar: Grammar) -> bantam::Result<Rule> {
    let constrainer = Constrainer::new(model)?;
    constrainer.constraint(&grammar)?;
    Ok(Box::new(move || Ok(Box::new(constrainer.constraint(&grammar)?))))
}
