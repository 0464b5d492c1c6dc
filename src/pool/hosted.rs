//! Floor 2. Worker threads, started once.
//!
//! The caller publishes a loop and works on it too; whoever is free takes the next index. A worker that the system has
//! not scheduled by the time the loop is through is not waited for, so more threads than cores cost little. Workers
//! spin briefly for the next loop and then park: an idle pool uses no CPU.
//!
//! ```text
//! state:  | loop number : 47 | open : 1 | workers inside : 16 |
//! ```
//! Invariant: the loop body is borrowed only while `open` is set or a worker is inside, and [`Pool::run`] returns only
//! when neither is.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle, Thread};

use super::Body;
use crate::error::{Error, Result, text};

/// Rounds of spinning before a worker parks: some hundreds of microseconds, the time in which a small model chooses a
/// token.
const SPINS: u32 = 10_000;

/// A value on cache lines of its own: those who wait for one do not slow those who count on another.
#[repr(align(128))]
struct Line<T>(T);

const INSIDE: u64 = 0xffff;
const OPEN: u64 = 1 << 16;
const NUMBER: u64 = 1 << 17;

/// The loop in progress.
#[derive(Clone, Copy)]
struct Job {
    body: *const Body<'static>,
    len: usize,
}

struct Shared {
    state: Line<AtomicU64>,
    next: Line<AtomicUsize>,
    job: UnsafeCell<Option<Job>>,
    panicked: AtomicBool,
    stop: AtomicBool,
    parked: Vec<AtomicBool>,
}

// SAFETY: `job` is written only by the caller while no worker is inside and the loop is closed (Pool::run), and read
// only by workers inside; everything else is atomic.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only followed while Pool::run borrows the body.
unsafe impl Send for Shared {}

/// The most threads of a pool. A thread of which the system has too many dies while it starts, and takes the process with
/// it, so a number far below that is refused.
const THREADS_MAX: usize = 1024;

/// Worker threads, started once. Sessions that share a pool take turns.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    turn: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` in all: the caller and `threads - 1` workers.
    pub fn new(threads: usize) -> Result<Pool> {
        if threads == 0 || threads > THREADS_MAX {
            return Err(Error::Argument(text!("threads must be 1 to {THREADS_MAX}, not {threads}")));
        }
        let mut parked = Vec::new();
        let mut workers = Vec::new();
        let mut handles = Vec::new();
        let memory = |_| Error::Memory { what: "the thread pool", bytes: threads as u64 * 32 };
        parked.try_reserve_exact(threads - 1).map_err(memory)?;
        workers.try_reserve_exact(threads - 1).map_err(memory)?;
        handles.try_reserve_exact(threads - 1).map_err(memory)?;
        parked.extend((1..threads).map(|_| AtomicBool::new(false)));
        let shared = Arc::new(Shared {
            state: Line(AtomicU64::new(0)),
            next: Line(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            parked,
        });
        let mut pool = Pool { shared, workers, handles, turn: Mutex::new(()) };
        for worker in 1..threads {
            let shared = pool.shared.clone();
            // On failure the pool is dropped, which ends the workers already started.
            let started = Builder::new()
                .name(alloc::format!("bantam-{worker}"))
                .spawn(move || shared.work(worker))
                .map_err(|error| Error::Io(text!("thread {worker} of {threads} cannot start: {error}")))?;
            pool.handles.push(started.thread().clone());
            pool.workers.push(started);
        }
        Ok(pool)
    }

    /// Threads of the pool, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(index, thread)` once for every index below `len`, and returns when all calls have.
    ///
    /// # Panics
    /// If a call panics, once the others have returned.
    pub(crate) fn run(&self, len: usize, body: &Body<'_>) {
        if len <= 1 || self.workers.is_empty() {
            (0..len).for_each(|i| body(i, 0));
            return;
        }
        // A panic while the lock was held has already been passed on.
        let _turn = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased; the body is not followed after the wait below.
        let body = unsafe { core::mem::transmute::<&Body<'_>, &'static Body<'static>>(body) };
        // SAFETY: the turn is held, the last loop was closed and its workers were waited for: nobody reads `job`.
        unsafe { *shared.job.get() = Some(Job { body, len }) };
        shared.next.0.store(0, Ordering::Relaxed);
        let number = shared.state.0.load(Ordering::Relaxed) & !(INSIDE | OPEN);
        // Sequentially consistent, like the worker's `parked`: either it sees the loop or we see it parked.
        shared.state.0.store(number.wrapping_add(NUMBER) | OPEN, Ordering::SeqCst);
        let wanted = (len - 1).min(self.handles.len());
        for (parked, handle) in shared.parked.iter().zip(&self.handles).take(wanted) {
            if parked.swap(false, Ordering::SeqCst) {
                handle.unpark();
            }
        }
        shared.take_part(body, len, 0);
        shared.state.0.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while shared.state.0.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            // A worker inside may have lost its core; then spinning keeps it from getting one.
            if spins.is_multiple_of(1024) { std::thread::yield_now() } else { core::hint::spin_loop() }
        }
        if shared.panicked.swap(false, Ordering::AcqRel) {
            panic!("a call of the loop's body panicked");
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for handle in &self.handles {
            handle.unpark();
        }
        for worker in self.workers.drain(..) {
            // A worker's panic was caught and passed on by `run`.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Takes indices until none is left.
    fn take_part(&self, body: &Body<'_>, len: usize, thread: usize) {
        let calls = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let index = self.next.0.fetch_add(1, Ordering::Relaxed);
                if index >= len {
                    return;
                }
                body(index, thread);
            }
        }));
        if calls.is_err() {
            self.panicked.store(true, Ordering::Release);
        }
    }

    /// A worker's life.
    fn work(&self, worker: usize) {
        let mut done = 0;
        while let Some(state) = self.wait(worker, done) {
            done = state & !(INSIDE | OPEN);
            // Enter, unless the loop was closed meanwhile.
            let inside = state & !INSIDE;
            let mut current = self.state.0.load(Ordering::Relaxed);
            let entered = loop {
                if current & !INSIDE != inside {
                    break false;
                }
                match self.state.0.compare_exchange_weak(
                    current,
                    current + 1,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => break true,
                    Err(now) => current = now,
                }
            };
            if !entered {
                continue;
            }
            // SAFETY: this worker is inside an open loop, so `run` has written the job and waits before it returns.
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: as above: the body is still borrowed by `run`.
                self.take_part(unsafe { &*job.body }, job.len, worker);
            }
            self.state.0.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The state once a loop newer than `done` is open; `None` at the end.
    fn wait(&self, worker: usize, done: u64) -> Option<u64> {
        let news = || {
            let state = self.state.0.load(Ordering::SeqCst);
            (state & OPEN != 0 && state & !(INSIDE | OPEN) != done).then_some(state)
        };
        loop {
            for _ in 0..SPINS {
                if let Some(state) = news() {
                    return Some(state);
                }
                if self.stop.load(Ordering::Relaxed) {
                    return None;
                }
                core::hint::spin_loop();
            }
            let parked = &self.parked[worker - 1];
            parked.store(true, Ordering::SeqCst);
            if news().is_none() && !self.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            parked.store(false, Ordering::SeqCst);
        }
    }
}
