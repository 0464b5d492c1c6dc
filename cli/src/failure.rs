//! Why a command ended early, as one line on standard error and an exit code.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use crate::output::note;

/// What every step of a command returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The exit code of a wrong command line.
const USAGE: u8 = 2;
/// The exit code of a command stopped by Ctrl-C: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ended early.
pub(crate) enum Failure {
    /// Something went wrong; the line says what.
    Message(String),
    /// The options contradict each other.
    Usage(String),
    /// Ctrl-C.
    Interrupted,
    /// Whoever read standard output has gone: `bantam ... | head`. Nothing is wrong.
    Closed,
}

impl Failure {
    /// Says what happened, and which exit code it is.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Failure::Message(message) => {
                note(&format!("error: {}", one_line(message)));
                ExitCode::FAILURE
            }
            Failure::Usage(message) => usage(&format!("error: {message}")),
            Failure::Interrupted => ExitCode::from(INTERRUPTED),
            Failure::Closed => ExitCode::SUCCESS,
        }
    }

    /// A failure to write to standard output.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Message(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<bantam::Error> for Failure {
    fn from(error: bantam::Error) -> Failure {
        match error {
            bantam::Error::Cancelled => Failure::Interrupted,
            _ => Failure::Message(error.to_string()),
        }
    }
}

/// Reports a wrong command line. The parser's explanation is many lines: what comes before its usage summary is told as
/// one, the rest is what `--help` is for.
pub(crate) fn usage(explanation: &str) -> ExitCode {
    let lines = explanation.lines().map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<&str> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    note(&format!("{} (see --help)", one_line(&told.join(" "))));
    ExitCode::from(USAGE)
}

/// `text` without what could break a line or steer a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
