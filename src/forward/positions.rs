//! Floor 3. Where the columns of a batch stand: each at a position of a cache.
#![forbid(unsafe_code)]

use super::Texts;
use crate::kv::KvCache;
use crate::recurrent::{Recurrent, Turn};

/// The cache of each column, and its position there: the keys before it are what it attends to.
///
/// Batches of more than [`NARROW`](bantam_kernels::backend::NARROW) columns stand at consecutive positions of one cache.
pub(crate) trait Positions: Sync {
    /// Of column `c`.
    fn at(&self, c: usize) -> (&KvCache, usize);

    /// Of column `c`, to write its key and value.
    fn at_mut(&mut self, c: usize) -> (&mut KvCache, usize);

    /// How many columns belong to each sequence: all of them to one, or one to each.
    fn run(&self, columns: usize) -> usize;

    /// What the sequence of column `c` carries from token to token.
    fn turn(&mut self, c: usize) -> Turn<'_>;

    /// The position of column `c` in its text, and the type of that text.
    fn place(&self, c: usize) -> (usize, usize) {
        (self.at(c).1, 0)
    }

    /// The texts of the batch, if it holds whole ones, each attended to by itself.
    fn texts(&self) -> Option<&Texts<'_>> {
        None
    }
}

/// The next positions of one sequence.
pub(crate) struct Consecutive<'a> {
    pub(crate) kv: &'a mut KvCache,
    pub(crate) recurrent: &'a mut Recurrent,
    /// Of the first column.
    pub(crate) position: usize,
}

impl Positions for Consecutive<'_> {
    fn at(&self, c: usize) -> (&KvCache, usize) {
        (self.kv, self.position + c)
    }

    fn at_mut(&mut self, c: usize) -> (&mut KvCache, usize) {
        (self.kv, self.position + c)
    }

    fn run(&self, columns: usize) -> usize {
        columns
    }

    fn turn(&mut self, _: usize) -> Turn<'_> {
        self.recurrent.turn()
    }
}
