//! Floor 2. A fixed set of worker threads that run one parallel loop at a time.
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

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bantam_kernels::TileMut;

use crate::cancel::Cancel;
use crate::error::Result;

/// How a loop's body is called: with the index, and the number of the thread that runs it (0 is the caller).
type Body<'a> = dyn Fn(usize, usize) + Sync + 'a;
/// With the index, and that part of three slices.
type ZipBody<'a, A, B, C> = dyn Fn(usize, &mut [A], &mut [B], &mut [C]) + Sync + 'a;
/// With the index, that part of a slice, and the thread's share of scratch.
type PartBody<'a, T, S> = dyn Fn(usize, &mut [T], &mut [S]) + Sync + 'a;
/// With the number of a tile, a row of it, the chunk that starts there, and the thread's share of scratch.
type TileBody<'a> = dyn Fn(usize, usize, &mut TileMut<'_>, &mut [u8]) + Sync + 'a;

#[cfg(feature = "std")]
pub use hosted::Pool;

/// A part of a slice, taken by the thread that was given its index.
struct Parts<T> {
    start: *mut T,
    len: usize,
    part: usize,
}

// SAFETY: a Parts is an exclusive borrow of its values, handed out in parts that do not overlap.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    fn new((all, part): (&mut [T], usize)) -> Parts<T> {
        Parts { start: all.as_mut_ptr(), len: all.len(), part }
    }

    /// Part `i`; the values behind the last whole part belong to none.
    ///
    /// # Safety
    /// While the part is in use, nobody else may take the same one, and the slice given to `new` must be borrowed.
    #[allow(clippy::mut_from_ref)]
    unsafe fn take(&self, i: usize) -> &mut [T] {
        assert!(i < self.len.checked_div(self.part).unwrap_or(usize::MAX), "a part beyond the slice");
        // SAFETY: part i lies inside the slice, as just checked (of no length if parts are empty); it is only ours by
        // this function's contract.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(i * self.part), self.part) }
    }
}

impl Pool {
    /// Cuts three slices into parts of the given lengths, and calls `body(i, part i of each)` for every `i` below `n`.
    pub(crate) fn zip<A: Send, B: Send, C: Send>(
        &self,
        n: usize,
        a: (&mut [A], usize),
        b: (&mut [B], usize),
        c: (&mut [C], usize),
        body: &ZipBody<'_, A, B, C>,
    ) {
        let (a, b, c) = (Parts::new(a), Parts::new(b), Parts::new(c));
        self.run(n, &|i, _| {
            // SAFETY: every index goes to one thread (Pool::run), and the slices are borrowed by this call.
            unsafe { body(i, a.take(i), b.take(i), c.take(i)) }
        });
    }

    /// Calls `body(c, column c)` for every column of `width` values in `all`.
    pub(crate) fn columns<T: Send>(
        &self,
        all: &mut [T],
        width: usize,
        body: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let n = all.len() / width;
        let all = Parts::new((all, width));
        self.run(n, &|c, _| {
            // SAFETY: every index goes to one thread (Pool::run), and the slice is borrowed by this call.
            body(c, unsafe { all.take(c) });
        });
    }

    /// Cuts `out` into parts of `part` values, and calls `body(i, part i, the thread's share of scratch)`, until
    /// `cancel` is set.
    pub(crate) fn parts<T: Send, S: Send>(
        &self,
        (out, part): (&mut [T], usize),
        scratch: &mut [S],
        cancel: &Cancel,
        body: &PartBody<'_, T, S>,
    ) {
        let n = out.len() / part;
        let out = Parts::new((out, part));
        let share = scratch.len() / self.threads();
        let scratch = Parts::new((scratch, share));
        self.run(n, &|i, thread| {
            if !cancel.is_cancelled() {
                // SAFETY: every index goes to one thread, every thread has its own number (Pool::run), and the slices
                // are borrowed by this call.
                unsafe { body(i, out.take(i), scratch.take(thread)) }
            }
        });
    }

    /// Cuts several tiles into chunks of `rows` rows, and calls `body(which tile, its first row, the chunk, the thread's
    /// share of scratch)` for all of them as one loop, until `cancel` is set.
    pub(crate) fn tiles(
        &self,
        tiles: &mut [TileMut<'_>],
        rows: usize,
        scratch: &mut [u8],
        cancel: &Cancel,
        body: &TileBody<'_>,
    ) {
        let share = scratch.len() / self.threads();
        let scratch = Parts::new((scratch, share));
        let n = tiles.iter().map(|tile| tile.rows().div_ceil(rows)).sum();
        let tiles = SharedTiles(tiles);
        self.run(n, &|mut i, thread| {
            if cancel.is_cancelled() {
                return;
            }
            for (t, tile) in tiles.get().iter().enumerate() {
                let chunks = tile.rows().div_ceil(rows);
                if i >= chunks {
                    i -= chunks;
                    continue;
                }
                let from = i * rows;
                // SAFETY: every index goes to one thread (Pool::run), so no other chunk has these rows; the tiles are
                // borrowed exclusively by this call.
                let mut chunk = unsafe { tile.rows_unchecked(from, (from + rows).min(tile.rows())) };
                // SAFETY: every thread has its own number (Pool::run).
                body(t, from, &mut chunk, unsafe { scratch.take(thread) });
                return;
            }
        });
    }
}

/// Tiles that several threads cut chunks from.
struct SharedTiles<'a, 'b>(&'a mut [TileMut<'b>]);

// SAFETY: through a shared reference only TileMut::rows_unchecked reaches the values, whose caller keeps chunks apart.
unsafe impl Sync for SharedTiles<'_, '_> {}

impl<'b> SharedTiles<'_, 'b> {
    fn get(&self) -> &[TileMut<'b>] {
        self.0
    }
}

/// Rounds of spinning before a worker parks: some tens of microseconds, the length of a step of a small model.
#[cfg(feature = "std")]
const SPINS: u32 = 10_000;

#[cfg(feature = "std")]
mod hosted {
    use super::*;
    use crate::error::{Error, text};
    use alloc::sync::Arc;
    use core::cell::UnsafeCell;
    use core::sync::atomic::AtomicU64;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::thread::{Builder, JoinHandle, Thread};

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
        state: AtomicU64,
        next: AtomicUsize,
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

    /// Worker threads, started once. Sessions that share a pool take turns.
    pub struct Pool {
        shared: Arc<Shared>,
        workers: Vec<JoinHandle<()>>,
        handles: Vec<Thread>,
        turn: Mutex<()>,
    }

    impl Pool {
        /// A pool of `threads` in all: the caller of [`Pool::run`] and `threads - 1` workers.
        pub fn new(threads: usize) -> Result<Pool> {
            if threads == 0 || threads > usize::from(u16::MAX) {
                return Err(Error::Argument(text!("threads must be 1 to {}, not {threads}", u16::MAX)));
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
                state: AtomicU64::new(0),
                next: AtomicUsize::new(0),
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
                    .map_err(|error| {
                        Error::Io(text!("thread {worker} of {threads} cannot start: {error}"))
                    })?;
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
            shared.next.store(0, Ordering::Relaxed);
            let number = shared.state.load(Ordering::Relaxed) & !(INSIDE | OPEN);
            // Sequentially consistent, like the worker's `parked`: either it sees the loop or we see it parked.
            shared.state.store(number.wrapping_add(NUMBER) | OPEN, Ordering::SeqCst);
            let wanted = (len - 1).min(self.handles.len());
            for (parked, handle) in shared.parked.iter().zip(&self.handles).take(wanted) {
                if parked.swap(false, Ordering::SeqCst) {
                    handle.unpark();
                }
            }
            shared.take_part(body, len, 0);
            shared.state.fetch_and(!OPEN, Ordering::AcqRel);
            let mut spins = 0u32;
            while shared.state.load(Ordering::Acquire) & INSIDE != 0 {
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
                    let index = self.next.fetch_add(1, Ordering::Relaxed);
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
                let mut current = self.state.load(Ordering::Relaxed);
                let entered = loop {
                    if current & !INSIDE != inside {
                        break false;
                    }
                    match self.state.compare_exchange_weak(
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
                self.state.fetch_sub(1, Ordering::AcqRel);
            }
        }

        /// The state once a loop newer than `done` is open; `None` at the end.
        fn wait(&self, worker: usize, done: u64) -> Option<u64> {
            let news = || {
                let state = self.state.load(Ordering::SeqCst);
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
}

/// Without threads, the caller runs the whole loop.
#[cfg(not(feature = "std"))]
pub struct Pool;

#[cfg(not(feature = "std"))]
impl Pool {
    /// A pool of the caller alone.
    pub fn new(_threads: usize) -> Result<Pool> {
        Ok(Pool)
    }

    /// One.
    pub fn threads(&self) -> usize {
        1
    }

    pub(crate) fn run(&self, len: usize, body: &Body<'_>) {
        (0..len).for_each(|i| body(i, 0));
    }
}
