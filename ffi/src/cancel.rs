//! Floor 7. Cancel objects: switches that stop work from anywhere.

use bantam::Cancel;

use crate::boundary::call;
use crate::handle::{Noun, create_at};
use crate::status::{BANTAM_OK, Result, bantam_error, bantam_status};

/// A switch that stops work. Once set it stays set until it is reset, so one that is set just before the work begins is not lost.
pub struct bantam_cancel(());

impl Noun for bantam_cancel {
    const MAGIC: u32 = u32::from_le_bytes(*b"bcan");
    const NAME: &'static str = "the cancel object";
    type Inside = Cancel;
}

/// Makes a cancel object, which is not set.
///
/// Ownership: the caller frees it with bantam_cancel_free; what it was given to keeps what it needs of it.
/// Threads: any. Errors: BANTAM_ARGUMENT, BANTAM_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_cancel_new(
    out: *mut *mut bantam_cancel,
    error: *mut bantam_error,
) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, |caller| create_at(caller.out(out, "out")?, Cancel::new()?)) }
}

/// Sets it: work that looks at it ends within milliseconds, or does not begin.
///
/// Ownership: none taken. Threads: any, inside callbacks and signal handlers too; but not while it is freed.
/// Errors: BANTAM_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_cancel_set(cancel: *const bantam_cancel) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { with(cancel, Cancel::cancel) }
}

/// Takes it back, so that work is possible again.
///
/// Ownership: none taken. Threads: as bantam_cancel_set. Errors: BANTAM_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_cancel_reset(cancel: *const bantam_cancel) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { with(cancel, Cancel::reset) }
}

/// 1 if it is set, 0 if not, or if the handle is none.
///
/// Ownership: none taken. Threads: as bantam_cancel_set. Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_cancel_is_set(cancel: *const bantam_cancel) -> i32 {
    let mut is_set = false;
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { with(cancel, |cancel| is_set = cancel.is_cancelled()) };
    i32::from(is_set)
}

/// Frees it; NULL is none.
///
/// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_cancel_free(cancel: *mut bantam_cancel) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(cancel)) }
}

/// Uses a cancel object by nothing but atomic numbers, as a signal handler may.
///
/// # Safety
/// As the header asks of the pointer.
unsafe fn with(cancel: *const bantam_cancel, body: impl FnOnce(&Cancel)) -> bantam_status {
    // SAFETY: this function's contract.
    let found: Result<&Cancel> = unsafe { crate::boundary::in_any_place() }.shared(cancel);
    match found {
        Ok(cancel) => {
            body(cancel);
            BANTAM_OK
        }
        Err(failure) => failure.status,
    }
}
