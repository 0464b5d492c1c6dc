//! Floor 2. Parallel loops, one after the other: who takes part in one, which indices are whose, and when it is over.
//!
//! ```text
//! state:  | loop number : 36 | room : 11 | open : 1 | inside : 16 |
//! ```
//! One thread at a time, the caller, opens a loop, works on it, closes it, and waits until nobody is inside. A helper goes
//! inside by a compare-and-swap that succeeds on an open loop only, and out by a subtraction. So a helper that has not
//! come by the time the loop is through is not waited for. Workers have fixed numbers, and come if there is room for theirs;
//! others are given the number of the room that is left, which then is one less.
//!
//! Invariant: between its wait and the next opening only the caller touches `job` and `next`, and the body is borrowed
//! only while the loop is open or a helper inside. Every index is claimed once, from the one counter of its range.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use super::crowd::Crowd;
use super::{Body, THREADS_MAX, alone};
use crate::error::{Error, Result};

const INSIDE: u64 = 0xffff;
const OPEN: u64 = 1 << 16;
const ROOM: u64 = 1 << 17;
const ROOM_BITS: u64 = 0x7ff * ROOM;
const NUMBER: u64 = 1 << 28;
const NUMBER_BITS: u64 = !(NUMBER - 1);

/// The greatest number of a helper fits into the room of the state, and so does the count of all inside.
const _: () = assert!(THREADS_MAX as u64 <= ROOM_BITS / ROOM);

/// Rounds of spinning at the end of a loop before the caller looks at the clock and lets other threads have its core:
/// some tens of microseconds.
const SPINS: u32 = 1_000;

/// A thread claims this share of what is left of a range, so that little is left to wait for at the end.
const SHARE: usize = 4;

/// A value on cache lines of its own: those who wait for one do not slow those who count on another.
#[repr(align(128))]
pub(super) struct Line<T>(pub(super) T);

/// The loop in progress: `0..len`, cut into one range per thread.
#[derive(Clone, Copy)]
struct Job {
    body: *const Body<'static>,
    len: usize,
    /// The most indices that a thread claims at once.
    most: usize,
    threads: usize,
}

impl Job {
    /// Where the range of a thread starts. The caller is there first and has the longest.
    fn start(&self, thread: usize) -> usize {
        (self.len * thread).div_ceil(self.threads)
    }
}

/// The state of the loops of one pool.
pub(super) struct Rounds {
    state: Line<AtomicU64>,
    job: UnsafeCell<Option<Job>>,
    /// The next index to claim in each thread's range.
    next: Vec<Line<AtomicUsize>>,
    panicked: AtomicBool,
    /// Whose turn it is to open a loop, and how many threads that takes.
    turn: Mutex<Crowd>,
}

// SAFETY: `job` is written only by the caller, whose turn it is, while no loop is open and no helper inside, and read only by
// helpers inside (the file's invariant); everything else is atomic or locked.
unsafe impl Sync for Rounds {}
// SAFETY: the pointer in `job` is followed only while Rounds::run borrows the body.
unsafe impl Send for Rounds {}

impl Rounds {
    /// Loops of up to `capacity` threads on `cpus` CPUs.
    pub(super) fn new(capacity: usize, cpus: usize) -> Result<Rounds> {
        let mut next = Vec::new();
        let bytes = (capacity * size_of::<Line<AtomicUsize>>()) as u64;
        next.try_reserve_exact(capacity).map_err(|_| Error::Memory { what: "the thread pool", bytes })?;
        next.extend((0..capacity).map(|_| Line(AtomicUsize::new(0))));
        Ok(Rounds {
            state: Line(AtomicU64::new(0)),
            job: UnsafeCell::new(None),
            next,
            panicked: AtomicBool::new(false),
            turn: Mutex::new(Crowd::new(cpus.min(capacity))),
        })
    }

    /// Calls `body` once for every index below `len`, on this thread and up to `threads - 1` helpers, `most` at a time,
    /// and returns when all calls have. `summon(n)` is to make the helpers 1 to `n` look at the state.
    ///
    /// # Panics
    /// If a call panics, once the others have returned.
    pub(super) fn run(
        &self,
        threads: usize,
        len: usize,
        most: usize,
        body: &Body<'_>,
        summon: &dyn Fn(usize),
    ) {
        // A panic while the lock was held has already been passed on.
        let mut crowd = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let start = Instant::now();
        let most_threads = threads.min(self.next.len());
        let threads = crowd.threads(most_threads, start).min(len);
        if threads <= 1 {
            drop(crowd);
            return alone(len, most, body);
        }
        // SAFETY: only the lifetime is erased; the body is not followed after the wait below.
        let body = unsafe { core::mem::transmute::<&Body<'_>, &'static Body<'static>>(body) };
        let job = Job { body, len, most, threads };
        // SAFETY: the turn is ours, the last loop was closed and its helpers were waited for: nobody reads `job`.
        unsafe { *self.job.get() = Some(job) };
        for (thread, next) in self.next.iter().enumerate().take(threads) {
            next.0.store(job.start(thread), Ordering::Relaxed);
        }
        let number = self.state.0.load(Ordering::Relaxed) & NUMBER_BITS;
        let helpers = threads - 1;
        // Sequentially consistent, like a worker that parks: either it sees the loop or `summon` sees it parked.
        self.state.0.store(number.wrapping_add(NUMBER) | (helpers as u64 * ROOM) | OPEN, Ordering::SeqCst);
        if catch_unwind(AssertUnwindSafe(|| summon(helpers))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.take_part(body, &job, 0);
        if self.state.0.fetch_and(!OPEN, Ordering::AcqRel) & INSIDE != 0 {
            self.wait(&mut crowd, most_threads, start);
        }
        drop(crowd);
        if self.panicked.load(Ordering::Relaxed) {
            self.panicked.store(false, Ordering::Relaxed);
            panic!("a call of the loop's body panicked");
        }
    }

    /// Waits until no helper is inside the loop, which could have used `threads` threads.
    fn wait(&self, crowd: &mut Crowd, threads: usize, start: Instant) {
        let gone = || self.state.0.load(Ordering::Acquire) & INSIDE == 0;
        for _ in 0..SPINS {
            if gone() {
                return;
            }
            spin_loop();
        }
        let wait = Instant::now();
        while !gone() {
            // A helper inside may have lost its core; spinning would keep it from getting this one.
            std::thread::yield_now();
        }
        crowd.waited(threads, wait - start, wait.elapsed(), Instant::now());
    }

    /// Claims indices and calls the body with them until none is left: first those of the thread's own range, then what the
    /// others have not claimed of theirs.
    fn take_part(&self, body: &Body<'_>, job: &Job, thread: usize) {
        let calls = catch_unwind(AssertUnwindSafe(|| {
            for range in (thread..job.threads).chain(0..thread) {
                while let Some(indices) = self.claim(job, range) {
                    body(indices, thread);
                }
            }
        }));
        if calls.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
    }

    /// The next indices of a thread's range, fewer and fewer towards its end.
    fn claim(&self, job: &Job, range: usize) -> Option<Range<usize>> {
        let (next, end) = (&self.next[range].0, job.start(range + 1));
        // What a claim is about is published by the state; the counter itself needs no order.
        let mut from = next.load(Ordering::Relaxed);
        while from < end {
            let to = from + ((end - from) / SHARE).clamp(1, job.most);
            match next.compare_exchange_weak(from, to, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(from..to),
                Err(now) => from = now,
            }
        }
        None
    }

    /// The state, if it has an open loop for helper `worker` that is not the one `done`.
    pub(super) fn news(&self, worker: usize, done: u64) -> Option<u64> {
        let state = self.state.0.load(Ordering::SeqCst);
        (has_room(state, worker) && state & NUMBER_BITS != done).then_some(state & NUMBER_BITS)
    }

    /// Takes part in loop `number` as helper `worker`, unless it is over. No two threads may use one number.
    pub(super) fn help(&self, worker: usize, number: u64) {
        let enter = |state| (has_room(state, worker) && state & NUMBER_BITS == number).then_some(state + 1);
        if self.state.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter).is_ok() {
            self.inside(worker);
        }
    }

    /// Takes part in the loop in progress, if there is one with room.
    pub(super) fn help_anywhere(&self) {
        let enter = |state| has_room(state, 1).then_some(state - ROOM + 1);
        if let Ok(before) = self.state.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter) {
            self.inside(room(before));
        }
    }

    /// What a helper that has just gone inside does there, under a number that no other has in this loop.
    fn inside(&self, thread: usize) {
        // SAFETY: this helper is inside, so `run` has written the job and waits for it before it returns.
        if let Some(job) = unsafe { *self.job.get() } {
            // SAFETY: as above: the body is still borrowed by `run`.
            self.take_part(unsafe { &*job.body }, &job, thread);
        }
        self.state.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether a loop is open that wants helper `worker`.
fn has_room(state: u64, worker: usize) -> bool {
    state & OPEN != 0 && room(state) >= worker
}

/// The greatest number of a helper that the loop wants.
fn room(state: u64) -> usize {
    ((state & ROOM_BITS) / ROOM) as usize
}
