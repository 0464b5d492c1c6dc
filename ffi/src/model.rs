//! Floor 7. Models: opened in place, shared by threads and sessions.

use core::ffi::{c_char, c_void};

use bantam::mmap::Mapping;
use bantam::{Cancel, Model, ModelOptions};

use crate::boundary::{BANTAM_NUL_TERMINATED, Caller, call, call_back};
use crate::cancel::bantam_cancel;
use crate::handle::{Noun, create_at};
use crate::metadata::Place;
use crate::options::{Struct, flag, unused};
use crate::pages::{Watch, bantam_progress};
use crate::source::{LentBytes, bantam_part, map_fd, map_parts, map_path};
use crate::status::{Result, bantam_error, bantam_status};
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
    /// Of an array of the metadata that is read element by element.
    pub(crate) place: Place,
    #[cfg(feature = "constrain")]
    pub(crate) constrainer: std::sync::OnceLock<bantam::constrain::Constrainer>,
}

/// Takes a line of the log: UTF-8 without a 0 at its end, never with text of prompts or answers. It is called on the thread that called
/// the library, and may call nothing of it but cancel objects.
pub type bantam_log = Option<unsafe extern "C" fn(user: *mut c_void, message: *const c_char, bytes: usize)>;

/// Told that the bytes of a model or of an adapter are not used any more, once.
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
    /// Takes the log of the model and of what is opened on it; NULL is silence. It has to stay usable until all of that is freed.
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
    /// Told how many bytes of the model are ready: none, then all; with `lock`, which has to read them, also what is between. NULL if nobody
    /// cares.
    pub progress: bantam_progress,
    /// Handed to it.
    pub progress_user: *mut c_void,
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
/// BANTAM_MEMORY, BANTAM_CANCELLED, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_HANDLE for a cancel object that is none, BANTAM_CHANGED with `lock`.
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
        open(caller, options, out, |_| || map_path(path))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens `length` bytes of an open file from `offset` on (to its end if 0): an asset inside an archive. Any offset that is a multiple of 4 is
/// used in place, and others are BANTAM_UNSUPPORTED. The descriptor is borrowed, and may be closed when the call has returned; it is neither read
/// nor moved.
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
    let body = |caller: Caller| {
        open(caller, options, out, |_| move || map_fd(fd, offset, (length != 0).then_some(length)))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens a model in memory, in place: flash, or a map of the caller's own. It begins at a multiple of 4, or is BANTAM_UNSUPPORTED.
///
/// Ownership: as bantam_model_open; the bytes stay the caller's, who keeps them there and unchanged until the options' `release` is
/// called. That is also when opening fails, but not when the options cannot be read (BANTAM_STRUCT that tells of their size or of unknown fields) or the
/// call comes from inside of a callback. Threads: any. Errors: as bantam_model_open.
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
            let bytes = caller.slice(bytes.cast::<u8>(), length, "the model's bytes");
            let lent = LentBytes::new(bytes.as_ref().ok().copied(), options.release, options.release_user);
            move || bytes.and_then(|_| Ok(Mapping::from_bytes(lent)?))
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens a model in several files (split GGUF), all parts in their order. One whose files lie beside each other under the usual names,
/// name-00001-of-00003.gguf, is opened by bantam_model_open with the path of the first. An error says which part it is of, counted from 1.
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
        open(caller, options, out, |_| || map_parts(caller, parts))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens a model from what `source` will find. What was lent to it is released whatever else is wrong.
fn open<S>(
    caller: Caller,
    options: *const bantam_model_options,
    out: *mut *mut bantam_model,
    source: impl FnOnce(&bantam_model_options) -> S,
) -> Result<()>
where
    S: FnOnce() -> Result<Mapping>,
{
    let options = caller.options(options)?;
    let source = source(&options);
    let out = caller.out(out, "out")?;
    let backend = caller.field(options.backend, options.backend_bytes, "the backend's name")?;
    unused(options.reserved, bantam_model_options::NAME)?;
    let lock = flag(options.lock, "lock of bantam_model_options")?;
    let watch = Watch {
        cancel: caller.cancel(options.cancel)?,
        progress: options.progress,
        user: options.progress_user,
    };
    watch.check_cancel()?;
    let mapping = source()?;
    let bytes = mapping.bytes().len();
    watch.check(0, bytes)?;
    let model = Model::from_mapping(mapping, &ModelOptions { backend })?;
    if lock {
        crate::pages::lock(&model, &watch)?;
    } else {
        watch.check(bytes, bytes)?;
    }
    let log = Log { log: options.log, user: options.log_user };
    let hyper = model.hyper();
    log.line(format_args!(
        "model opened: {bytes} bytes, {} layers, width {}, vocabulary of {}, backend {}",
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
            place: Place::default(),
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

    /// A model whose file is as long as it was: what is read of it is there.
    #[inline(never)]
    pub(crate) fn mapped<'a>(self, model: *const bantam_model) -> Result<&'a OpenModel> {
        let open = self.shared(model)?;
        open.model.file().mapping().check()?;
        Ok(open)
    }

    /// The switch of an optional cancel object.
    pub(crate) fn cancel(self, cancel: *const bantam_cancel) -> Result<Option<Cancel>> {
        if cancel.is_null() { Ok(None) } else { self.shared(cancel).map(|cancel| Some(cancel.clone())) }
    }

    /// The same; without one, a switch that nobody sets.
    pub(crate) fn cancel_or_new(self, cancel: *const bantam_cancel) -> Result<Cancel> {
        self.cancel(cancel)?.map_or_else(|| Ok(Cancel::new()?), Ok)
    }
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
    /// Bytes of the file, or of the part of it, or of the memory; of a model in several files, of all of them.
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
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_get_info(
    model: *const bantam_model,
    info: *mut bantam_model_info,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let model = &caller.mapped(model)?.model;
        let (hyper, file, tokenizer) = (model.hyper(), model.file(), model.tokenizer());
        let architecture = file.string("general.architecture")?.unwrap_or_default();
        let token = |token: Option<u32>| token.and_then(|token| i32::try_from(token).ok()).unwrap_or(-1);
        let value = bantam_model_info {
            struct_size: 0,
            architecture: architecture.as_ptr().cast(),
            architecture_bytes: architecture.len(),
            backend: c_name(model.backend().name()),
            file_bytes: file.mapping().file_bytes() as u64,
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

/// Frees a model; NULL is none. Its sessions go on working, and keep the file mapped.
///
/// Ownership: ends. Threads: any, while nobody else uses the handle. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_free(model: *mut bantam_model) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(model)) }
}
