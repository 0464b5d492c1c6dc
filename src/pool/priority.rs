//! Floor 2. How much of a busy CPU the threads of a pool get beside others.

use crate::error::{Error, Result, text};

/// How much of a busy CPU a thread gets beside others. It changes nothing where nobody else wants the CPU.
///
/// On Linux and Android it is the thread's nice value: 10, 0, -5 and -10. Other systems have none that can be set here.
/// Linux allows an ordinary process to lower the priority of its threads, but not to raise it again: `RLIMIT_NICE` says how
/// far. Android allows both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// After everything else.
    Low,
    /// Like other threads.
    #[default]
    Normal,
    /// Before other threads.
    Medium,
    /// Long before other threads.
    High,
}

impl Priority {
    /// Changes the priority of the calling thread. Threads that it starts later have it too.
    ///
    /// # Errors
    /// [`Error::Argument`] if the system refuses it to this process, and [`Error::Unsupported`] where threads have none.
    pub fn set_for_this_thread(self) -> Result<()> {
        system::set_for_this_thread(self)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use super::*;

    /// The system's number of a thread.
    pub(in crate::pool) type ThreadId = i32;

    pub(in crate::pool) fn this_thread() -> ThreadId {
        // SAFETY: gettid has no argument and cannot fail.
        unsafe { libc::gettid() }
    }

    pub(super) fn set_for_this_thread(priority: Priority) -> Result<()> {
        set_for_thread(priority, this_thread())
    }

    pub(in crate::pool) fn set_for_thread(priority: Priority, thread: ThreadId) -> Result<()> {
        let nice = match priority {
            Priority::Low => 10,
            Priority::Normal => 0,
            Priority::Medium => -5,
            Priority::High => -10,
        };
        // SAFETY: setpriority reads nothing but its arguments; Linux takes the number of a thread for that of a process.
        match unsafe { libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, nice) } {
            0 => Ok(()),
            _ => Err(Error::Argument(text!(
                "the system does not allow this process the priority {priority:?} (nice {nice}): {}",
                std::io::Error::last_os_error()
            ))),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::*;

    pub(super) fn set_for_this_thread(_: Priority) -> Result<()> {
        Err(Error::Unsupported(text!("threads have no priorities on this system")))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use system::{ThreadId, set_for_thread, this_thread};
