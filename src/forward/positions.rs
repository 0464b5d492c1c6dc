//! Floor 3. Where the columns of a batch stand: each at a position of a cache.
#![forbid(unsafe_code)]

use crate::kv::KvCache;

/// The cache of each column, and its position there: the keys before it are what it attends to.
///
/// Batches of more than [`NARROW`](bantam_kernels::backend::NARROW) columns stand at consecutive positions of one cache.
pub(crate) trait Positions: Sync {
    /// Of column `c`.
    fn at(&self, c: usize) -> (&KvCache, usize);

    /// Of column `c`, to write its key and value.
    fn at_mut(&mut self, c: usize) -> (&mut KvCache, usize);
}

/// The next positions of one sequence.
pub(crate) struct Consecutive<'a> {
    pub(crate) kv: &'a mut KvCache,
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
}
