//! The command line, and what several subcommands take from it: the model, the threads, the backend.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bantam::mmap::Mapping;
use bantam::{Backend, Cpus, KvFormat, Model, ModelOptions, Pool, Priority, gguf};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::bench::Bench;
use crate::detokenize::Detokenize;
use crate::embed::Embed;
use crate::failure::{self, Failure, Result};
use crate::inspect::Inspect;
use crate::output;
use crate::run::Run;
use crate::tokenize::Tokenize;

const EXAMPLES: &str = "\
Examples:
  bantam run model.gguf -p \"Why is the sky blue?\"      answer one question
  bantam run model.gguf                                chat
  bantam embed encoder.gguf \"a hen\" \"a bird\" --matrix   how near texts are to each other
  bantam inspect model.gguf                            what the file holds
  bantam tokenize model.gguf --text \"Hello\"            text to tokens
  bantam bench model.gguf                              how fast it is here

`bantam COMMAND --help` explains each command's options.

Exit codes: 0 success, 1 error, 2 wrong usage, 3 an answer that ended before its schema or grammar did, 130 interrupted.";

/// Runs 4-bit GGUF language models: the weights are used where the file is mapped, and never copied.
#[derive(Parser)]
#[command(name = "bantam", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Run(Box<Run>),
    Embed(Box<Embed>),
    Inspect(Inspect),
    Tokenize(Tokenize),
    Detokenize(Detokenize),
    Bench(Bench),
}

/// Reads the command line. Help and version are printed and end the command, as do mistakes.
pub(crate) fn parse() -> std::result::Result<Options, ExitCode> {
    // `-n -1` is a wrong number of tokens, and not an option `-1`.
    let negative = |argument: Arg| match argument.is_positional() || !argument.get_action().takes_values() {
        true => argument,
        false => argument.allow_negative_numbers(true),
    };
    // Of an option that is given twice the last one counts, so that a script's can be overridden; lists gather.
    let command =
        Options::command().mut_subcommands(|command| command.mut_args(negative).args_override_self(true));
    let parsed = command.try_get_matches().and_then(|matches| Options::from_arg_matches(&matches));
    parsed.map_err(|error| {
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            output::note(&error.render().to_string());
            return ExitCode::from(failure::USAGE);
        }
        if error.use_stderr() {
            return failure::usage(&error.render().to_string());
        }
        // Help that nobody reads any more is no failure.
        let _ = error.print();
        ExitCode::SUCCESS
    })
}

/// The model file alone.
#[derive(Args)]
pub(crate) struct ModelFile {
    /// The model: a GGUF file
    #[arg(value_name = "MODEL")]
    pub(crate) path: PathBuf,
}

impl ModelFile {
    pub(crate) fn map(&self) -> Result<Mapping> {
        Mapping::open(&self.path).map_err(|error| self.blame(error))
    }

    /// The file's metadata and directory, whether or not it can be run.
    pub(crate) fn open(&self) -> Result<gguf::File> {
        gguf::File::open(self.map()?).map_err(|error| self.blame(error))
    }

    /// Whether it is an adapter, which comes beside its model.
    fn is_adapter(&self) -> bool {
        self.open().is_ok_and(|file| file.string("general.type") == Ok(Some("adapter")))
    }

    /// An error about the file, with its path.
    pub(crate) fn blame(&self, error: bantam::Error) -> Failure {
        match error {
            // Says the path itself.
            bantam::Error::Io(_) | bantam::Error::NotAFile(_) => error.into(),
            bantam::Error::Malformed { .. } => Failure::Message(format!(
                "{}: {error}; the file is damaged or was cut off: fetch it again",
                self.path.display()
            )),
            _ => Failure::Message(format!("{}: {error}", self.path.display())),
        }
    }
}

/// What runs a model.
#[derive(Args)]
pub(crate) struct Machine {
    /// Threads that compute [default: one per CPU that this process may use, and of a phone's CPUs only the fast ones]
    ///
    /// More than there are CPUs do no harm and no good: those beyond stay asleep. Fewer leave CPUs to others, and keep a
    /// phone cool.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=Pool::THREADS_MAX as i64))]
    pub(crate) threads: Option<u16>,
    /// Priority of the threads beside others that want the CPU: low, normal, medium or high, or -1 to 2
    ///
    /// It changes nothing on an idle machine. `low` lets everything else go first; what is above normal, systems allow to
    /// few.
    #[arg(long, value_name = "PRIORITY", value_parser = priority, allow_hyphen_values = true)]
    prio: Option<Priority>,
    /// Force the kernels of one instruction set [default: the best that this CPU has]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Backend::names()))]
    pub(crate) backend: Option<String>,
}

/// How a session keeps the tokens behind it.
#[derive(Args)]
pub(crate) struct Cache {
    /// How keys and values of past tokens are kept: f16; q8_0, half as large; q4_0, a quarter, and less exact
    #[arg(long = "cache-type", value_name = "TYPE", default_value = KvFormat::F16.name(), value_parser = kv_format(),
        ignore_case = true)]
    pub(crate) kv_format: KvFormat,
}

fn kv_format() -> impl TypedValueParser<Value = KvFormat> {
    let by_name =
        |name: String| KvFormat::ALL.iter().copied().find(|format| format.name().eq_ignore_ascii_case(&name));
    PossibleValuesParser::new(KvFormat::ALL.iter().map(|format| format.name()))
        .map(move |name| by_name(name).unwrap_or_default())
}

impl Machine {
    pub(crate) fn open(&self, file: &ModelFile) -> Result<Model> {
        let options = ModelOptions { backend: self.backend.as_deref() };
        Model::from_mapping(file.map()?, &options).map_err(|error| match error {
            bantam::Error::Argument(_) => error.into(),
            bantam::Error::Unsupported(_) if file.is_adapter() => {
                Failure::Message(format!("{}: {error} (--lora)", file.path.display()))
            }
            _ => file.blame(error),
        })
    }

    pub(crate) fn pool(&self) -> Result<Arc<Pool>> {
        self.prioritize()?;
        Ok(Arc::new(Pool::new(self.threads.map_or_else(|| self.cpus().threads(), usize::from))?))
    }

    /// Gives this thread the priority that was asked for, and so those that it starts later.
    pub(crate) fn prioritize(&self) -> Result<()> {
        Ok(self.prio.map_or(Ok(()), Priority::set_for_this_thread)?)
    }

    /// The CPUs that `pool` chooses the threads by.
    pub(crate) fn cpus(&self) -> Cpus {
        Cpus::detect()
    }
}

/// A priority by name, or by the number that llama.cpp gives it.
fn priority(text: &str) -> std::result::Result<Priority, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "low" | "-1" => Ok(Priority::Low),
        "normal" | "0" => Ok(Priority::Normal),
        "medium" | "1" => Ok(Priority::Medium),
        "high" | "2" => Ok(Priority::High),
        _ => Err("it must be low, normal, medium or high, or -1 to 2"),
    }
}
