//! Floor 1. The one error of the runtime: one variant per distinct remedy, `Copy`, its text inline, so that
//! reporting a failure never allocates.
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

/// What every fallible function of the runtime returns.
pub type Result<T> = core::result::Result<T, Error>;

/// Why something could not be done. Each variant calls for a different remedy, which its documentation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused the file. Check the path and its permissions.
    #[error("{0}")]
    Io(Text),
    /// The path or descriptor is a directory, a pipe, a socket or a device, which cannot be mapped. Copy it to a file.
    #[error("{0}")]
    NotAFile(Text),
    /// The bytes are not a GGUF file at all. Check that the path names a model.
    #[error("not a GGUF file: {0}")]
    NotGguf(Text),
    /// The file is damaged or hostile at `offset` (in bytes from its start). Fetch it again.
    #[error("malformed GGUF at byte {offset}: {what}")]
    Malformed {
        /// Bytes from the start of the file.
        offset: u64,
        /// What was found, and what could have been there.
        what: Text,
    },
    /// The file is sound, but its metadata, tensors or vocabulary do not make a model: convert it again. Or what a model computes is no
    /// number any more: fetch it again.
    #[error("inconsistent model: {0}")]
    Inconsistent(Text),
    /// The file is sound and this version cannot run it. Use another file, or a newer version.
    #[error("unsupported: {0}")]
    Unsupported(Text),
    /// The file grew shorter after it was mapped. Open it again.
    #[error("the model file changed after it was opened: {0}")]
    Changed(Text),
    /// Memory that was asked for cannot be had. Ask for a smaller context.
    #[error("{what} needs {bytes} bytes of memory, which cannot be had")]
    Memory {
        /// What the memory was for.
        what: &'static str,
        /// How much was asked for.
        bytes: u64,
    },
    /// A value given by the caller makes no sense. Change the call.
    #[error("{0}")]
    Argument(Text),
    /// The tokens do not fit into the session's context. Shorten the prompt, or open a larger context.
    #[error("{needed} tokens do not fit into a context of {context}")]
    ContextFull {
        /// Positions that the call would have filled.
        needed: usize,
        /// Positions that the session has.
        context: usize,
    },
    /// The caller's cancel was seen. The session stays usable; it holds the batches that were through.
    #[error("cancelled")]
    Cancelled,
    /// A saved session is damaged, or another model's. Read the prompt again instead.
    #[error("saved session: {0}")]
    Saved(Text),
    /// A grammar or a JSON schema is wrong, or takes more than its limits allow. Change it.
    #[error("grammar: {0}")]
    Grammar(Text),
    /// A chat template could not be parsed or rendered. Use another template, or none.
    #[error("chat template: {0}")]
    Template(Text),
}

impl Error {
    /// The same of one file of a model in several, counted from 0: its words say which.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_part(mut self, which: usize) -> Error {
        let what = match &mut self {
            Error::Io(what) | Error::NotAFile(what) | Error::NotGguf(what) => what,
            Error::Malformed { what, .. } | Error::Inconsistent(what) => what,
            Error::Unsupported(what) | Error::Argument(what) => what,
            _ => return self,
        };
        *what = text!("part {}: {what}", which + 1);
        self
    }
}

/// A short UTF-8 text held in place. What does not fit is cut, and the cut is shown as `...`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    len: u8,
    bytes: [u8; Text::CAPACITY],
}

impl Text {
    /// The most bytes a text can hold.
    pub const CAPACITY: usize = 223;
    const CUT: &'static str = "...";

    /// Formats `arguments` into a text. Control characters, which a hostile file could smuggle into a terminal,
    /// are replaced.
    #[cold]
    #[inline(never)]
    pub fn format(arguments: fmt::Arguments<'_>) -> Text {
        let mut text = Text { len: 0, bytes: [0; Text::CAPACITY] };
        // The only error a Text returns is that it is full, and then it holds what fitted.
        let _ = text.write_fmt(arguments);
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    fn push(&mut self, c: char, limit: usize) -> bool {
        let start = usize::from(self.len);
        let end = start + c.len_utf8();
        if end > limit {
            return false;
        }
        c.encode_utf8(&mut self.bytes[start..end]);
        self.len = end as u8;
        true
    }
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            if !self.push(c, Text::CAPACITY - Text::CUT.len()) {
                Text::CUT.chars().for_each(|dot| {
                    self.push(dot, Text::CAPACITY);
                });
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A path in an error: of a long one only its end, which tells more than its beginning, so that there is room for what was wrong.
#[cfg(feature = "std")]
pub(crate) struct Ending<'a>(pub(crate) &'a std::path::Path);

#[cfg(feature = "std")]
impl fmt::Display for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 88;
        let Some(path) = self.0.to_str() else { return self.0.display().fmt(f) };
        let mut start = path.len().saturating_sub(SHOWN);
        while !path.is_char_boundary(start) {
            start += 1;
        }
        if start > 0 {
            f.write_str(Text::CUT)?;
        }
        f.write_str(&path[start..])
    }
}

/// `text!("tensor {name}: ...")`: formats into a [`Text`].
macro_rules! text {
    ($($arguments:tt)*) => { $crate::error::Text::format(format_args!($($arguments)*)) };
}
pub(crate) use text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character() {
        let long = "é".repeat(400);
        let text = text!("{long}");
        assert!(text.as_str().ends_with("é..."));
        assert!(text.as_str().len() <= Text::CAPACITY);
    }

    #[test]
    fn a_long_path_leaves_room_for_what_was_wrong() {
        let show = |path: &str| text!("cannot open {}: why", Ending(std::path::Path::new(path)));
        assert_eq!(show("/models/a.gguf").as_str(), "cannot open /models/a.gguf: why");
        let long = alloc::format!("/{}/a.gguf", "é/".repeat(400));
        let shown = show(&long);
        assert!(shown.as_str().starts_with("cannot open ..."), "{shown}");
        assert!(shown.as_str().ends_with("é/é//a.gguf: why"), "{shown}");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(text!("a\x1b[2Jb").as_str(), "a\u{fffd}[2Jb");
    }

    #[test]
    fn an_error_is_small_enough_to_return_by_value() {
        assert!(size_of::<Error>() <= 256);
    }
}
