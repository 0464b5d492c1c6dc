//! Floor 1. What a file lists by name, its metadata entries or its tensors: in the order of the file, and found by name.
//!
//! Invariant: no name comes twice. Names stay where they are mapped; a name that changes there is no longer found.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::ops::Range;

use super::cursor::malformed;
use crate::error::{Error, Result};

/// Something with a name.
pub(super) trait Named {
    /// What it is, in an error.
    const WHAT: &'static str;

    /// Where the name stands in the file.
    fn name(&self) -> &Range<usize>;
}

/// Everything of one kind.
#[derive(Debug)]
pub(super) struct Directory<T> {
    /// In the order of the file.
    all: Vec<T>,
    /// Indices of `all`, sorted by name.
    by_name: Vec<u32>,
}

impl<T: Named> Directory<T> {
    /// Reads so many, at most 2^32, one after the other. What is held grows with what was read, not with the count.
    pub(super) fn read(
        bytes: &[u8],
        count: u64,
        mut read: impl FnMut() -> Result<T>,
    ) -> Result<Directory<T>> {
        let no_memory = |count: usize, size: usize| Error::Memory {
            what: "the file's directory",
            bytes: (count * size) as u64,
        };
        let mut all = Vec::new();
        for _ in 0..count {
            let one = read()?;
            all.try_reserve(1).map_err(|_| no_memory(all.len() + 1, size_of::<T>()))?;
            all.push(one);
        }
        let mut by_name = Vec::new();
        by_name.try_reserve_exact(all.len()).map_err(|_| no_memory(all.len(), size_of::<u32>()))?;
        by_name.extend(0..all.len() as u32);
        let mut directory = Directory { all, by_name };
        directory.sort(bytes)?;
        Ok(directory)
    }

    fn sort(&mut self, bytes: &[u8]) -> Result<()> {
        let name = |i: u32| &bytes[self.all[i as usize].name().clone()];
        self.by_name.sort_unstable_by(|&a, &b| name(a).cmp(name(b)).then(a.cmp(&b)));
        match self.by_name.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            None => Ok(()),
            Some(pair) => {
                let name = self.all[pair[1] as usize].name();
                let (what, shown) = (T::WHAT, name_of(bytes, name));
                Err(malformed(name.start, format_args!("{what} {shown} occurs twice")))
            }
        }
    }

    /// The one of that name.
    pub(super) fn find(&self, bytes: &[u8], name: &str) -> Option<&T> {
        self.position(bytes, name).map(|at| &self.all[at])
    }

    /// Which one has that name, in the order of the file.
    pub(super) fn position(&self, bytes: &[u8], name: &str) -> Option<usize> {
        let name_at = |i: u32| &bytes[self.all[i as usize].name().clone()];
        let found = self.by_name.binary_search_by(|&i| name_at(i).cmp(name.as_bytes()));
        found.ok().map(|at| self.by_name[at] as usize)
    }

    /// All, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter()
    }

    /// All, to be changed in place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.all.iter_mut()
    }
}

/// A name that was UTF-8 at open; bytes that have changed since then have no name.
pub(super) fn name_of<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a str {
    core::str::from_utf8(&bytes[range.clone()]).unwrap_or_default()
}
