//! Floor 2. The pool of a machine without threads: the caller alone.
#![forbid(unsafe_code)]

use super::poll::Poll;
use super::{Body, alone};
use crate::error::{Error, Result, text};

/// Without threads, the caller runs the whole loop.
pub struct Pool {
    poll: Option<Poll>,
}

/// The most indices of a loop between two calls of what polls.
const PIECE: usize = 8;

impl Pool {
    /// A pool of the caller alone.
    pub fn new(_threads: usize) -> Result<Pool> {
        Ok(Pool { poll: None })
    }

    /// The same, with a function that is called between pieces of every loop, some hundreds of rows of a matrix apart: to feed
    /// a watchdog, or to set a [`Cancel`](crate::Cancel). It must not use the pool itself.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn polled_by(mut self, poll: impl Fn() + Send + Sync + 'static) -> Result<Pool> {
        self.poll = Some(Poll::new(poll)?);
        Ok(self)
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
        match &self.poll {
            None => alone(len, most, body),
            Some(poll) => alone(len, most.min(PIECE), &|indices, thread| {
                poll.call();
                body(indices, thread);
            }),
        }
    }
}
