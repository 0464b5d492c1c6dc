//! Floor 2. Threads of the caller's own, lent to loops one at a time.
use alloc::sync::Arc;

use super::rounds::Rounds;

/// Runs tasks on threads of the caller's own, so that the runtime starts none: a thread pool that an app has already, or
/// one function of the operating system.
///
/// A closure `Fn(usize, Task)` is an executor too. See [`Pool::with_executor`](super::Pool::with_executor).
pub trait Executor: Send + Sync {
    /// Calls [`Task::run`] up to `n` times on up to `n` other threads, as soon as they are free. It may return at once, or
    /// when those calls have returned.
    ///
    /// It is called for every parallel loop, hundreds of times per token, and must not use the pool itself. A call of the
    /// task that comes late, or not at all, is not waited for: the thread that uses the session works on the loop too.
    fn execute(&self, n: usize, task: Task);
}

impl<F: Fn(usize, Task) + Send + Sync> Executor for F {
    fn execute(&self, n: usize, task: Task) {
        self(n, task);
    }
}

/// A share in the loop of a pool that is in progress, whichever it is.
#[derive(Clone)]
pub struct Task {
    pub(super) rounds: Arc<Rounds>,
}

impl Task {
    /// Works on the loop in progress until nothing of it is left to begin. Does nothing if no loop is in progress, if it has
    /// as many threads as it can use, or if the pool is gone: so it may be called late, twice, or never.
    pub fn run(&self) {
        self.rounds.help_anywhere();
    }

    /// The task as a pointer, for executors that are written in another language; [`Task::from_raw`] makes it a task again.
    /// Nothing is allocated.
    pub fn into_raw(self) -> *const () {
        Arc::into_raw(self.rounds).cast()
    }

    /// The task that [`Task::into_raw`] made a pointer of.
    ///
    /// # Safety
    /// The pointer has to come from there, and is good for one task.
    pub unsafe fn from_raw(raw: *const ()) -> Task {
        // SAFETY: into_raw made it of an Arc of Rounds, one owner of which is this caller's, by this function's contract.
        Task { rounds: unsafe { Arc::from_raw(raw.cast()) } }
    }
}
