//! Floor 6. The border between the caller and the runtime: what panics become, what pointers become, and what a callback may
//! do.
//!
//! Invariant: no panic leaves a call, nothing is written to the caller's outputs by a call that fails, and while a callback
//! runs, its thread can call nothing but cancel.

use core::ffi::c_char;
use core::slice;

#[cfg(feature = "std")]
use crate::status::BANTAM_PANIC;
use crate::status::{
    BANTAM_ARGUMENT, BANTAM_BUSY, BANTAM_OK, BANTAM_TOO_SMALL, Result, bantam_error, bantam_status, fail,
};

/// What stands for "up to the 0" where the length of a text is asked for.
pub const BANTAM_NUL_TERMINATED: usize = usize::MAX;

/// The promise of a caller: that each pointer is NULL, or leads to as much memory as the header says, for as long as it says.
///
/// Holding one is the proof that safe code may follow the pointers that came with it; [`call`] makes it from its own
/// contract.
#[derive(Clone, Copy)]
pub(crate) struct Caller(());

/// Runs the body of a function of the header.
///
/// # Safety
/// The pointers that the body follows are as the header asks for, and so is `error`.
pub(crate) unsafe fn call(error: *mut bantam_error, body: impl Fn(Caller) -> Result<()>) -> bantam_status {
    // SAFETY: this function's contract.
    unsafe { run(error, &body, true) }
}

/// As [`call`], and takes no memory: for the call that says where memory comes from.
///
/// # Safety
/// As for [`call`].
#[cfg(feature = "allocator")]
pub(crate) unsafe fn call_first(
    error: *mut bantam_error,
    body: impl Fn(Caller) -> Result<()>,
) -> bantam_status {
    // SAFETY: this function's contract.
    unsafe { run(error, &body, false) }
}

/// What all functions of the header have in common, compiled once.
///
/// # Safety
/// As for [`call`].
unsafe fn run(
    error: *mut bantam_error,
    body: &dyn Fn(Caller) -> Result<()>,
    may_take_memory: bool,
) -> bantam_status {
    #[cfg(feature = "std")]
    if may_take_memory {
        quiet::install();
    }
    #[cfg(not(feature = "std"))]
    let _ = may_take_memory;
    let failure = match guarded(body) {
        Ok(()) => return BANTAM_OK,
        Err(failure) => failure,
    };
    // SAFETY: the caller promised NULL or a whole error that nobody else uses during the call.
    if let Some(error) = unsafe { error.as_mut() } {
        failure.write(error);
    }
    failure.status
}

/// The promise of a caller who may be anywhere, in a callback or a signal handler, and calls nothing that could panic.
///
/// # Safety
/// As for [`call`].
pub(crate) unsafe fn in_any_place() -> Caller {
    Caller(())
}

fn guarded(body: &dyn Fn(Caller) -> Result<()>) -> Result<()> {
    if callback::is_running() {
        return Err(fail!(
            BANTAM_BUSY,
            "a callback is running: inside of one, cancel objects may be set and reset, and nothing else called"
        ));
    }
    #[cfg(feature = "std")]
    {
        let inside = quiet::Inside::enter();
        // What a panic leaves behind is in a handle, and handles are poisoned by it.
        let result = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| body(Caller(()))));
        drop(inside);
        result.unwrap_or_else(|payload| {
            // A payload may panic when it is dropped.
            core::mem::forget(payload);
            Err(fail!(BANTAM_PANIC, "a bug in the library was caught; please report what led to it"))
        })
    }
    #[cfg(not(feature = "std"))]
    body(Caller(()))
}

impl Caller {
    /// `len` values at `start`, which may be NULL if there are none.
    pub(crate) fn slice<'a, T: Plain>(self, start: *const T, len: usize, what: &str) -> Result<&'a [T]> {
        if len == 0 {
            return Ok(&[]);
        }
        check(start.cast(), len, layout::<T>(), what)?;
        // SAFETY: the caller's promise: start leads to len values that do not change during the call; check saw that
        // they are aligned and not more than there can be; any bytes are a value (Plain).
        Ok(unsafe { slice::from_raw_parts(start, len) })
    }

    /// `len` values at `start` that may be written, if the call succeeds.
    pub(crate) fn slice_mut<'a, T: Plain>(
        self,
        start: *mut T,
        len: usize,
        what: &str,
    ) -> Result<&'a mut [T]> {
        if len == 0 {
            return Ok(&mut []);
        }
        check(start.cast(), len, layout::<T>(), what)?;
        // SAFETY: as in slice; and nobody else uses what a call may write.
        Ok(unsafe { slice::from_raw_parts_mut(start, len) })
    }

    /// `len` bytes of UTF-8 at `start`, or those before the first 0 if `len` is [`BANTAM_NUL_TERMINATED`].
    pub(crate) fn text<'a>(self, start: *const c_char, len: usize, what: &str) -> Result<&'a str> {
        let bytes = if len == BANTAM_NUL_TERMINATED {
            if start.is_null() {
                return Err(fail!(BANTAM_ARGUMENT, "{what}: the pointer is NULL"));
            }
            // SAFETY: the caller promised a 0 at the end of such a text.
            unsafe { core::ffi::CStr::from_ptr(start) }.to_bytes()
        } else {
            self.slice(start.cast::<u8>(), len, what)?
        };
        core::str::from_utf8(bytes).map_err(|error| {
            fail!(BANTAM_ARGUMENT, "{what}: no UTF-8 from byte {} on", error.valid_up_to())
                .with_detail(error.valid_up_to())
        })
    }

    /// The path of a file.
    pub(crate) fn path<'a>(self, start: *const c_char, len: usize) -> Result<&'a str> {
        match self.text(start, len, "the path")? {
            "" => Err(fail!(BANTAM_ARGUMENT, "the path is empty")),
            path if path.contains('\0') => Err(fail!(BANTAM_ARGUMENT, "the path has a 0 in it")),
            path => Ok(path),
        }
    }

    /// Where a result goes.
    pub(crate) fn out<T>(self, pointer: *mut T, what: &str) -> Result<Out<T>> {
        check(pointer.cast::<u8>(), 1, layout::<T>(), what)?;
        Ok(Out(pointer))
    }

    /// Where a result goes that not everybody wants.
    pub(crate) fn optional_out<T>(self, pointer: *mut T, what: &str) -> Result<Option<Out<T>>> {
        if pointer.is_null() { Ok(None) } else { self.out(pointer, what).map(Some) }
    }

    /// Copies `values` to the caller's buffer, and their number to `count`.
    pub(crate) fn copy<T: Plain>(
        self,
        values: &[T],
        (out, capacity): (*mut T, usize),
        count: *mut usize,
    ) -> Result<()> {
        let count = self.out(count, "the place for the length")?;
        if values.len() > capacity {
            return Err(fail!(
                BANTAM_TOO_SMALL,
                "the buffer has room for {capacity}, and {} come",
                values.len()
            )
            .with_detail(values.len()));
        }
        self.slice_mut(out, values.len(), "the buffer")?.copy_from_slice(values);
        count.write(values.len());
        Ok(())
    }
}

/// A place for a result: written once, when the call has succeeded.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Writes the result.
    pub(crate) fn write(self, value: T) {
        // SAFETY: Caller::out checked that it is aligned and not NULL; the rest is the caller's promise.
        unsafe { self.0.write(value) }
    }
}

/// The bytes of a value, and what it is aligned to.
const fn layout<T>() -> (usize, usize) {
    (size_of::<T>(), align_of::<T>())
}

/// Whether a pointer to `len` values of that layout can be followed at all.
pub(crate) fn check(
    start: *const u8,
    len: usize,
    (size, alignment): (usize, usize),
    what: &str,
) -> Result<()> {
    if start.is_null() {
        return Err(fail!(BANTAM_ARGUMENT, "{what}: the pointer is NULL"));
    }
    if !start.addr().is_multiple_of(alignment) {
        return Err(fail!(BANTAM_ARGUMENT, "{what}: the pointer is not aligned to {alignment} bytes"));
    }
    match len.checked_mul(size).filter(|&bytes| bytes <= isize::MAX as usize) {
        Some(_) => Ok(()),
        None => Err(fail!(BANTAM_ARGUMENT, "{what}: {len} values are more than memory can hold")),
    }
}

/// A type of which any bytes are a value, and which needs no drop.
///
/// # Safety
/// That has to be so.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: any bytes are a number.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: any bytes are a pointer, which is another matter to follow.
unsafe impl<T> Plain for *const T {}
// SAFETY: as above.
unsafe impl<T> Plain for *mut T {}

/// Runs a function of the caller's, during which its thread can call nothing but cancel.
pub(crate) fn call_back<R>(function: impl FnOnce() -> R) -> R {
    let outer = callback::set(true);
    let result = function();
    callback::set(outer);
    result
}

/// Whether a callback runs on this thread.
#[cfg(feature = "std")]
mod callback {
    use core::cell::Cell;

    std::thread_local! {
        static RUNNING: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn is_running() -> bool {
        RUNNING.get()
    }

    /// What it was before.
    pub(super) fn set(running: bool) -> bool {
        RUNNING.replace(running)
    }
}

/// Without an operating system there is one thread, or each of its CPUs has a library of its own.
#[cfg(not(feature = "std"))]
mod callback {
    use core::sync::atomic::{AtomicBool, Ordering};

    static RUNNING: AtomicBool = AtomicBool::new(false);

    pub(super) fn is_running() -> bool {
        RUNNING.load(Ordering::Relaxed)
    }

    pub(super) fn set(running: bool) -> bool {
        RUNNING.swap(running, Ordering::Relaxed)
    }
}

/// Keeps panics inside calls from being printed: nothing is written to the caller's standard error.
#[cfg(feature = "std")]
mod quiet {
    use core::cell::Cell;
    use std::boxed::Box;
    use std::panic::PanicHookInfo;
    use std::sync::OnceLock;

    type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

    std::thread_local! {
        static INSIDE: Cell<u32> = const { Cell::new(0) };
    }

    /// While there is one, panics of this thread are not printed.
    pub(super) struct Inside(());

    impl Inside {
        pub(super) fn enter() -> Inside {
            INSIDE.set(INSIDE.get() + 1);
            Inside(())
        }
    }

    impl Drop for Inside {
        fn drop(&mut self) {
            INSIDE.set(INSIDE.get() - 1);
        }
    }

    /// Silences panics inside calls and those of the library's own threads; others go to the hook that was there before.
    pub(super) fn install() {
        static BEFORE: OnceLock<Hook> = OnceLock::new();
        BEFORE.get_or_init(|| {
            let before = std::panic::take_hook();
            // It captures nothing, and so takes no memory, which could not be refused here.
            std::panic::set_hook(Box::new(|info| {
                let is_ours = INSIDE.try_with(Cell::get).unwrap_or(1) > 0
                    || std::thread::current().name().is_some_and(|name| name.starts_with("bantam"));
                if !is_ours && let Some(before) = BEFORE.get() {
                    before(info);
                }
            }));
            before
        });
    }
}
