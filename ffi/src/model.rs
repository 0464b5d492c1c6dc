//! Floor 7. Models: opened in place, shared by threads and sessions.

use core::ffi::{c_char, c_void};

use bantam::mmap::Mapping;
use bantam::{Cancel, Model, ModelOptions};

use crate::boundary::{BANTAM_NUL_TERMINATED, Caller, Plain, call, call_back};
use crate::cancel::bantam_cancel;
use crate::handle::{Noun, create_at};
use crate::options::{Struct, flag};
#[cfg(not(all(feature = "std", unix)))]
use crate::status::BANTAM_UNSUPPORTED;
use crate::status::{BANTAM_CANCELLED, Result, bantam_error, bantam_status, fail};
use crate::version::c_name;

/// An open model. Any number of threads and sessions may use it at once.
pub struct bantam_model(());

impl Noun for bantam_model {
    const MAGIC: u32 = u32::from_le_bytes(*b"bmod");
    const NAME: &'static str = "the model";
    type Inside = OpenModel;
}

/// What is behind a model's handle.
pub(crate) struct OpenModel {
    pub(crate) model: Model,
    pub(crate) log: Log,
    #[cfg(feature = "constrain")]
    pub(crate) constrainer: std::sync::OnceLock<bantam::constrain::Constrainer>,
}

/// Takes a line of the log: UTF-8 without a 0 at its end, never with text of prompts or answers. It is called on the thread that called
/// the library, and may call nothing of it but cancel objects.
pub type bantam_log = Option<unsafe extern "C" fn(user: *mut c_void, message: *const c_char, bytes: usize)>;

/// Told how far something is; returns 0 to go on, anything else to cancel it. It is called on the thread that called the library, and may
/// call nothing of it but cancel objects.
pub type bantam_progress = Option<unsafe extern "C" fn(user: *mut c_void, done: u64, all: u64) -> i32>;

/// Told that the bytes of a model are not used any more.
pub type bantam_release = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// How to open a model. Zeros mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_model_options {
    /// sizeof(bantam_model_options)
    pub struct_size: usize,
    /// The backend by name, "avx2"; NULL is that of the environment variable BANTAM_BACKEND, or else the best of this CPU.
    pub backend: *const c_char,
    /// Bytes of the name; 0 if it ends with a 0.
    pub backend_bytes: usize,
    /// Stops the opening; NULL is none.
    pub cancel: *const bantam_cancel,
    /// Takes the log of the model and its sessions; NULL is silence. It has to stay usable until the model and its sessions are freed.
    pub log: bantam_log,
    /// Handed to it.
    pub log_user: *mut c_void,
    /// For bantam_model_open_memory: called when the last user of the bytes is gone, on whatever thread that is. NULL if nobody cares.
    pub release: bantam_release,
    /// Handed to it.
    pub release_user: *mut c_void,
    /// 1 reads the whole model and keeps it in memory (mlock), or fails if the system refuses.
    pub lock: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: repr(C), a usize first, and integers and pointers, null or not, of any bytes.
unsafe impl Struct for bantam_model_options {
    const NAME: &'static str = "bantam_model_options";
}

/// Where the log of a model goes.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    log: bantam_log,
    user: *mut c_void,
}

// SAFETY: the caller promised that the function may be called from every thread that calls the library with the model.
unsafe impl Send for Log {}
// SAFETY: as above.
unsafe impl Sync for Log {}

impl Log {
    /// Writes a line.
    pub(crate) fn line(&self, line: core::fmt::Arguments<'_>) {
        if let Some(log) = self.log {
            let text = bantam::Text::format(line);
            let text = text.as_str();
            // SAFETY: the caller's function, called as the header says.
            call_back(|| unsafe { log(self.user, text.as_ptr().cast(), text.len()) });
        }
    }
}

/// Opens the GGUF file at a path. Its weights stay in the file's pages: they are neither read nor copied.
///
/// Ownership: the caller frees the model with bantam_model_free; sessions keep what they need of it.
/// Threads: any. Errors: BANTAM_IO, BANTAM_NOT_A_FILE, BANTAM_NOT_GGUF, BANTAM_MALFORMED, BANTAM_INCONSISTENT, BANTAM_UNSUPPORTED,
/// BANTAM_MEMORY, BANTAM_CANCELLED, BANTAM_ARGUMENT, BANTAM_STRUCT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_open(
    path: *const c_char,
    path_bytes: usize,
    options: *const bantam_model_options,
    out: *mut *mut bantam_model,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let path = caller.path(path, path_bytes)?;
        open(caller, options, out, |_| map_path(path))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens `length` bytes of an open file from `offset` on (to its end if 0): an asset inside an archive. Any offset that is a multiple of 4 is
/// used in place. The descriptor is borrowed, and may be closed when the call has returned.
///
/// Ownership: as bantam_model_open; the descriptor stays the caller's.
/// Threads: any. Errors: as bantam_model_open; BANTAM_ARGUMENT if the range is not inside of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_open_fd(
    fd: i32,
    offset: u64,
    length: u64,
    options: *const bantam_model_options,
    out: *mut *mut bantam_model,
    error: *mut bantam_error,
) -> bantam_status {
    let body =
        |caller: Caller| open(caller, options, out, |_| map_fd(fd, offset, (length != 0).then_some(length)));
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens a model in memory, in place: flash, or a map of the caller's own.
///
/// Ownership: as bantam_model_open; the bytes stay the caller's, who keeps them there and unchanged until the options' `release` is
/// called, which is also when opening fails. Threads: any. Errors: as bantam_model_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_open_memory(
    bytes: *const c_void,
    length: usize,
    options: *const bantam_model_options,
    out: *mut *mut bantam_model,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        open(caller, options, out, |options| {
            let bytes = caller.slice(bytes.cast::<u8>(), length, "the model's bytes")?;
            let lent = LentBytes {
                start: bytes.as_ptr(),
                len: bytes.len(),
                release: options.release,
                user: options.release_user,
            };
            Ok(Mapping::from_bytes(lent)?)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

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

/// Opens a model in several files (split GGUF), all parts in their order. One whose files lie beside each other under the usual names,
/// name-00001-of-00003.gguf, is opened by bantam_model_open with the path of the first.
///
/// Ownership: as bantam_model_open; descriptors stay the caller's. Threads: any.
/// Errors: as bantam_model_open_fd; BANTAM_UNSUPPORTED if they are not as many as the model has, BANTAM_INCONSISTENT if they are not in order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_open_parts(
    parts: *const bantam_part,
    count: usize,
    options: *const bantam_model_options,
    out: *mut *mut bantam_model,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let parts = caller.slice(parts, count, "the parts")?;
        open(caller, options, out, |_| map_parts(caller, parts))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens a model from what `map` finds.
fn open(
    caller: Caller,
    options: *const bantam_model_options,
    out: *mut *mut bantam_model,
    map: impl FnOnce(&bantam_model_options) -> Result<Mapping>,
) -> Result<()> {
    let out = caller.out(out, "out")?;
    let options = caller.options(options)?;
    let backend = caller.field(options.backend, options.backend_bytes, "the backend's name")?;
    let cancel = caller.cancel(options.cancel)?;
    let lock = flag(options.lock, "lock of bantam_model_options")?;
    let check = || match &cancel {
        Some(cancel) if cancel.is_cancelled() => Err(fail!(BANTAM_CANCELLED, "cancelled")),
        _ => Ok(()),
    };
    check()?;
    let mapping = map(&options)?;
    let model = Model::from_mapping(mapping, &ModelOptions { backend })?;
    check()?;
    if lock {
        self::lock(&model)?;
    }
    let log = Log { log: options.log, user: options.log_user };
    let hyper = model.hyper();
    log.line(format_args!(
        "model opened: {} bytes, {} layers, width {}, vocabulary of {}, backend {}",
        model.file().mapping().bytes().len(),
        hyper.layers,
        hyper.dim,
        hyper.vocab_size,
        model.backend().name()
    ));
    create_at(
        out,
        OpenModel {
            model,
            log,
            #[cfg(feature = "constrain")]
            constrainer: std::sync::OnceLock::new(),
        },
    )
}

impl Caller {
    /// A text of a struct, which has a 0 at its end if its length is 0; `None` if it is NULL.
    pub(crate) fn field<'a>(self, start: *const c_char, bytes: usize, what: &str) -> Result<Option<&'a str>> {
        if start.is_null() {
            return Ok(None);
        }
        let bytes = if bytes == 0 { BANTAM_NUL_TERMINATED } else { bytes };
        self.text(start, bytes, what).map(Some)
    }

    /// The switch of an optional cancel object.
    pub(crate) fn cancel(self, cancel: *const bantam_cancel) -> Result<Option<Cancel>> {
        if cancel.is_null() { Ok(None) } else { self.shared(cancel).map(|cancel| Some(cancel.clone())) }
    }
}

/// Bytes of the caller's.
struct LentBytes {
    start: *const u8,
    len: usize,
    release: bantam_release,
    user: *mut c_void,
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
fn map_path(path: &str) -> Result<Mapping> {
    Ok(Mapping::open(path.as_ref())?)
}

#[cfg(not(feature = "std"))]
fn map_path(_path: &str) -> Result<Mapping> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build has no files: open the model in memory"))
}

#[cfg(all(feature = "std", unix))]
fn map_parts(caller: Caller, parts: &[bantam_part]) -> Result<Mapping> {
    let mut files = alloc::vec::Vec::new();
    for part in parts {
        let file = match caller.field(part.path, part.path_bytes, "the path of a part")? {
            Some(path) => std::fs::File::open(path)
                .map_err(|error| fail!(crate::status::BANTAM_IO, "cannot open {path}: {error}"))?,
            None => own(part.fd)?,
        };
        files.push((file, part.offset, (part.length != 0).then_some(part.length)));
    }
    Ok(Mapping::join(files)?)
}

#[cfg(not(all(feature = "std", unix)))]
fn map_parts(_caller: Caller, _parts: &[bantam_part]) -> Result<Mapping> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build has no files: open the model in memory, in one piece"))
}

#[cfg(all(feature = "std", unix))]
fn map_fd(fd: i32, offset: u64, length: Option<u64>) -> Result<Mapping> {
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
fn map_fd(_fd: i32, _offset: u64, _length: Option<u64>) -> Result<Mapping> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build has no file descriptors"))
}

#[cfg(all(feature = "std", unix))]
fn lock(model: &Model) -> Result<()> {
    Ok(model.file().mapping().lock()?)
}

#[cfg(not(all(feature = "std", unix)))]
fn lock(_model: &Model) -> Result<()> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build cannot keep pages in memory"))
}

/// Reads all pages of the model, so that the first answer waits for no disk.
///
/// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_CHANGED if the file was cut short, BANTAM_CANCELLED if `cancel` was
/// set or `progress` did not return 0; both may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_warm(
    model: *const bantam_model,
    cancel: *const bantam_cancel,
    progress: bantam_progress,
    progress_user: *mut c_void,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let model = caller.shared(model)?;
        let cancel = caller.cancel(cancel)?;
        let goes_on = |done: usize, all: usize| {
            // SAFETY: the caller's function, called as the header says.
            let told =
                progress.map(|told| call_back(|| unsafe { told(progress_user, done as u64, all as u64) }));
            told.unwrap_or(0) == 0 && !cancel.as_ref().is_some_and(Cancel::is_cancelled)
        };
        warm(&model.model, goes_on)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

#[cfg(all(feature = "std", unix))]
fn warm(model: &Model, goes_on: impl FnMut(usize, usize) -> bool) -> Result<()> {
    Ok(model.file().mapping().warm(goes_on)?)
}

/// Memory is warm.
#[cfg(not(all(feature = "std", unix)))]
fn warm(model: &Model, mut goes_on: impl FnMut(usize, usize) -> bool) -> Result<()> {
    let all = model.file().mapping().bytes().len();
    if goes_on(all, all) { Ok(()) } else { Err(fail!(BANTAM_CANCELLED, "cancelled")) }
}

/// What a model is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_model_info {
    /// sizeof(bantam_model_info), set by the caller.
    pub struct_size: usize,
    /// The architecture, UTF-8 without a 0 at its end; the text is the model's.
    pub architecture: *const c_char,
    /// Bytes of it.
    pub architecture_bytes: usize,
    /// The name of the backend that runs it, with a 0 at its end.
    pub backend: *const c_char,
    /// Bytes of the file, or of the part of it, or of the memory.
    pub file_bytes: u64,
    /// Bytes that one token reads.
    pub bytes_per_token: u64,
    /// Multiply-adds of one token with the weights.
    pub macs_per_token: u64,
    /// Tells this model's file from another's: the same for every opening of the same bytes.
    pub fingerprint: u64,
    /// Number of tokens.
    pub vocab_size: usize,
    /// The context that it was trained for, in tokens.
    pub context_length: usize,
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Width of the feed-forward hidden layer.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The token that begins a text, or -1.
    pub bos: i32,
    /// The token that ends one, or -1.
    pub eos: i32,
    /// 1 if it has a chat template.
    pub has_chat_template: i32,
    /// 1 if its weights are pages of a file, which the system can drop and read again; 0 if they are memory.
    pub is_file_backed: i32,
}

// SAFETY: repr(C), a usize first, and integers and pointers of any bytes.
unsafe impl Struct for bantam_model_info {
    const NAME: &'static str = "bantam_model_info";
}

/// Says what a model is.
///
/// Ownership: the texts are the model's, and stay as long as it does. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_get_info(
    model: *const bantam_model,
    info: *mut bantam_model_info,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let model = &caller.shared(model)?.model;
        let (hyper, file, tokenizer) = (model.hyper(), model.file(), model.tokenizer());
        let architecture = file.string("general.architecture")?.unwrap_or_default();
        let token = |token: Option<u32>| token.and_then(|token| i32::try_from(token).ok()).unwrap_or(-1);
        let value = bantam_model_info {
            struct_size: 0,
            architecture: architecture.as_ptr().cast(),
            architecture_bytes: architecture.len(),
            backend: c_name(model.backend().name()),
            file_bytes: file.mapping().bytes().len() as u64,
            bytes_per_token: model.bytes_per_token(),
            macs_per_token: model.macs_per_token(),
            fingerprint: model.fingerprint(),
            vocab_size: hyper.vocab_size,
            context_length: hyper.context_length,
            layers: hyper.layers,
            dim: hyper.dim,
            ffn: hyper.ffn,
            heads: hyper.heads,
            kv_heads: hyper.kv_heads,
            head_dim: hyper.head_dim,
            bos: token(tokenizer.bos()),
            eos: token(tokenizer.eos()),
            has_chat_template: i32::from(file.get("tokenizer.chat_template").is_some()),
            is_file_backed: i32::from(file.mapping().is_file_backed()),
        };
        caller.fill(info, &value)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// How many bytes of the model's file are in memory at the moment.
///
/// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_IO if the system does not tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_resident_bytes(
    model: *const bantam_model,
    bytes: *mut u64,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let mapping = caller.shared(model)?.model.file().mapping();
        let bytes = caller.out(bytes, "bytes")?;
        #[cfg(all(feature = "std", unix))]
        let resident = mapping.resident_bytes()?;
        #[cfg(not(all(feature = "std", unix)))]
        let resident = mapping.bytes().len();
        bytes.write(resident as u64);
        Ok(())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Frees a model; NULL is none. Its sessions go on working, and keep the file mapped.
///
/// Ownership: ends. Threads: any, while nobody else uses the handle. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_free(model: *mut bantam_model) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(model)) }
}
