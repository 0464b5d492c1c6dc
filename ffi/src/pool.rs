//! Floor 7. Pools: the threads that sessions work with, the library's own or the caller's.

use alloc::sync::Arc;
use core::ffi::c_void;

use bantam::Pool;

use crate::boundary::{Caller, call, call_back};
use crate::handle::{Noun, create_at};
use crate::options::Struct;
#[cfg(not(feature = "std"))]
use crate::status::BANTAM_UNSUPPORTED;
use crate::status::{BANTAM_ARGUMENT, Result, bantam_error, bantam_status, fail};

/// Threads that sessions work with. Sessions of one pool take turns.
pub struct bantam_pool(());

impl Noun for bantam_pool {
    const MAGIC: u32 = u32::from_le_bytes(*b"bpoo");
    const NAME: &'static str = "the pool";
    type Inside = Arc<Pool>;
}

/// A task of an executor: see bantam_executor.
pub struct bantam_task(());

/// Runs tasks on threads of the caller's own. It is called with `count` tasks that are all the same, hundreds of times per token, on
/// the thread that called the library; it hands them to its threads and returns. Each of the `count` has to be run exactly once, with
/// bantam_task_run, on any thread; late does no harm, as a task that comes late has nothing left to do.
///
/// Inside of it nothing of the library may be called but bantam_task_run and cancel objects.
pub type bantam_executor =
    Option<unsafe extern "C" fn(user: *mut c_void, task: *mut bantam_task, count: usize)>;

/// Called between pieces of work.
pub type bantam_poll = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// How to make a pool. Zeros mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_pool_options {
    /// sizeof(bantam_pool_options)
    pub struct_size: usize,
    /// Threads in all, the calling one included; 0 is bantam_threads_default().
    pub threads: usize,
    /// Lends threads, so that the library starts none; NULL starts threads.
    pub executor: bantam_executor,
    /// Handed to the executor. It and the executor have to stay usable from any thread until the last task has run.
    pub executor_user: *mut c_void,
    /// Called between pieces of work, milliseconds apart, on the thread that called the library: to feed a watchdog, or to set a cancel object. NULL
    /// is none. Nothing but cancel objects may be used inside of it.
    pub poll: bantam_poll,
    /// Handed to it. Both have to stay usable until the pool and its sessions are freed.
    pub poll_user: *mut c_void,
}

// SAFETY: repr(C), a usize first, and integers and pointers, null or not, of any bytes.
unsafe impl Struct for bantam_pool_options {
    const NAME: &'static str = "bantam_pool_options";
}

impl Caller {
    /// How many threads work with that pool, or with one of its own for NULL: so many, 0 being the default.
    pub(crate) fn threads(self, pool: *const bantam_pool, threads: usize) -> Result<usize> {
        match (pool.is_null(), threads) {
            (false, _) => Ok(self.shared(pool)?.capacity()),
            (true, 0) => Ok(crate::version::bantam_threads_default()),
            (true, threads) => Ok(threads),
        }
    }

    /// That pool, or one of its own for NULL, of so many threads.
    pub(crate) fn pool(self, pool: *const bantam_pool, threads: usize) -> Result<Arc<Pool>> {
        if !pool.is_null() {
            return Ok(self.shared(pool)?.clone());
        }
        let of_its_own = bantam_pool_options {
            struct_size: 0,
            threads,
            executor: None,
            executor_user: core::ptr::null_mut(),
            poll: None,
            poll_user: core::ptr::null_mut(),
        };
        Ok(Arc::new(open(&of_its_own)?))
    }
}

/// Makes a pool. Sessions and embedders that are given none make one of their own.
///
/// Ownership: the caller frees it with bantam_pool_free; sessions and embedders keep what they need of it.
/// Threads: any. Errors: BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, and BANTAM_IO if the system starts no more threads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_pool_new(
    options: *const bantam_pool_options,
    out: *mut *mut bantam_pool,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        let options = caller.options(options)?;
        create_at(out, Arc::new(open(&options)?))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The pool that the options describe.
pub(crate) fn open(options: &bantam_pool_options) -> Result<Pool> {
    let threads = match options.threads {
        0 => crate::version::bantam_threads_default(),
        threads => threads,
    };
    let pool = match options.executor {
        None => Pool::new(threads)?,
        #[cfg(feature = "std")]
        Some(executor) => {
            let lent = LentThreads { executor, user: options.executor_user };
            Pool::with_executor(threads, lent)?
        }
        #[cfg(not(feature = "std"))]
        Some(_) => return Err(fail!(BANTAM_UNSUPPORTED, "this build has no threads, and so no executor")),
    };
    let Some(function) = options.poll else { return Ok(pool) };
    let polled = Polled { function, user: options.poll_user };
    Ok(pool.polled_by(move || polled.call())?)
}

/// The caller's function that is called between pieces of work.
struct Polled {
    function: unsafe extern "C" fn(*mut c_void),
    user: *mut c_void,
}

// SAFETY: the caller promised that both may be used from any thread that calls the library.
unsafe impl Send for Polled {}
// SAFETY: as above.
unsafe impl Sync for Polled {}

impl Polled {
    fn call(&self) {
        // SAFETY: the caller's function, called as the header says.
        call_back(|| unsafe { (self.function)(self.user) });
    }
}

/// The caller's executor.
#[cfg(feature = "std")]
struct LentThreads {
    executor: unsafe extern "C" fn(*mut c_void, *mut bantam_task, usize),
    user: *mut c_void,
}

// SAFETY: the caller promised that both may be used from any thread.
#[cfg(feature = "std")]
unsafe impl Send for LentThreads {}
// SAFETY: as above.
#[cfg(feature = "std")]
unsafe impl Sync for LentThreads {}

#[cfg(feature = "std")]
impl bantam::Executor for LentThreads {
    fn execute(&self, n: usize, task: bantam::Task) {
        // Each call of bantam_task_run takes one of these owners back.
        let mut raw = core::ptr::null();
        for _ in 0..n {
            raw = task.clone().into_raw();
        }
        if n > 0 {
            // SAFETY: the caller's function, called as the header says.
            call_back(|| unsafe { (self.executor)(self.user, raw.cast_mut().cast(), n) });
        }
    }
}

/// Runs one of the tasks that an executor was given: works on the loop in progress until nothing of it is left to begin.
///
/// Ownership: takes one of the executor's `count` tasks, which must not be run again. Threads: any, the one that calls the library
/// included. Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_task_run(task: *mut bantam_task) {
    #[cfg(feature = "std")]
    if !task.is_null() {
        // SAFETY: the caller's promise: it comes from execute, which made one owner for each of the runs.
        let task = unsafe { bantam::Task::from_raw(task.cast_const().cast()) };
        // A panic in a loop's body is kept by the loop, and reported where that was begun.
        let _ = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| task.run()));
    }
    #[cfg(not(feature = "std"))]
    let _ = task;
}

/// After everything else: for what nobody waits for.
pub const BANTAM_PRIORITY_LOW: i32 = -1;
/// As other threads: what threads have at first.
pub const BANTAM_PRIORITY_NORMAL: i32 = 0;
/// Before other threads.
pub const BANTAM_PRIORITY_MEDIUM: i32 = 1;
/// Long before other threads.
pub const BANTAM_PRIORITY_HIGH: i32 = 2;

/// Lets loops use so many threads from the next one on, at most as many as the pool was made with. Nothing that is computed changes.
///
/// Ownership: none taken. Threads: any, during calls of its sessions too. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT for none or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_pool_set_threads(
    pool: *const bantam_pool,
    threads: usize,
    error: *mut bantam_error,
) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, |caller| Ok(caller.shared(pool)?.set_threads(threads)?)) }
}

/// Changes the priority of the pool's threads, at once: BANTAM_PRIORITY_... That of the calling thread is its owner's.
///
/// Ownership: none taken. Threads: any, during calls of its sessions too.
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT if there is no such priority or the system does not allow it, BANTAM_UNSUPPORTED where threads have none, or
/// are the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_pool_set_priority(
    pool: *const bantam_pool,
    priority: i32,
    error: *mut bantam_error,
) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, |caller| set_priority(caller.shared(pool)?, priority)) }
}

/// Changes the priority of a pool's threads.
pub(crate) fn set_priority(pool: &Pool, priority: i32) -> Result<()> {
    #[cfg(feature = "std")]
    {
        use bantam::Priority;
        let priority = match priority {
            BANTAM_PRIORITY_LOW => Priority::Low,
            BANTAM_PRIORITY_NORMAL => Priority::Normal,
            BANTAM_PRIORITY_MEDIUM => Priority::Medium,
            BANTAM_PRIORITY_HIGH => Priority::High,
            _ => return Err(fail!(BANTAM_ARGUMENT, "there is no priority {priority}; it must be -1 to 2")),
        };
        Ok(pool.set_priority(priority)?)
    }
    #[cfg(not(feature = "std"))]
    {
        let (_, _, _) = (pool, priority, BANTAM_ARGUMENT);
        Err(fail!(BANTAM_UNSUPPORTED, "this build has no threads"))
    }
}

/// Frees a pool; NULL is none. Its threads end when the last session or embedder that uses it is freed.
///
/// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_pool_free(pool: *mut bantam_pool) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(pool)) }
}
