//! Floor 2. The pool of a machine without threads: the caller alone.
#![forbid(unsafe_code)]

use super::{Body, alone};
use crate::error::{Error, Result, text};

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

    /// One.
    pub fn capacity(&self) -> usize {
        1
    }

    /// Takes 1.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number.
    pub fn set_threads(&self, threads: usize) -> Result<()> {
        match threads {
            1 => Ok(()),
            _ => Err(Error::Argument(text!("threads must be 1 to the pool's 1, not {threads}"))),
        }
    }

    pub(super) fn run(&self, len: usize, most: usize, body: &Body<'_>) {
        alone(len, most, body);
    }
}
