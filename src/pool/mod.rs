//! Floor 2. Parallel loops over parts of slices and tiles, run by a fixed set of threads.
//!
//! Invariant: every index of a loop goes to exactly one thread, and a loop is over when its function returns. So parts
//! with different indices may be borrowed mutably at once, and a loop may borrow what its caller owns.

#[cfg(not(feature = "std"))]
mod alone;
#[cfg(feature = "std")]
mod cpus;
#[cfg(feature = "std")]
mod crowd;
#[cfg(feature = "std")]
mod executor;
#[cfg(feature = "std")]
mod hosted;
mod poll;
#[cfg(feature = "std")]
mod priority;
#[cfg(feature = "std")]
mod rounds;
#[cfg(all(test, feature = "std"))]
mod tests;
#[cfg(feature = "std")]
mod workers;

use core::ops::Range;

use bantam_kernels::{Rows, TileMut};

use crate::cancel::Cancel;
#[cfg(not(feature = "std"))]
pub use alone::Pool;
#[cfg(feature = "std")]
pub use cpus::Cpus;
#[cfg(feature = "std")]
pub use executor::{Executor, Task};
#[cfg(feature = "std")]
pub use hosted::Pool;
#[cfg(feature = "std")]
pub use priority::Priority;

/// The most threads of a pool. A thread of which the system has too many dies while it starts, and takes the process with
/// it, so a number far below that is refused.
#[cfg(feature = "std")]
const THREADS_MAX: usize = 1024;

/// How a loop's body is called: with some of the indices, and the number of the thread that runs it (0 is the caller).
type Body<'a> = dyn Fn(Range<usize>, usize) + Sync + 'a;
/// With the index, and that part of three slices.
type ZipBody<'a, A, B, C> = dyn Fn(usize, &mut [A], &mut [B], &mut [C]) + Sync + 'a;
/// With the index, that part of a slice, and the thread's share of scratch.
type PartBody<'a, T, S> = dyn Fn(usize, &mut [T], &mut [S]) + Sync + 'a;
/// With the number of a tile, a row of it, the chunk that starts there, and the thread's shares of scratch.
type TileBody<'a, R, A, B> = dyn Fn(usize, usize, &mut R, &mut [A], &mut [B]) + Sync + 'a;
/// With the first row and the first column of a block of a tile, the block, and the thread's share of scratch.
type BlockBody<'a, S> = dyn Fn(usize, usize, &mut TileMut<'_>, &mut [S]) + Sync + 'a;

/// A loop without helpers.
fn alone(len: usize, most: usize, body: &Body<'_>) {
    for from in (0..len).step_by(most) {
        body(from..len.min(from.saturating_add(most)), 0);
    }
}

/// A part of a slice, taken by the thread that was given its index.
struct Parts<T> {
    start: *mut T,
    len: usize,
    part: usize,
}

// SAFETY: a Parts is an exclusive borrow of its values, handed out in parts that do not overlap.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    fn new((all, part): (&mut [T], usize)) -> Parts<T> {
        Parts { start: all.as_mut_ptr(), len: all.len(), part }
    }

    /// Part `i`; the values behind the last whole part belong to none.
    ///
    /// # Safety
    /// While the part is in use, nobody else may take the same one, and the slice given to `new` must be borrowed.
    #[allow(clippy::mut_from_ref, reason = "parts of different numbers do not overlap")]
    unsafe fn take(&self, i: usize) -> &mut [T] {
        assert!(i < self.len.checked_div(self.part).unwrap_or(usize::MAX), "a part beyond the slice");
        // SAFETY: part i lies inside the slice, as just checked (of no length if parts are empty); it is only ours by
        // this function's contract.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(i * self.part), self.part) }
    }
}

impl Pool {
    /// Calls `body(i, number of the thread)` for every `i` below `n`.
    fn each(&self, n: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        self.run(n, usize::MAX, &|indices, thread| indices.for_each(|i| body(i, thread)));
    }

    /// Cuts three slices into parts of the given lengths, and calls `body(i, part i of each)` for every `i` below `n`.
    pub(crate) fn zip<A: Send, B: Send, C: Send>(
        &self,
        n: usize,
        a: (&mut [A], usize),
        b: (&mut [B], usize),
        c: (&mut [C], usize),
        body: &ZipBody<'_, A, B, C>,
    ) {
        let (a, b, c) = (Parts::new(a), Parts::new(b), Parts::new(c));
        self.each(n, &|i, _| {
            // SAFETY: every index goes to one thread (Pool::run), and the slices are borrowed by this call.
            unsafe { body(i, a.take(i), b.take(i), c.take(i)) }
        });
    }

    /// Calls `body(c, column c)` for every column of `width` values in `all`.
    pub(crate) fn columns<T: Send>(
        &self,
        all: &mut [T],
        width: usize,
        body: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let n = all.len() / width;
        let all = Parts::new((all, width));
        self.each(n, &|c, _| {
            // SAFETY: every index goes to one thread (Pool::run), and the slice is borrowed by this call.
            body(c, unsafe { all.take(c) });
        });
    }

    /// Cuts `out` into parts of `part` values, and calls `body(i, part i, the thread's share of scratch)`, until
    /// `cancel` is set, if there is one.
    pub(crate) fn parts<T: Send, S: Send>(
        &self,
        (out, part): (&mut [T], usize),
        scratch: &mut [S],
        cancel: Option<&Cancel>,
        body: &PartBody<'_, T, S>,
    ) {
        let n = out.len() / part;
        let out = Parts::new((out, part));
        let share = scratch.len() / self.capacity();
        let scratch = Parts::new((scratch, share));
        self.each(n, &|i, thread| {
            if !cancel.is_some_and(Cancel::is_cancelled) {
                // SAFETY: every index goes to one thread, every thread has its own number (Pool::run), and the slices
                // are borrowed by this call.
                unsafe { body(i, out.take(i), scratch.take(thread)) }
            }
        });
    }

    /// Cuts several tiles into panels of `panel` rows, and calls `body(which tile, its first row, the chunk, the thread's
    /// shares of both scratches)` with chunks of at most `most` panels, for all of them as one loop, until `cancel` is set.
    pub(crate) fn tiles<R: Rows, A: Send, B: Send>(
        &self,
        tiles: &mut [R],
        (panel, most): (usize, usize),
        (a, b): (&mut [A], &mut [B]),
        cancel: &Cancel,
        body: &TileBody<'_, R, A, B>,
    ) {
        let shares = (a.len() / self.capacity(), b.len() / self.capacity());
        let (a, b) = (Parts::new((a, shares.0)), Parts::new((b, shares.1)));
        let n = tiles.iter().map(|tile| tile.rows().div_ceil(panel)).sum();
        let tiles = SharedTiles(tiles);
        self.run(n, most, &|panels, thread| {
            // The tile's first panel.
            let mut first = 0;
            for (t, tile) in tiles.get().iter().enumerate() {
                let behind = first + tile.rows().div_ceil(panel);
                let (from, to) = (panels.start.max(first), panels.end.min(behind));
                if from < to && !cancel.is_cancelled() {
                    let (from, to) = ((from - first) * panel, tile.rows().min((to - first) * panel));
                    // SAFETY: every index goes to one thread (Pool::run), so no other chunk has these rows; the tiles are
                    // borrowed exclusively by this call.
                    let mut chunk = unsafe { tile.cut(from..to) };
                    // SAFETY: every thread has its own number (Pool::run), and calls of one follow each other.
                    unsafe { body(t, from, &mut chunk, a.take(thread), b.take(thread)) };
                }
                first = behind;
            }
        });
    }

    /// Cuts a tile into blocks of `rows` rows and `cols` columns, the last column's first, and calls `body(first row,
    /// first column, the block, the thread's share of scratch)`, until `cancel` is set.
    pub(crate) fn blocks<S: Send>(
        &self,
        tile: TileMut<'_>,
        (rows, cols): (usize, usize),
        scratch: &mut [S],
        cancel: &Cancel,
        body: &BlockBody<'_, S>,
    ) {
        let share = scratch.len() / self.capacity();
        let scratch = Parts::new((scratch, share));
        let (down, across) = (tile.rows().div_ceil(rows), tile.cols().div_ceil(cols));
        let mut tile = [tile];
        let tiles = SharedTiles(&mut tile);
        self.each(down * across, &|i, thread| {
            if cancel.is_cancelled() {
                return;
            }
            let tile = &tiles.get()[0];
            let (row, col) = (i % down * rows, (across - 1 - i / down) * cols);
            let (to_row, to_col) = ((row + rows).min(tile.rows()), (col + cols).min(tile.cols()));
            // SAFETY: every index goes to one thread (Pool::run), so no other block has these elements; the tile is borrowed
            // exclusively by this call.
            let mut block = unsafe { tile.block_unchecked(row..to_row, col..to_col) };
            // SAFETY: every thread has its own number (Pool::run).
            body(row, col, &mut block, unsafe { scratch.take(thread) });
        });
    }
}

/// Tiles that several threads cut chunks from.
struct SharedTiles<'a, R>(&'a mut [R]);

// SAFETY: `Rows` lets several threads ask for rows and cut at once, and whoever cuts keeps the cuts apart.
unsafe impl<R: Rows> Sync for SharedTiles<'_, R> {}

impl<R> SharedTiles<'_, R> {
    fn get(&self) -> &[R] {
        self.0
    }
}
