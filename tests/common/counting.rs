//! A global allocator that counts what a test's own thread and the workers of its pools allocate, and that can refuse.
//!
//! Tests of one program run in threads of their own, so most counts are kept per thread. Workers of a pool are known by
//! their names; a program that watches them runs its tests one at a time, with [`alone`].
#![allow(dead_code, reason = "every test uses a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Counts, and passes on to the system. To be declared as the `#[global_allocator]` of a test program.
pub(crate) struct Counting;

thread_local! {
    /// Calls that asked for memory.
    static CALLS: Cell<usize> = const { Cell::new(0) };
    /// Bytes asked for and not given back; below zero if another thread's memory was given back here.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// Calls until one is refused; none is at zero.
    static REFUSE_IN: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread is a worker of a pool, once that was asked.
    static IS_WORKER: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Calls of all workers.
static WORKER_CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system's, or null, which a caller of an allocator has to expect.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refuses() {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refuses() {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: as in alloc.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if refuses() {
            return std::ptr::null_mut();
        }
        // Both blocks are there while the values move.
        count(size as isize);
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: as in alloc.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: as in alloc.
        unsafe { System.dealloc(block, layout) }
    }
}

fn refuses() -> bool {
    let left = REFUSE_IN.get();
    REFUSE_IN.set(left.saturating_sub(1));
    left == 1
}

fn count(bytes: isize) {
    CALLS.set(CALLS.get() + 1);
    LIVE.set(LIVE.get() + bytes);
    PEAK.set(PEAK.get().max(LIVE.get()));
    let is_worker = IS_WORKER.get().unwrap_or_else(|| {
        let is_worker = is_named_as_worker();
        IS_WORKER.set(Some(is_worker));
        is_worker
    });
    if is_worker {
        WORKER_CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the system knows this thread by the name of a pool's worker. Nothing is allocated to find out.
#[cfg(unix)]
fn is_named_as_worker() -> bool {
    let mut name = [0u8; 32];
    // SAFETY: the length given is that of the array, and the thread is this one.
    unsafe { libc::pthread_getname_np(libc::pthread_self(), name.as_mut_ptr().cast(), name.len()) };
    name.starts_with(b"bantam-")
}

#[cfg(not(unix))]
fn is_named_as_worker() -> bool {
    false
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Calls to the allocator for memory: of this thread and, in a program that runs [`alone`], of all workers.
    pub(crate) calls: usize,
    /// Bytes that this thread held at once, beyond those that it held before.
    pub(crate) peak_bytes: usize,
    /// Bytes that this thread still holds, less those that it held before.
    pub(crate) kept_bytes: isize,
}

/// Does some work and tells what it took.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Taken) {
    let (calls, live) = (CALLS.get() + WORKER_CALLS.load(Ordering::SeqCst), LIVE.get());
    PEAK.set(live);
    let result = work();
    let taken = Taken {
        calls: CALLS.get() + WORKER_CALLS.load(Ordering::SeqCst) - calls,
        peak_bytes: (PEAK.get() - live) as usize,
        kept_bytes: LIVE.get() - live,
    };
    (result, taken)
}

/// Does some work during which this thread's `n`-th call for memory is refused, counted from 1. Says whether so many
/// came.
pub(crate) fn refusing<T>(n: usize, work: impl FnOnce() -> T) -> (T, bool) {
    REFUSE_IN.set(n);
    let result = work();
    (result, REFUSE_IN.replace(0) == 0)
}

/// Keeps the other tests of the program waiting, so that all workers are this test's.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Waits until that many workers are there and sleep.
#[cfg(target_os = "linux")]
pub(crate) fn settle(workers: usize) {
    let is_asleep = |task: &std::path::Path| {
        let state = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        // "1234 (bantam-1) S ..."
        state.contains("(bantam-") && state.contains(") S ")
    };
    loop {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        if tasks.filter(|task| task.as_ref().is_ok_and(|task| is_asleep(&task.path()))).count() == workers {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn settle(_workers: usize) {
    std::thread::sleep(std::time::Duration::from_millis(500));
}
