//! Floor 8. Adapters (LoRA): files that change what sessions of a model compute.

use core::ffi::{c_char, c_void};

use bantam::Adapter;
use bantam::mmap::Mapping;

use crate::boundary::{Caller, call};
use crate::handle::{Noun, create_at};
use crate::model::{bantam_model, bantam_release};
use crate::options::Struct;
use crate::session::bantam_session;
use crate::source::{LentBytes, map_fd, map_path};
use crate::status::{BANTAM_ARGUMENT, Result, bantam_error, bantam_status, fail};

/// An open adapter of a model. Any number of threads and sessions may use it at once.
pub struct bantam_adapter(());

impl Noun for bantam_adapter {
    const MAGIC: u32 = u32::from_le_bytes(*b"bada");
    const NAME: &'static str = "the adapter";
    type Inside = Adapter;
}

/// The most adapters that a session has at once.
pub const BANTAM_ADAPTERS_MAX: usize = 8;

/// Opens the adapter at a path: a GGUF file, mapped in place and checked against the model. An error names the tensor that does not fit.
///
/// Ownership: the caller frees it with bantam_adapter_free; it keeps what it needs of the model, and sessions what they need of it.
/// Threads: any. Errors: BANTAM_HANDLE, BANTAM_IO, BANTAM_NOT_A_FILE, BANTAM_NOT_GGUF, BANTAM_MALFORMED, BANTAM_INCONSISTENT if it is no adapter or another
/// model's, BANTAM_UNSUPPORTED, BANTAM_MEMORY, BANTAM_ARGUMENT, BANTAM_CHANGED if the model's file was cut short.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_adapter_open(
    model: *const bantam_model,
    path: *const c_char,
    path_bytes: usize,
    out: *mut *mut bantam_adapter,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let path = caller.path(path, path_bytes)?;
        open(caller, model, out, || map_path(path))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens `length` bytes of an open file from `offset` on (to its end if 0) as an adapter: an asset inside an archive. The descriptor is borrowed, and may
/// be closed when the call has returned.
///
/// Ownership: as bantam_adapter_open; the descriptor stays the caller's.
/// Threads: any. Errors: as bantam_adapter_open; BANTAM_ARGUMENT if the range is not inside of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_adapter_open_fd(
    model: *const bantam_model,
    fd: i32,
    offset: u64,
    length: u64,
    out: *mut *mut bantam_adapter,
    error: *mut bantam_error,
) -> bantam_status {
    let body =
        |caller: Caller| open(caller, model, out, || map_fd(fd, offset, (length != 0).then_some(length)));
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens an adapter in memory, in place.
///
/// Ownership: as bantam_adapter_open; the bytes stay the caller's, who keeps them there and unchanged until `release`, which may be NULL, is called with
/// `user`: when the last user of the bytes is gone, on whatever thread that is, or when opening fails.
/// Threads: any. Errors: as bantam_adapter_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_adapter_open_memory(
    model: *const bantam_model,
    bytes: *const c_void,
    length: usize,
    release: bantam_release,
    user: *mut c_void,
    out: *mut *mut bantam_adapter,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let bytes = caller.slice(bytes.cast::<u8>(), length, "the adapter's bytes");
        // They are released whatever else is wrong.
        let lent = LentBytes::new(bytes.as_ref().ok().copied(), release, user);
        open(caller, model, out, || bytes.and_then(|_| Ok(Mapping::from_bytes(lent)?)))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Opens an adapter from what `map` finds.
fn open(
    caller: Caller,
    model: *const bantam_model,
    out: *mut *mut bantam_adapter,
    map: impl FnOnce() -> Result<Mapping>,
) -> Result<()> {
    let out = caller.out(out, "out")?;
    let model = caller.mapped(model)?;
    let adapter = Adapter::from_mapping(&model.model, map()?)?;
    model.log.line(format_args!(
        "adapter opened: {} bytes, rank {}, for {} matrices",
        adapter.file().mapping().bytes().len(),
        adapter.rank(),
        adapter.matrices()
    ));
    create_at(out, adapter)
}

/// What an adapter is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_adapter_info {
    /// sizeof(bantam_adapter_info), set by the caller.
    pub struct_size: usize,
    /// Its greatest rank: what it counts for in `adapter_rank` of bantam_session_options.
    pub rank: usize,
    /// Matrices of the model that it adds to.
    pub matrices: usize,
    /// Tells this adapter's file from another's.
    pub fingerprint: u64,
    /// Multiplies what it adds, over the rank; 0 if the file has none.
    pub alpha: f32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: repr(C), a usize first, and integers and a number of any bytes.
unsafe impl Struct for bantam_adapter_info {
    const NAME: &'static str = "bantam_adapter_info";
}

/// Says what an adapter is.
///
/// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_ARGUMENT, BANTAM_CHANGED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_adapter_get_info(
    adapter: *const bantam_adapter,
    info: *mut bantam_adapter_info,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let adapter = caller.shared(adapter)?;
        adapter.file().mapping().check()?;
        let value = bantam_adapter_info {
            struct_size: 0,
            rank: adapter.rank(),
            matrices: adapter.matrices(),
            fingerprint: adapter.fingerprint(),
            alpha: adapter.alpha(),
            reserved: 0,
        };
        caller.fill(info, &value)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Has a session use these adapters, `scales[i]` being the scale of `adapters[i]`, instead of those that it had; `scales` may be NULL, and all are 1 then.
/// None at all takes them away, and the session computes what it did before, to the last bit.
///
/// What the session holds was computed with other adapters, so it is forgotten, and an answer in progress is given up; with the adapters and scales
/// that are set already, nothing happens. Nothing is allocated: the session is opened with an `adapter_rank` of all ranks together.
///
/// Ownership: none taken; the session keeps what it needs of the adapters, which may be freed. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_CHANGED, BANTAM_ARGUMENT for more than BANTAM_ADAPTERS_MAX, one of another model, a scale that is no
/// number, or ranks that there is no room for: nothing has happened then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_set_adapters(
    session: *mut bantam_session,
    adapters: *const *const bantam_adapter,
    scales: *const f32,
    count: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let handles = caller.slice(adapters, count, "the adapters")?;
        let scales = if scales.is_null() { None } else { Some(caller.slice(scales, count, "the scales")?) };
        if count > BANTAM_ADAPTERS_MAX {
            return Err(fail!(
                BANTAM_ARGUMENT,
                "{count} adapters, and a session has at most {BANTAM_ADAPTERS_MAX}"
            ));
        }
        let first = handles.first().map(|&first| caller.shared(first)).transpose()?;
        let mut all = first.map(|first| [(first, 1.0); BANTAM_ADAPTERS_MAX]);
        let all = all.as_mut().map_or(&mut [][..], |all| &mut all[..count]);
        for (i, (one, handle)) in all.iter_mut().zip(handles).enumerate() {
            *one = (caller.shared(*handle)?, scales.map_or(1.0, |scales| scales[i]));
        }
        caller.exclusive(session, |open| {
            let before = open.session.position();
            open.session.set_adapters(all)?;
            if open.session.position() < before {
                open.generator = None;
            }
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Frees an adapter; NULL is none. Sessions that have it go on working.
///
/// Ownership: ends. Threads: any, while nobody else uses the handle. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_adapter_free(adapter: *mut bantam_adapter) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(adapter)) }
}
