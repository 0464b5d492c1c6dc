//! Standard output and standard error. A standard output that nobody reads any more is not an error, and ends the command.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use bantam::Utf8Stream;

use crate::failure::{Failure, Result};

/// An answer on standard output: whole characters, shown as soon as they are there.
pub(crate) struct Output {
    characters: Utf8Stream,
    /// What has been written.
    text: String,
}

impl Output {
    pub(crate) fn new() -> Output {
        Output { characters: Utf8Stream::new(), text: String::new() }
    }

    /// Adds the bytes of a token, and shows the characters that are now whole.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<()> {
        let before = self.text.len();
        self.characters.push(piece, |part| self.text.push_str(part));
        self.show(before)
    }

    /// Ends the answer, and the line it stands in; returns what it was.
    pub(crate) fn finish(mut self) -> Result<String> {
        let before = self.text.len();
        self.characters.finish(|part| self.text.push_str(part));
        self.show(before)?;
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            print("\n")?;
        }
        Ok(self.text)
    }

    fn show(&self, from: usize) -> Result<()> {
        if from == self.text.len() { Ok(()) } else { print(&self.text[from..]) }
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
