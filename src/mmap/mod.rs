//! Floor 1. Where a model's bytes come from: a mapped file, a part of one, or memory that the caller lends.
//! Invariant: [`Mapping::bytes`] always has the length it had at first, and nothing copies it.

#[cfg(all(feature = "std", unix))]
mod pages;
#[cfg(all(feature = "std", unix))]
mod split;

use alloc::boxed::Box;
use core::ops::Range;
use core::ptr::NonNull;

use crate::error::Result;
#[cfg(feature = "std")]
use crate::error::{Ending, Error, text};
use crate::memory::boxed;

/// Bytes that stay where they are for as long as the model lives.
pub struct Mapping {
    source: Source,
}

enum Source {
    #[cfg(feature = "std")]
    File(MappedFile),
    #[cfg(all(feature = "std", unix))]
    Joined(split::JoinedFiles),
    Lent(Lent),
}

#[cfg(feature = "std")]
struct MappedFile {
    map: memmap2::Mmap,
    /// Kept to ask for the file's size again: a page behind a file's new end cannot be read.
    file: std::fs::File,
    end: u64,
}

/// Memory of the caller's, its address and length taken once: `as_ref` of a stranger may answer differently later.
struct Lent {
    start: *const u8,
    len: usize,
    /// Of a box. As a box it would claim, whenever it moves, that nobody else sees its contents.
    owner: NonNull<dyn Send + Sync>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: from_bytes made the pointer from a box, and only here is it turned back.
        drop(unsafe { Box::from_raw(self.owner.as_ptr()) });
    }
}

// SAFETY: the bytes are only read, and their owner, which is Send and Sync, is not touched until it is dropped.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl Mapping {
    /// Maps the whole file at `path`; of a model in several files, whose names say so (`name-00001-of-00003.gguf`), all parts if it
    /// is the first.
    #[cfg(feature = "std")]
    pub fn open(path: &std::path::Path) -> Result<Mapping> {
        #[cfg(unix)]
        if let Some(paths) = split::parts_of(path)? {
            let mut files = alloc::vec::Vec::new();
            for path in &paths {
                files.push((Mapping::open_file(path)?, 0, None));
            }
            return Mapping::join(files);
        }
        Mapping::map(Mapping::open_file(path)?, 0, None)
    }

    /// Opens what can be mapped: a part of a model in several files, for [`Mapping::join`]. A pipe is refused, and not waited for.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotAFile`].
    #[cfg(feature = "std")]
    pub fn open_file(path: &std::path::Path) -> Result<std::fs::File> {
        let fail = |error: std::io::Error| Error::Io(text!("cannot open {}: {error}", Ending(path)));
        // Asked before it is opened, since opening a pipe waits for its writer.
        let kind = std::fs::metadata(path).map_err(fail)?.file_type();
        if !kind.is_file() {
            let what = if kind.is_dir() { "a directory" } else { "a pipe, socket or device" };
            return Err(Error::NotAFile(text!("cannot open {}: it is {what}, not a file", Ending(path))));
        }
        std::fs::File::open(path).map_err(fail)
    }

    /// Maps the parts of a model that lies in several files, in their order: of each, so many bytes from an offset on, to its end if
    /// `None`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotAFile`], and [`Error::Argument`] for a range that is not inside of its file.
    #[cfg(all(feature = "std", unix))]
    pub fn join(files: alloc::vec::Vec<(std::fs::File, u64, Option<u64>)>) -> Result<Mapping> {
        let mut parts = alloc::vec::Vec::new();
        for (file, offset, length) in files {
            let length = Mapping::length(&file, offset, length);
            let length = length.map_err(|error| error.of_part(parts.len()))?;
            parts.push((file, offset, length));
        }
        if parts.is_empty() {
            return Err(Error::Argument(text!("a model has at least one part")));
        }
        Ok(Mapping { source: Source::Joined(split::JoinedFiles::map(parts)?) })
    }

    /// Maps `length` bytes of `file` from `offset` on (to the file's end if `None`): a model inside an archive.
    /// The file is borrowed; it may be closed afterwards.
    #[cfg(feature = "std")]
    pub fn from_file(file: &std::fs::File, offset: u64, length: Option<u64>) -> Result<Mapping> {
        let own = file.try_clone().map_err(|error| Error::Io(text!("cannot keep the file: {error}")))?;
        Mapping::map(own, offset, length)
    }

    /// How many bytes are to be mapped, once they are known to be there.
    #[cfg(feature = "std")]
    fn length(file: &std::fs::File, offset: u64, length: Option<u64>) -> Result<u64> {
        let metadata =
            file.metadata().map_err(|error| Error::Io(text!("cannot ask for the file's size: {error}")))?;
        if !metadata.is_file() {
            let what = "only a regular file can be mapped, not a directory, pipe, socket or device";
            return Err(Error::NotAFile(text!("{what}")));
        }
        let size = metadata.len();
        let length = length.unwrap_or(size.saturating_sub(offset));
        if offset > size {
            return Err(Error::Argument(text!("offset {offset} lies behind the file's end, at {size}")));
        }
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(Error::Argument(text!(
                "{length} bytes from offset {offset} on are more than the file's {size}"
            )));
        }
        if length == 0 {
            return Err(Error::NotGguf(text!("the file is empty")));
        }
        Ok(length)
    }

    #[cfg(feature = "std")]
    fn map(file: std::fs::File, offset: u64, length: Option<u64>) -> Result<Mapping> {
        let bytes = Mapping::length(&file, offset, length)?;
        let end = offset + bytes;
        let length = usize::try_from(bytes)
            .map_err(|_| Error::Memory { what: "the address range of the file", bytes })?;
        // SAFETY: the map is read-only and private to this struct. Another process may still change the file; what is
        // read from the map is therefore checked at each use and never trusted as an index (gguf, model).
        let map = unsafe { memmap2::MmapOptions::new().offset(offset).len(length).map(&file) }
            .map_err(|error| Error::Io(text!("cannot map the file: {error}")))?;
        Ok(Mapping { source: Source::File(MappedFile { map, file, end }) })
    }

    /// Uses memory that `owner` holds, in place: `&'static [u8]` (flash), `Vec<u8>`, `Arc<[u8]>`, a map of one's own.
    ///
    /// # Errors
    /// [`Error::Memory`], if the few bytes that keep the owner cannot be had.
    pub fn from_bytes<B: AsRef<[u8]> + Send + Sync + 'static>(owner: B) -> Result<Mapping> {
        let owner = NonNull::from(Box::leak(boxed(owner, "the owner of the model's bytes")?));
        // Held first, so that the owner is dropped even if it panics when it is asked.
        let mut lent = Lent { start: NonNull::dangling().as_ptr(), len: 0, owner };
        // SAFETY: the box was just leaked, and nobody else knows of it.
        let bytes = unsafe { owner.as_ref() }[0].as_ref();
        (lent.start, lent.len) = (bytes.as_ptr(), bytes.len());
        Ok(Mapping { source: Source::Lent(lent) })
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.source {
            #[cfg(feature = "std")]
            Source::File(file) => &file.map,
            #[cfg(all(feature = "std", unix))]
            Source::Joined(files) => files.bytes(),
            // SAFETY: from_bytes took both from a slice that the boxed owner, which lives as long as self, lent; nobody
            // else can reach the owner to change it.
            Source::Lent(lent) => unsafe { core::slice::from_raw_parts(lent.start, lent.len) },
        }
    }

    /// Where the parts of a model in several files lie in the bytes; one part otherwise.
    pub(crate) fn part(&self, i: usize) -> Option<Range<usize>> {
        match &self.source {
            #[cfg(all(feature = "std", unix))]
            Source::Joined(files) => files.parts.get(i).cloned(),
            _ => (i == 0).then(|| 0..self.bytes().len()),
        }
    }

    /// Bytes of the file, of the part of it or of the memory; of a model in several files, of all of them, without what lies between them in
    /// [`Mapping::bytes`].
    pub fn file_bytes(&self) -> usize {
        (0..).map_while(|i| self.part(i)).map(|part| part.len()).sum()
    }

    /// Whether the bytes are pages of a file, which the system can drop and read again, and not memory of the process.
    pub fn is_file_backed(&self) -> bool {
        match &self.source {
            #[cfg(feature = "std")]
            Source::File(_) => true,
            #[cfg(all(feature = "std", unix))]
            Source::Joined(_) => true,
            Source::Lent(_) => false,
        }
    }

    /// An error if the file has become shorter since it was mapped, as reading its lost pages would kill the process.
    #[cfg(feature = "std")]
    pub fn check(&self) -> Result<()> {
        let is_whole = |file: &std::fs::File, end: u64| match file.metadata() {
            Ok(metadata) if metadata.len() >= end => Ok(()),
            Ok(metadata) => Err(Error::Changed(text!("it has {} bytes and had {end}", metadata.len()))),
            Err(error) => Err(Error::Changed(text!("its size cannot be read: {error}"))),
        };
        match &self.source {
            Source::File(mapped) => is_whole(&mapped.file, mapped.end),
            #[cfg(unix)]
            Source::Joined(files) => files.files().try_for_each(|(file, end)| is_whole(file, end)),
            Source::Lent(_) => Ok(()),
        }
    }

    /// Without files nothing can change.
    #[cfg(not(feature = "std"))]
    pub fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl core::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Mapping({} bytes)", self.bytes().len())
    }
}
