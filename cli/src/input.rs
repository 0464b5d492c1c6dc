//! Text that is read from a file or from standard input.
#![forbid(unsafe_code)]

use std::io::{Read, stdin};
use std::path::Path;

use crate::failure::{Failure, Result};

/// All of a file, or of standard input if there is none, as it stands.
pub(crate) fn read_text(file: Option<&Path>) -> Result<String> {
    let name = file.map_or_else(|| "standard input".into(), |path| path.display().to_string());
    let mut bytes = Vec::new();
    let read = match file {
        Some(path) => std::fs::read(path).map(|read| bytes = read),
        None => stdin().lock().read_to_end(&mut bytes).map(|_| ()),
    };
    read.map_err(|error| Failure::Message(format!("cannot read {name}: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::Message(format!("{name} is not UTF-8 text: byte {at} begins no character"))
    })
}
