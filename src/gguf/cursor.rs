//! Floor 1. Reads little-endian values one after the other, every read checked against the bytes left.
#![forbid(unsafe_code)]

use crate::error::{Error, Result, text};

/// A position in the bytes of a file.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], position: usize) -> Cursor<'a> {
        Cursor { bytes, position: position.min(bytes.len()) }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The next `len` bytes; `what` says in an error what was to be read.
    pub(crate) fn take(&mut self, len: u64, what: &str) -> Result<&'a [u8]> {
        let taken = usize::try_from(len).ok().and_then(|len| self.bytes[self.position..].get(..len));
        let Some(taken) = taken else {
            let left = self.left();
            return Err(self.malformed(format_args!("{what} needs {len} bytes and the file has {left} left")));
        };
        self.position += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length in 8 bytes, then as many bytes of text.
    pub(crate) fn string(&mut self, what: &str) -> Result<&'a [u8]> {
        let len = self.u64(what)?;
        self.take(len, what)
    }

    /// An error at the present position.
    pub(crate) fn malformed(&self, what: core::fmt::Arguments<'_>) -> Error {
        malformed(self.position, what)
    }
}

/// An error at byte `offset` of the file.
pub(crate) fn malformed(offset: usize, what: core::fmt::Arguments<'_>) -> Error {
    Error::Malformed { offset: offset as u64, what: text!("{what}") }
}
