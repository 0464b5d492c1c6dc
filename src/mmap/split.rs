//! Floor 1. A model in several files, mapped one behind the other into one range of addresses: so that floors above see bytes, and
//! weights stay in their files' pages.
//!
//! ```text
//! | page ... part 0 ... page | page ... part 1 ... page | ...
//! ```
//! A part begins where it does in its page of the file, and what is left of pages before and behind it is the file's, or zero.

use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::pages::page_bytes;
use crate::error::{Ending, Error, Result, text};

/// Files that are mapped one behind the other.
pub(super) struct JoinedFiles {
    start: NonNull<u8>,
    len: usize,
    /// Where each part lies.
    pub(super) parts: Vec<Range<usize>>,
    /// Each file, and where its part ends in it.
    files: Vec<(File, u64)>,
}

// SAFETY: the pages are only read, and stay until the value is dropped.
unsafe impl Send for JoinedFiles {}
// SAFETY: as above.
unsafe impl Sync for JoinedFiles {}

impl JoinedFiles {
    /// Maps `length` bytes of each file from its offset on.
    pub(super) fn map(files: Vec<(File, u64, u64)>) -> Result<JoinedFiles> {
        let page = page_bytes() as u64;
        let mut len = 0u64;
        for (_, offset, length) in &files {
            let pages =
                (offset % page).checked_add(*length).and_then(|bytes| bytes.checked_next_multiple_of(page));
            len = pages.and_then(|pages| len.checked_add(pages)).unwrap_or(u64::MAX);
        }
        let too_long = Error::Memory { what: "the address range of the files", bytes: len };
        let len = usize::try_from(len).ok().filter(|&len| len <= isize::MAX as usize).ok_or(too_long)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        // SAFETY: new addresses, of which nothing may be read yet.
        let start = unsafe { libc::mmap(core::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(too_long);
        }
        let start = NonNull::new(start.cast()).ok_or(too_long)?;
        let mut joined = JoinedFiles { start, len, parts: Vec::new(), files: Vec::new() };
        let mut at = 0;
        for (file, offset, length) in files {
            let skipped = offset % page;
            // All of these are less than len, which fits.
            let (skip, bytes) = (skipped as usize, (skipped + length) as usize);
            let from = libc::off_t::try_from(offset - skipped).map_err(|_| too_long)?;
            // SAFETY: pages of the range that was just reserved for nothing but this; files may change under a mapping, and what is
            // read from one is checked at each use (gguf, model).
            let mapped = unsafe {
                let place = start.add(at).as_ptr().cast();
                libc::mmap(
                    place,
                    bytes,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_FIXED,
                    file.as_raw_fd(),
                    from,
                )
            };
            if mapped == libc::MAP_FAILED {
                let error = std::io::Error::last_os_error();
                return Err(Error::Io(text!("cannot map part {}: {error}", joined.parts.len() + 1)));
            }
            joined.parts.push(at + skip..at + bytes);
            joined.files.push((file, offset + length));
            at += bytes.next_multiple_of(page as usize);
        }
        Ok(joined)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let end = self.parts.last().map_or(0, |part| part.end);
        debug_assert!(end <= self.len);
        // SAFETY: all pages up to the end of the last part are mapped and can be read, for as long as self lives.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), end) }
    }

    /// Every file, and where its part ends.
    pub(super) fn files(&self) -> impl Iterator<Item = (&File, u64)> {
        self.files.iter().map(|(file, end)| (file, *end))
    }
}

impl Drop for JoinedFiles {
    fn drop(&mut self) {
        // SAFETY: map reserved these addresses, and nobody reads them any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The paths of all parts of a model, if `path` has the name of the first one, `name-00001-of-00003.gguf`.
///
/// # Errors
/// [`Error::Argument`] if it has that of a later one.
pub(super) fn parts_of(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Some(stem) =
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".gguf"))
    else {
        return Ok(None);
    };
    let digits = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<usize>().ok()).flatten()
    };
    let found = stem.rsplit_once("-of-").and_then(|(rest, count)| {
        let (name, number) = rest.rsplit_once('-')?;
        (number.len() == 5 && count.len() == 5).then_some(())?;
        Some((name, digits(number)?, digits(count)?))
    });
    let Some((name, number, count)) = found.filter(|&(_, _, count)| count > 1) else { return Ok(None) };
    let part = |number: usize| path.with_file_name(std::format!("{name}-{number:05}-of-{count:05}.gguf"));
    if number != 1 {
        let first = part(1);
        return Err(Error::Argument(text!(
            "{} is part {number} of {count}: open the first, {}",
            Ending(path),
            Ending(&first)
        )));
    }
    Ok(Some((1..=count).map(part).collect()))
}
