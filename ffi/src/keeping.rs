//! Floor 8. Sessions that are copied, saved, and put away.

use core::ffi::{c_char, c_void};

use crate::boundary::{Caller, call};
use crate::handle::create_at;
use crate::session::{OpenSession, bantam_session};
use crate::status::{BANTAM_ARGUMENT, bantam_error, bantam_status, fail};

/// Opens a session on the heap that holds what this one holds, logits included, with the same model, threads and options.
///
/// Ownership: the caller frees it with bantam_session_free. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_MEMORY,
/// BANTAM_CHANGED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_fork(
    session: *mut bantam_session,
    out: *mut *mut bantam_session,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        caller.exclusive(session, |open| {
            let session = open.awake()?.fork()?;
            let log = open.log;
            create_at(out, OpenSession::on_heap(session, log))
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Makes `to` hold what `from` holds, logits included: a fork into a session that is there already. An answer in progress in `to` is given up.
///
/// Ownership: none taken. Threads: one at a time each. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_CONTEXT_FULL, BANTAM_ARGUMENT if they are of two
/// models, keep their caches differently, or `to` has no room for the adapters of `from`: `to` holds what it held then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_copy(
    to: *mut bantam_session,
    from: *mut bantam_session,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(to, |to| {
            caller.exclusive(from, |from| {
                let from = from.awake()?;
                to.generator = None;
                Ok(to.session.copy_from(from)?)
            })
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Saves what the session holds, logits included, to a file. One that is there already is replaced once all is written.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_IO, BANTAM_CHANGED,
/// BANTAM_CANCELLED: a file that was there is there still then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_save(
    session: *mut bantam_session,
    path: *const c_char,
    path_bytes: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let path = caller.path(path, path_bytes)?;
        caller.exclusive(session, |open| files::save(open.awake()?, path))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Makes the session hold what was saved to a file, logits included. An answer in progress is given up.
///
/// Ownership: none taken. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_IO, BANTAM_SAVED, BANTAM_CHANGED, BANTAM_CONTEXT_FULL: the session holds what it held then; only
/// if somebody else writes to the file in the meantime it may hold nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_restore(
    session: *mut bantam_session,
    path: *const c_char,
    path_bytes: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let path = caller.path(path, path_bytes)?;
        caller.exclusive(session, |open| {
            open.generator = None;
            files::restore(&mut open.session, path)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Saves what the session holds, logits included, to memory: `saved_bytes` of its info. `written` is how many bytes that took.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_TOO_SMALL, BANTAM_CHANGED,
/// BANTAM_CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_save_to(
    session: *mut bantam_session,
    memory: *mut c_void,
    capacity: usize,
    written: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let written = caller.out(written, "written")?;
        caller.exclusive(session, |open| {
            let session = open.awake()?;
            let needed = session.saved_bytes();
            if capacity < needed {
                return Err(fail!(
                    crate::status::BANTAM_TOO_SMALL,
                    "the session takes {needed} bytes, and {capacity} are there"
                )
                .with_detail(needed));
            }
            written.write(session.save_to(caller.slice_mut(
                memory.cast::<u8>(),
                capacity,
                "the memory",
            )?)?);
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Makes the session hold what was saved to memory, logits included. An answer in progress is given up.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_SAVED, BANTAM_CHANGED, BANTAM_CONTEXT_FULL: the
/// session holds what it held then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_restore_from(
    session: *mut bantam_session,
    memory: *const c_void,
    bytes: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let saved = caller.slice(memory.cast::<u8>(), bytes, "the memory")?;
        caller.exclusive(session, |open| {
            open.generator = None;
            Ok(open.session.restore_from(saved)?)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Gives back the memory of what is computed anew for each call. Nothing has to be done to take it again.
pub const BANTAM_TRIM_SCRATCH: i32 = 1;
/// Also writes keys, values and logits to a file, and gives their memory back. The next call that needs them reads them again, and removes the
/// file, or says why that cannot be.
pub const BANTAM_TRIM_ALL: i32 = 2;

/// Gives memory back to the system, BANTAM_TRIM_..., when an app goes into the background or is warned that memory is short. An answer in
/// progress can be pulled on afterwards. `path` names a file for BANTAM_TRIM_ALL, in a place of the app's own and for no other session, and is not looked at
/// otherwise; `released`, which may be NULL, is how many bytes were given back. Memory of the caller's is not. The file goes when it was read, or when
/// what it holds is given up: by a rewind to 0, a restore, or with the session.
///
/// Behind BANTAM_TRIM_ALL every call with the session that needs more than its tokens takes its memory back first. Where it cannot, that call is BANTAM_IO,
/// BANTAM_SAVED or BANTAM_CHANGED, whatever its own errors are, and may be made again; rewind to 0, and read the prompt again.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_IO, BANTAM_CHANGED, BANTAM_CANCELLED: nothing was
/// given back then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_trim(
    session: *mut bantam_session,
    level: i32,
    path: *const c_char,
    path_bytes: usize,
    released: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.optional_out(released, "released")?;
        caller.exclusive(session, |open| {
            let released = match level {
                BANTAM_TRIM_SCRATCH => open.session.trim(),
                BANTAM_TRIM_ALL if open.session.is_spilled() => 0,
                BANTAM_TRIM_ALL => {
                    let path = caller.path(path, path_bytes)?;
                    files::spill(&mut open.session, path)?
                }
                other => return Err(fail!(BANTAM_ARGUMENT, "there is no level {other}; they are 1 and 2")),
            };
            open.log.line(format_args!("session trimmed: {released} bytes given back"));
            if let Some(out) = out {
                out.write(released);
            }
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// What sessions do with files.
#[cfg(feature = "std")]
mod files {
    use bantam::Session;

    use crate::status::Result;

    pub(super) fn save(session: &mut Session, path: &str) -> Result<()> {
        Ok(session.save(path)?)
    }

    pub(super) fn restore(session: &mut Session, path: &str) -> Result<()> {
        Ok(session.restore(path)?)
    }

    pub(super) fn spill(session: &mut Session, path: &str) -> Result<usize> {
        Ok(session.spill(path)?)
    }
}

/// This build has none.
#[cfg(not(feature = "std"))]
mod files {
    use bantam::Session;

    use crate::status::{BANTAM_UNSUPPORTED, Result, fail};

    pub(super) fn none<T>(_session: &mut Session, _path: &str) -> Result<T> {
        Err(fail!(BANTAM_UNSUPPORTED, "this build has no files: save to memory"))
    }

    pub(super) use none as save;
    pub(super) use none as restore;
    pub(super) use none as spill;
}
