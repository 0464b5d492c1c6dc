//! Floor 2. A function that is called between pieces of work: a watchdog to be fed, a button to be looked at.
#![forbid(unsafe_code)]

use alloc::boxed::Box;

use crate::error::Result;
use crate::memory::boxed;

/// Calls a function.
pub(super) struct Poll(Box<dyn Call + Send + Sync>);

trait Call {
    fn call(&self);
}

/// A box whose memory may be refused holds an array of one.
impl<F: Fn()> Call for [F; 1] {
    fn call(&self) {
        self[0]();
    }
}

impl Poll {
    pub(super) fn new(function: impl Fn() + Send + Sync + 'static) -> Result<Poll> {
        Ok(Poll(boxed(function, "what is called between pieces of work")?))
    }

    pub(super) fn call(&self) {
        self.0.call();
    }
}
