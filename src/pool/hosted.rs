//! Floor 2. A pool: who helps with its loops, how many of them, and with what priority.
#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use super::executor::{Executor, Task};
use super::poll::Poll;
use super::priority::Priority;
use super::rounds::Rounds;
use super::workers::Workers;
use super::{Body, THREADS_MAX, alone};
use crate::error::{Error, Result, text};

/// Threads for the loops of sessions: the one that calls, and workers or an executor of the caller's own. Sessions that share
/// a pool take turns.
///
/// ```
/// use bantam::{Cpus, Pool, Priority};
///
/// let pool = Pool::new(Cpus::detect().threads())?;
/// // The phone is hot: one thread, behind everything else.
/// pool.set_threads(1)?;
/// pool.set_priority(Priority::Low)?;
/// # Ok::<(), bantam::Error>(())
/// ```
pub struct Pool {
    rounds: Arc<Rounds>,
    helpers: Helpers,
    /// The most threads, the caller included.
    capacity: usize,
    /// Threads that loops may use.
    threads: AtomicUsize,
    priority: Mutex<Priority>,
    poll: Option<Poll>,
}

enum Helpers {
    Workers(Workers),
    Executor(Box<dyn Executor>),
}

impl Pool {
    /// The most threads of a pool.
    pub const THREADS_MAX: usize = THREADS_MAX;

    /// A pool of `threads` in all: the caller and `threads - 1` workers. See [`Cpus::threads`](crate::Cpus::threads) for a good
    /// number.
    ///
    /// Threads beyond the CPUs that this process may use stay asleep: they would only take the cores from each other.
    ///
    /// # Errors
    /// [`Error::Argument`] for no threads or more than [`Pool::THREADS_MAX`], [`Error::Memory`], and [`Error::Io`] if
    /// the system starts no more threads.
    pub fn new(threads: usize) -> Result<Pool> {
        // The number of CPUs respects the process's affinity mask and its cgroup.
        Pool::on_cpus(threads, std::thread::available_parallelism().map_or(1, |cpus| cpus.get()))
    }

    /// A pool for a machine of so many CPUs.
    pub(super) fn on_cpus(threads: usize, cpus: usize) -> Result<Pool> {
        let rounds = rounds(threads, cpus)?;
        let helpers = Helpers::Workers(Workers::start(threads - 1, rounds.clone())?);
        Ok(Pool::of(rounds, helpers, threads))
    }

    /// A pool that starts no threads: the caller, and `threads - 1` that `executor` lends it for each loop.
    ///
    /// An executor that runs its tasks late, or never, costs speed and nothing else. One that returns only when its tasks
    /// have, keeps the calling thread from its part of the work: give such a pool one more thread.
    ///
    /// ```
    /// use bantam::{Pool, Task};
    ///
    /// // The simplest of all starts threads anew for every loop.
    /// let pool = Pool::with_executor(4, |n, task: Task| {
    ///     for _ in 0..n {
    ///         let task = task.clone();
    ///         std::thread::spawn(move || task.run());
    ///     }
    /// })?;
    /// # Ok::<(), bantam::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for no threads or more than [`Pool::THREADS_MAX`], and [`Error::Memory`].
    pub fn with_executor(threads: usize, executor: impl Executor + 'static) -> Result<Pool> {
        // How many CPUs the executor's threads have is not ours to know.
        let rounds = rounds(threads, threads)?;
        Ok(Pool::of(rounds, Helpers::Executor(Box::new(executor)), threads))
    }

    fn of(rounds: Arc<Rounds>, helpers: Helpers, capacity: usize) -> Pool {
        let (threads, priority) = (AtomicUsize::new(capacity), Mutex::new(Priority::Normal));
        Pool { rounds, helpers, capacity, threads, priority, poll: None }
    }

    /// The same, with a function that the thread that uses a session calls between its loops, milliseconds apart: to feed a
    /// watchdog, or to set a [`Cancel`](crate::Cancel). It must not use the pool itself.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn polled_by(mut self, poll: impl Fn() + Send + Sync + 'static) -> Result<Pool> {
        self.poll = Some(Poll::new(poll)?);
        Ok(self)
    }

    /// Threads that loops may use, the caller included.
    pub fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    /// Threads that the pool was made with, the caller included: the most that [`Pool::set_threads`] takes. Sessions have
    /// memory for so many.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Lets loops use `threads` threads from the next one on, at most [`Pool::capacity`]; the others sleep. May be called
    /// from any thread at any time, and changes nothing in what is computed.
    ///
    /// # Errors
    /// [`Error::Argument`] for no threads, or more than there are.
    pub fn set_threads(&self, threads: usize) -> Result<()> {
        if threads == 0 || threads > self.capacity {
            return Err(Error::Argument(text!(
                "threads must be 1 to the pool's {}, not {threads}",
                self.capacity
            )));
        }
        self.threads.store(threads, Ordering::Relaxed);
        Ok(())
    }

    /// Changes the priority of the workers, at once. That of the calling thread is its owner's:
    /// [`Priority::set_for_this_thread`].
    ///
    /// # Errors
    /// [`Error::Argument`] if the system refuses this priority to the process; the workers keep the one they had.
    /// [`Error::Unsupported`] where threads have none, and for the threads of an executor, which are the caller's.
    pub fn set_priority(&self, priority: Priority) -> Result<()> {
        match &self.helpers {
            Helpers::Workers(workers) => {
                let mut before = self.priority.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                workers.set_priority(priority, *before)?;
                *before = priority;
                Ok(())
            }
            Helpers::Executor(_) => Err(Error::Unsupported(text!(
                "the threads of an executor are the caller's: set their priority where they are started"
            ))),
        }
    }

    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn worker_ids(&self) -> impl Iterator<Item = super::priority::ThreadId> {
        let Helpers::Workers(workers) = &self.helpers else { panic!("an executor has no workers") };
        workers.ids()
    }

    /// Calls `body` once for every index below `len`, at most `most` at a time, and returns when all calls have.
    ///
    /// # Panics
    /// If a call panics, once the others have returned.
    pub(super) fn run(&self, len: usize, most: usize, body: &Body<'_>) {
        if let Some(poll) = &self.poll {
            poll.call();
        }
        let threads = self.threads();
        if len <= 1 || threads <= 1 {
            return alone(len, most, body);
        }
        self.rounds.run(threads, len, most, body, &|count| match &self.helpers {
            Helpers::Workers(workers) => workers.summon(count),
            Helpers::Executor(executor) => executor.execute(count, Task { rounds: self.rounds.clone() }),
        });
    }
}

fn rounds(threads: usize, cpus: usize) -> Result<Arc<Rounds>> {
    if threads == 0 || threads > THREADS_MAX {
        return Err(Error::Argument(text!("threads must be 1 to {THREADS_MAX}, not {threads}")));
    }
    Ok(Arc::new(Rounds::new(threads, cpus)?))
}
