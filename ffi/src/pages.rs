//! Floor 7. Which pages of a model are in memory: read ahead, kept there, counted; and who watches that.

use core::ffi::c_void;

use bantam::{Cancel, Model};

use crate::boundary::{Caller, call, call_back};
use crate::cancel::bantam_cancel;
use crate::model::bantam_model;
#[cfg(not(all(feature = "std", unix)))]
use crate::status::BANTAM_UNSUPPORTED;
use crate::status::{BANTAM_CANCELLED, Result, bantam_error, bantam_status, fail};

/// Told how far something is; returns 0 to go on, anything else to cancel it. It is called on the thread that called the library, and may
/// call nothing of it but cancel objects.
pub type bantam_progress = Option<unsafe extern "C" fn(user: *mut c_void, done: u64, all: u64) -> i32>;

/// Who is told how far something is, and may stop it.
pub(crate) struct Watch {
    pub(crate) cancel: Option<Cancel>,
    pub(crate) progress: bantam_progress,
    pub(crate) user: *mut c_void,
}

impl Watch {
    /// An error if it was stopped.
    pub(crate) fn check_cancel(&self) -> Result<()> {
        if self.is_stopped() { Err(fail!(BANTAM_CANCELLED, "cancelled")) } else { Ok(()) }
    }

    /// An error if it shall not go on.
    pub(crate) fn check(&self, done: usize, all: usize) -> Result<()> {
        if self.tell(done, all) { Ok(()) } else { Err(fail!(BANTAM_CANCELLED, "cancelled")) }
    }

    /// Whether it shall go on. One that was stopped is told nothing.
    fn tell(&self, done: usize, all: usize) -> bool {
        // SAFETY: the caller's function, called as the header says.
        let tell = |told: unsafe extern "C" fn(*mut c_void, u64, u64) -> i32| unsafe {
            told(self.user, done as u64, all as u64)
        };
        !self.is_stopped()
            && self.progress.is_none_or(|told| call_back(|| tell(told)) == 0)
            && !self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }
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
        let watch = Watch { cancel: caller.cancel(cancel)?, progress, user: progress_user };
        warm(&model.model, &watch)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Reads all pages.
#[cfg(all(feature = "std", unix))]
fn warm(model: &Model, watch: &Watch) -> Result<()> {
    Ok(model.file().mapping().warm(|done, all| watch.tell(done, all))?)
}

/// Memory is warm.
#[cfg(not(all(feature = "std", unix)))]
fn warm(model: &Model, watch: &Watch) -> Result<()> {
    let all = model.file().mapping().bytes().len();
    watch.check(all, all)
}

/// Reads all pages and keeps them. The system would read them in one step that nothing stops.
#[cfg(all(feature = "std", unix))]
pub(crate) fn lock(model: &Model, watch: &Watch) -> Result<()> {
    warm(model, watch)?;
    Ok(model.file().mapping().lock()?)
}

#[cfg(not(all(feature = "std", unix)))]
pub(crate) fn lock(_model: &Model, _watch: &Watch) -> Result<()> {
    Err(fail!(BANTAM_UNSUPPORTED, "this build cannot keep pages in memory"))
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
        let resident = mapping.resident_bytes()?.min(mapping.file_bytes());
        #[cfg(not(all(feature = "std", unix)))]
        let resident = mapping.bytes().len();
        bytes.write(resident as u64);
        Ok(())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}
