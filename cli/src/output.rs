//! Standard output and standard error. A standard output that nobody reads any more is not an error, and ends the command.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use crate::failure::{Failure, Result};

/// An answer on standard output, shown as soon as it is there.
pub(crate) struct Output {
    /// What has been written.
    text: String,
    shown: bool,
}

impl Output {
    /// An answer that is shown, or only kept.
    pub(crate) fn new(shown: bool) -> Output {
        Output { text: String::new(), shown }
    }

    /// Adds a piece of text, and shows it.
    pub(crate) fn push(&mut self, piece: &str) -> Result<()> {
        self.text.push_str(piece);
        if self.shown && !piece.is_empty() { print(piece) } else { Ok(()) }
    }

    /// Ends the answer, and the line it stands in; returns what it was.
    pub(crate) fn finish(self) -> Result<String> {
        if self.shown && !self.text.is_empty() && !self.text.ends_with('\n') {
            print("\n")?;
        }
        Ok(self.text)
    }
}

/// Writes `text` to standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes a line to standard error.
pub(crate) fn note(line: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr(), "{line}");
}
