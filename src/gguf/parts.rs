//! Floor 1. The files that a model lies in: one, or several, each of which has a header and a directory of its own. The first one's
//! metadata are the model's.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::ops::Range;

use super::cursor::{Cursor, malformed};
use super::directory::Directory;
use super::{
    ALIGNMENT, Entry, TensorInfo, find, read_alignment, read_count, read_entry, read_tensor, read_version,
};
use crate::error::{Error, Result, text};
use crate::mmap::Mapping;

/// One file of a model, its metadata read.
pub(super) struct Part<'a> {
    pub(super) version: u32,
    pub(super) metadata: Directory<Entry>,
    pub(super) tensor_count: u64,
    /// Where it lies among the mapped bytes.
    pub(super) range: Range<usize>,
    /// Which of several it is.
    which: Option<usize>,
    alignment: u64,
    /// At its next tensor.
    cursor: Cursor<'a>,
}

/// Reads headers and metadata of all files.
pub(super) fn read(mapping: &Mapping) -> Result<Vec<Part<'_>>> {
    let bytes = mapping.bytes();
    let mut parts: Vec<Part<'_>> = Vec::new();
    while let Some(range) = mapping.part(parts.len()) {
        let no_memory = |_| Error::Memory { what: "the file's parts", bytes: size_of::<Part<'_>>() as u64 };
        parts.try_reserve(1).map_err(no_memory)?;
        let which = mapping.part(1).map(|_| parts.len());
        let part = read_part(bytes, range.clone(), which);
        parts.push(part.map_err(|error| blame(error, range.start, which))?);
    }
    for (i, part) in parts.iter().enumerate() {
        let number = |key: &str| find(&part.metadata, bytes, key).and_then(|value| value.as_integer());
        let count = number("split.count").unwrap_or(1).max(1);
        if count != parts.len() as i128 {
            return Err(Error::Unsupported(text!(
                "the model is split into {count} files, and {} came: open the first by its path \
                 (name-00001-of-{count:05}.gguf), or all of them",
                parts.len()
            )));
        }
        let which = number("split.no").unwrap_or(i as i128);
        if which != i as i128 {
            return Err(Error::Inconsistent(text!("file {} says that it is part {}", i + 1, which + 1)));
        }
    }
    Ok(parts)
}

/// Reads the header and the metadata of a file.
fn read_part(bytes: &[u8], range: Range<usize>, which: Option<usize>) -> Result<Part<'_>> {
    let mut cursor = Cursor::new(&bytes[..range.end], range.start);
    let version = read_version(&mut cursor)?;
    // With the fewest bytes that a tensor and an entry can take.
    let tensor_count = read_count(&mut cursor, 8 + 4 + 4 + 8, "the number of tensors")?;
    let entry_count = read_count(&mut cursor, 8 + 4 + 1, "the number of metadata entries")?;
    let metadata = Directory::read(bytes, entry_count, || read_entry(&mut cursor))?;
    let alignment = read_alignment(find(&metadata, bytes, ALIGNMENT))?;
    Ok(Part { version, metadata, tensor_count, range, which, alignment, cursor })
}

/// What is wrong with a file, in its own bytes; which of several it is.
#[cold]
#[inline(never)]
fn blame(mut error: Error, start: usize, which: Option<usize>) -> Error {
    if let Error::Malformed { offset, .. } = &mut error {
        *offset = offset.saturating_sub(start as u64);
    }
    which.map_or(error, |which| error.of_part(which))
}

impl Part<'_> {
    /// What is wrong with this file.
    pub(super) fn blame(&self, error: Error) -> Error {
        blame(error, self.range.start, self.which)
    }

    /// Where the data of its tensors begins, once all of these were read.
    pub(super) fn data_start(&self) -> Result<usize> {
        let directory = (self.cursor.position() - self.range.start) as u64;
        let start = directory.checked_next_multiple_of(self.alignment);
        let start = start
            .and_then(|start| usize::try_from(start).ok())
            .and_then(|start| start.checked_add(self.range.start));
        start.ok_or_else(|| {
            let alignment = self.alignment;
            malformed(
                self.cursor.position(),
                format_args!("alignment {alignment} puts the data out of reach"),
            )
        })
    }
}

/// The tensors of all parts, one after the other.
pub(super) struct Reading<'a> {
    pub(super) parts: Vec<Part<'a>>,
    at: usize,
    /// How many of the part's were read.
    read: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(parts: Vec<Part<'a>>) -> Reading<'a> {
        Reading { parts, at: 0, read: 0 }
    }

    /// The next one.
    pub(super) fn tensor(&mut self) -> Result<TensorInfo> {
        while self.parts.get(self.at).is_some_and(|part| part.tensor_count == self.read) {
            (self.at, self.read) = (self.at + 1, 0);
        }
        self.read += 1;
        let part = &mut self.parts[self.at];
        read_tensor(&mut part.cursor, part.alignment).map_err(|error| part.blame(error))
    }
}
