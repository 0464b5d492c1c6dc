//! Why a command ended early, as one line on standard error and an exit code.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use crate::output::note;

/// What every step of a command returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The exit code of a wrong command line.
pub(crate) const USAGE: u8 = 2;
/// The exit code of an answer that ended before its grammar did.
pub(crate) const UNFINISHED: u8 = 3;
/// The exit code of a command stopped by Ctrl-C: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ended early.
pub(crate) enum Failure {
    /// Something went wrong; the line says what.
    Message(String),
    /// The options contradict each other.
    Usage(String),
    /// The answer ended before its grammar did, which was said.
    Unfinished,
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
            Failure::Unfinished => ExitCode::from(UNFINISHED),
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

/// The error of a session that could not be opened, for want of memory most likely.
pub(crate) fn unaffordable(error: bantam::Error) -> Failure {
    match error {
        bantam::Error::Memory { .. } => {
            Failure::Message(format!("{error}: ask for less with --ctx or --cache-type"))
        }
        _ => error.into(),
    }
}

/// Reports a wrong command line. The parser's explanation is many lines: what comes before its usage summary is told as
/// one, the rest is what `--help` is for.
pub(crate) fn usage(explanation: &str) -> ExitCode {
    note(&format!("{} (see --help)", one_line(&told(explanation))));
    ExitCode::from(USAGE)
}

/// The lines before the usage summary, joined. The tip to put `--` in front of what looks like an option is told where it helps,
/// to the texts of `embed`: the other commands take no argument that may begin so, and would refuse it in other words.
fn told(explanation: &str) -> String {
    let takes_texts = explanation.lines().any(|line| line.starts_with("Usage: bantam embed "));
    let is_told = |line: &&str| !line.is_empty() && (takes_texts || !line.starts_with("tip: to pass "));
    let lines = explanation.lines().map(str::trim).filter(is_told);
    let mut told = String::new();
    for line in lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")) {
        // A list or the values that are possible continue the sentence; a tip is one of its own.
        let joint = if told.is_empty() || told.ends_with(':') || line.starts_with('[') { " " } else { "; " };
        told += joint;
        told += line;
    }
    told.trim().to_owned()
}

/// `text` without what could break a line or steer a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_becomes_a_line() {
        let explanation =
            "error: the following were not provided:\n  <MODEL>\n\n  tip: think\n\nUsage: bantam\n\nmore";
        assert_eq!(told(explanation), "error: the following were not provided: <MODEL>; tip: think");
        let explanation = "error: unexpected argument '--x' found\n\n  tip: to pass '--x' as a value, use '-- --x'\n\nUsage: y";
        assert_eq!(told(explanation), "error: unexpected argument '--x' found");
        let explanation = explanation.replace("Usage: y", "Usage: bantam embed <MODEL> <TEXT>...");
        assert_eq!(
            told(&explanation),
            "error: unexpected argument '--x' found; tip: to pass '--x' as a value, use '-- --x'"
        );
        let explanation = "error: invalid value 'x' for '--y'\n  [possible values: a, b]\n\nFor more";
        assert_eq!(told(explanation), "error: invalid value 'x' for '--y' [possible values: a, b]");
    }

    #[test]
    fn a_line_cannot_steer_a_terminal() {
        assert_eq!(one_line("a\x1b[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    }
}
