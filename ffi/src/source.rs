//! Floor 7. Where the bytes of a model come from: a path, a descriptor, files in parts, memory of the caller's.

use core::ffi::{c_char, c_void};

#[cfg(all(feature = "std", unix))]
use bantam::Text;
use bantam::mmap::Mapping;

use crate::boundary::{Caller, Plain, call_back};
use crate::model::bantam_release;
#[cfg(not(all(feature = "std", unix)))]
use crate::status::BANTAM_UNSUPPORTED;
#[cfg(all(feature = "std", unix))]
use crate::status::Failure;
use crate::status::{Result, fail};

/// A part of a model in several files: a path, or a descriptor.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_part {
    /// The path; NULL takes the descriptor.
    pub path: *const c_char,
    /// Bytes of it; 0 if it ends with a 0.
    pub path_bytes: usize,
    /// Where the part begins in its file.
    pub offset: u64,
    /// How many bytes it has; 0 is up to the file's end.
    pub length: u64,
    /// An open file, which is borrowed, and may be closed when the call has returned.
    pub fd: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: integers and a pointer of any bytes.
unsafe impl Plain for bantam_part {}

/// Bytes of the caller's.
pub(crate) struct LentBytes {
    start: *const u8,
    len: usize,
    release: bantam_release,
    user: *mut c_void,
}

impl LentBytes {
    /// Nothing, if there are no such bytes: they are released all the same.
    pub(crate) fn new(bytes: Option<&[u8]>, release: bantam_release, user: *mut c_void) -> LentBytes {
        let bytes = bytes.unwrap_or_default();
        LentBytes { start: bytes.as_ptr(), len: bytes.len(), release, user }
    }
}

// SAFETY: the caller promised that the bytes stay and do not change, and that `release` may be called on any thread.
unsafe impl Send for LentBytes {}

// SAFETY: as above.
unsafe impl Sync for LentBytes {}

impl AsRef<[u8]> for LentBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: Caller::slice made both from what the caller promised to keep until `release` is called.
        unsafe { core::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for LentBytes {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the caller's function, called as the header says.
            call_back(|| unsafe { release(self.user) });
        }
    }
}

#[cfg(feature = "std")]
pub(crate) fn map_path(path: &str) -> Result<Mapping> {
    Ok(Mapping::open(path.as_ref())?)
}

#[cfg(not(feature = "std"))]
pub(crate) fn map_path(_path: &str) -> Result<Mapping> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build has no files: open the model in memory"))
}

#[cfg(all(feature = "std", unix))]
pub(crate) fn map_parts(caller: Caller, parts: &[bantam_part]) -> Result<Mapping> {
    let mut files = alloc::vec::Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let file = open_part(caller, part).map_err(|failure| Failure {
            message: Text::format(format_args!("part {}: {}", i + 1, failure.message)),
            ..failure
        })?;
        files.push((file, part.offset, (part.length != 0).then_some(part.length)));
    }
    Ok(Mapping::join(files)?)
}

#[cfg(all(feature = "std", unix))]
fn open_part(caller: Caller, part: &bantam_part) -> Result<std::fs::File> {
    crate::options::unused(part.reserved, "bantam_part")?;
    match caller.field(part.path, part.path_bytes, "the path")? {
        Some(path) => Ok(Mapping::open_file(path.as_ref())?),
        None => own(part.fd),
    }
}

#[cfg(not(all(feature = "std", unix)))]
pub(crate) fn map_parts(_caller: Caller, _parts: &[bantam_part]) -> Result<Mapping> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build has no files: open the model in memory, in one piece"))
}

#[cfg(all(feature = "std", unix))]
pub(crate) fn map_fd(fd: i32, offset: u64, length: Option<u64>) -> Result<Mapping> {
    Ok(Mapping::from_file(&own(fd)?, offset, length)?)
}

/// A file of the library's own for a descriptor of the caller's.
#[cfg(all(feature = "std", unix))]
fn own(fd: i32) -> Result<std::fs::File> {
    use std::os::fd::BorrowedFd;
    // SAFETY: F_GETFD takes any number, and says whether it is an open descriptor.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(fail!(crate::status::BANTAM_ARGUMENT, "{fd} is no open file descriptor"));
    }
    // SAFETY: just seen to be open, and the caller keeps it so during the call.
    let file = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
    let file =
        file.map_err(|error| fail!(crate::status::BANTAM_IO, "cannot keep the descriptor: {error}"))?;
    Ok(std::fs::File::from(file))
}

#[cfg(not(all(feature = "std", unix)))]
pub(crate) fn map_fd(_fd: i32, _offset: u64, _length: Option<u64>) -> Result<Mapping> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build has no file descriptors"))
}
