//! Floor 1 (features `chat` and `constrain`). Work whose recursion follows its input, on a thread with a stack that is deep enough for
//! what the limits let through.
#![forbid(unsafe_code)]

use std::string::String;
use std::thread;

use crate::error::{Error, Result};

/// A thread for one piece of work. Its stack is address space; what is not used is no memory.
pub(crate) struct DeepStack {
    /// The name of the thread.
    pub(crate) name: &'static str,
    /// What the stack is for, in an error.
    pub(crate) what: &'static str,
    pub(crate) bytes: usize,
}

impl DeepStack {
    /// Does `work` there, and waits for it. `died` is the error of work that panicked.
    ///
    /// # Errors
    /// [`Error::Memory`] if the stack cannot be had, and those of `work`.
    pub(crate) fn run<T: Send>(&self, died: Error, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().name(String::from(self.name)).stack_size(self.bytes);
            let refused = Error::Memory { what: self.what, bytes: self.bytes as u64 };
            let started = thread.spawn_scoped(scope, work).map_err(|_| refused)?;
            started.join().unwrap_or(Err(died))
        })
    }
}
