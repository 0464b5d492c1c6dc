//! Floor 2. The pool of a machine without threads: the caller alone.
#![forbid(unsafe_code)]

use super::Body;
use crate::error::Result;

/// Without threads, the caller runs the whole loop.
pub struct Pool;

impl Pool {
    /// A pool of the caller alone.
    pub fn new(_threads: usize) -> Result<Pool> {
        Ok(Pool)
    }

    /// One.
    pub fn threads(&self) -> usize {
        1
    }

    pub(super) fn run(&self, len: usize, body: &Body<'_>) {
        (0..len).for_each(|i| body(i, 0));
    }
}
