//! Floor 2. Worker threads, started once, that wait for loops.
//!
//! They spin briefly for the next loop and then park: idle workers use no CPU.
#![forbid(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, Thread};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::priority;
use super::priority::Priority;
use super::rounds::Rounds;
use crate::error::{Error, Result, text};
use crate::memory::room;

/// Rounds of spinning before a worker parks: some hundreds of microseconds, the time in which a small model chooses a
/// token.
const SPINS: u32 = 10_000;

/// What starting a thread takes of memory at most, its name and handles included: less than half a kilobyte with glibc.
const THREAD_BYTES: usize = 2048;

/// The workers of a pool, numbered from 1. Dropping them ends them.
pub(super) struct Workers {
    shared: Arc<Shared>,
    joins: Vec<JoinHandle<()>>,
    threads: Vec<Thread>,
    /// The process that has them.
    process: u32,
}

struct Shared {
    rounds: Arc<Rounds>,
    stop: AtomicBool,
    each: Vec<Worker>,
}

#[derive(Default)]
struct Worker {
    parked: AtomicBool,
    /// The system's number of the thread, once it runs.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    id: core::sync::atomic::AtomicI32,
}

impl Workers {
    /// Starts `count` workers.
    pub(super) fn start(count: usize, rounds: Arc<Rounds>) -> Result<Workers> {
        let (mut each, mut joins, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let memory = |_| Error::Memory { what: "the thread pool", bytes: count as u64 * 32 };
        each.try_reserve_exact(count).map_err(memory)?;
        joins.try_reserve_exact(count).map_err(memory)?;
        threads.try_reserve_exact(count).map_err(memory)?;
        each.extend((0..count).map(|_| Worker::default()));
        let shared = Arc::new(Shared { rounds, stop: AtomicBool::new(false), each });
        let mut workers = Workers { shared, joins, threads, process: std::process::id() };
        for worker in 1..=count {
            room(THREAD_BYTES, "a thread")?;
            let shared = workers.shared.clone();
            // On failure those already started are dropped, and so ended.
            let started = Builder::new()
                .name(alloc::format!("bantam-{worker}"))
                .spawn(move || shared.work(worker))
                .map_err(|error| Error::Io(text!("thread {worker} of {count} cannot start: {error}")))?;
            workers.threads.push(started.thread().clone());
            workers.joins.push(started);
        }
        Ok(workers)
    }

    /// Makes the workers 1 to `count` look at the loops.
    pub(super) fn summon(&self, count: usize) {
        for (worker, thread) in self.shared.each.iter().zip(&self.threads).take(count) {
            // Most spin: they are looked at, which leaves their cache lines as they are.
            if worker.parked.load(Ordering::SeqCst) && worker.parked.swap(false, Ordering::SeqCst) {
                thread.unpark();
            }
        }
    }

    /// Changes the priority of all workers, or of none.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn set_priority(&self, priority: Priority, before: Priority) -> Result<()> {
        for (i, thread) in self.ids().enumerate() {
            let outcome = priority::set_for_thread(priority, thread);
            if outcome.is_err() {
                for thread in self.ids().take(i) {
                    // The system may refuse the way back too; then it is the first error that counts.
                    let _ = priority::set_for_thread(before, thread);
                }
                return outcome;
            }
        }
        Ok(())
    }

    /// The system's numbers of the workers; one that has just been started is waited for.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn ids(&self) -> impl Iterator<Item = priority::ThreadId> {
        self.shared.each.iter().map(|worker| {
            loop {
                match worker.id.load(Ordering::Acquire) {
                    0 => std::thread::yield_now(),
                    id => return id,
                }
            }
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn set_priority(&self, _: Priority, _: Priority) -> Result<()> {
        Err(Error::Unsupported(text!("threads have no priorities on this system")))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in &self.threads {
            thread.unpark();
        }
        for worker in self.joins.drain(..) {
            if std::process::id() != self.process {
                // A process that was forked has none of the threads, and nothing can be waited for.
                core::mem::forget(worker);
                continue;
            }
            // A worker's panic was caught and passed on by the loop.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self, worker: usize) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        self.each[worker - 1].id.store(priority::this_thread(), Ordering::Release);
        let mut done = 0;
        while let Some(number) = self.wait(worker, done) {
            self.rounds.help(worker, number);
            done = number;
        }
    }

    /// The number of a loop after `done`, once it is open; `None` at the end.
    fn wait(&self, worker: usize, done: u64) -> Option<u64> {
        loop {
            for _ in 0..SPINS {
                if let Some(number) = self.rounds.news(worker, done) {
                    return Some(number);
                }
                if self.stop.load(Ordering::Relaxed) {
                    return None;
                }
                spin_loop();
            }
            let parked = &self.each[worker - 1].parked;
            parked.store(true, Ordering::SeqCst);
            if self.rounds.news(worker, done).is_none() && !self.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            parked.store(false, Ordering::SeqCst);
        }
    }
}
