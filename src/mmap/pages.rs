//! Floor 1. Which pages of a mapping are in memory: reading them ahead of their use, counting them, keeping them there.

use core::ops::Range;

use super::Mapping;
use crate::error::{Error, Result, text};

/// How large pages have to be for large ones to be asked for, which are then of 2 MB. Where pages are larger, large ones are of 32 MB or more, and as
/// much would be read from disk at a time.
const SMALL_PAGE_BYTES: usize = 4096;

/// How much is read ahead at a time: some milliseconds of a slow disk, so that a cancel is seen soon.
const STEP_BYTES: usize = 1 << 20;

pub(super) fn page_bytes() -> usize {
    // SAFETY: sysconf only reads its argument.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

impl Mapping {
    /// Asks for large pages for a range of the bytes that is read all over again for every token: with an address to look up for each 4 KB,
    /// reading weights takes up to an eighth longer. What is not in memory yet is from now on read from disk as large pages, or 2 MB and more at a time;
    /// so this is not for tables of which few rows are needed, nor for experts.
    ///
    /// Linux has such pages of files, if their file system has large folios; elsewhere nothing happens.
    pub(crate) fn ask_for_large_pages(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        if self.is_file_backed() && page_bytes() == SMALL_PAGE_BYTES {
            let bytes = &self.bytes()[range];
            let skipped = bytes.as_ptr().addr() % SMALL_PAGE_BYTES;
            // SAFETY: pages of the mapping; of which size they are changes nothing in them. A system without such pages says so, and goes on
            // without.
            unsafe {
                let start = bytes.as_ptr().wrapping_sub(skipped).cast_mut().cast();
                libc::madvise(start, bytes.len() + skipped, libc::MADV_HUGEPAGE);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }

    /// Reads every page, so that using the bytes waits for no disk. `step(done, all)` is called in between with counts of
    /// bytes; it ends the reading by returning `false`.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `step` ended it, [`Error::Changed`] if the file was cut short.
    pub fn warm(&self, mut step: impl FnMut(usize, usize) -> bool) -> Result<()> {
        let (bytes, page) = (self.bytes(), page_bytes());
        let mut done = 0;
        if !step(0, bytes.len()) {
            return Err(Error::Cancelled);
        }
        for part in bytes.chunks(STEP_BYTES) {
            self.check()?;
            // What is asked for ahead comes in small pages, so where there are large ones it comes as it is touched: 2 MB at a time as well.
            if !cfg!(target_os = "linux") || page != SMALL_PAGE_BYTES {
                let start = part.as_ptr().addr() % page;
                // SAFETY: the pages of a part of the mapping; that they will be needed changes nothing in them. What the system
                // makes of it is its own affair.
                unsafe {
                    libc::madvise(
                        part.as_ptr().wrapping_sub(start).cast_mut().cast(),
                        part.len() + start,
                        libc::MADV_WILLNEED,
                    );
                }
            }
            for byte in part.iter().step_by(page).chain(part.last()) {
                // SAFETY: a reference to a byte of the mapping; it is read as if that mattered, so that its page is there.
                unsafe { core::ptr::read_volatile(byte) };
            }
            done += part.len();
            if !step(done, bytes.len()) {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }

    /// How many of the bytes are in memory, in whole pages.
    ///
    /// # Errors
    /// [`Error::Io`] if the system does not tell.
    pub fn resident_bytes(&self) -> Result<usize> {
        const PAGES: usize = 1024;
        let (bytes, page) = (self.bytes(), page_bytes());
        let skipped = bytes.as_ptr().addr() % page;
        let (start, len) = (bytes.as_ptr().wrapping_sub(skipped), bytes.len() + skipped);
        let mut resident = 0;
        for from in (0..len).step_by(PAGES * page) {
            let part = (len - from).min(PAGES * page);
            let mut map = [0u8; PAGES];
            // SAFETY: pages of the mapping, of which there are at most as many as the array has bytes.
            let told = unsafe {
                libc::mincore(start.wrapping_add(from).cast_mut().cast(), part, map.as_mut_ptr().cast())
            };
            if told != 0 {
                let error = std::io::Error::last_os_error();
                return Err(Error::Io(text!("cannot ask which pages are in memory: {error}")));
            }
            resident += map[..part.div_ceil(page)].iter().filter(|flags| **flags & 1 == 1).count() * page;
        }
        Ok(resident.min(bytes.len()))
    }

    /// Reads every page and keeps it in memory for as long as the mapping lives.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses: it allows a process only so much (`RLIMIT_MEMLOCK`).
    pub fn lock(&self) -> Result<()> {
        let bytes = self.bytes();
        self.check()?;
        // SAFETY: the bytes of the mapping; keeping their pages changes nothing in them.
        match unsafe { libc::mlock(bytes.as_ptr().cast(), bytes.len()) } {
            0 => Ok(()),
            _ => {
                let (error, len) = (std::io::Error::last_os_error(), bytes.len());
                Err(Error::Io(text!(
                    "cannot keep {len} bytes in memory: {error}; RLIMIT_MEMLOCK may be too low"
                )))
            }
        }
    }
}
