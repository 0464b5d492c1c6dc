//! Where kernels write: a rectangle of a larger output, some rows of every column.
//! Invariant: two tiles that exist at once never share an element, so tiles may go to different threads.

use core::marker::PhantomData;
use core::ops::Range;

/// A mutable view of `rows` consecutive values in each of `cols` columns that lie `stride` apart.
///
/// ```text
///            row 0 ............ row stride-1
/// column 0   [ . . . R R R R . . . ]
/// column 1   [ . . . R R R R . . . ]     R: the tile, a range of rows of all columns
/// ```
pub struct TileMut<'a, T = f32> {
    start: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    elements: PhantomData<&'a mut [T]>,
}

// SAFETY: a tile is an exclusive borrow of its elements, like a mutable slice, which is Send if they are.
unsafe impl<T: Send> Send for TileMut<'_, T> {}

/// An output of so many rows, which several threads write at once.
///
/// # Safety
/// Cuts that share no row must share no element, and several threads may call both methods of one output at once.
pub unsafe trait Rows: Send {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// Some of the rows, not borrowing the whole.
    ///
    /// # Safety
    /// The rows must exist, and no other cut with one of them may be used for as long as this one is.
    unsafe fn cut(&self, rows: Range<usize>) -> Self;
}

// SAFETY: an element belongs to one row; both methods only read the tile itself.
unsafe impl<T: Send> Rows for TileMut<'_, T> {
    fn rows(&self) -> usize {
        self.rows
    }

    unsafe fn cut(&self, rows: Range<usize>) -> Self {
        TileMut { start: self.start.wrapping_add(rows.start), rows: rows.len(), ..*self }
    }
}

impl<'a, T> TileMut<'a, T> {
    /// All of `out`, seen as `cols` columns of `rows` values; longer buffers are cut.
    ///
    /// # Panics
    /// If `out` is shorter than `rows * cols`.
    pub fn new(out: &'a mut [T], rows: usize, cols: usize) -> TileMut<'a, T> {
        assert!(rows.checked_mul(cols).is_some_and(|len| len <= out.len()), "a tile larger than its buffer");
        TileMut { start: out.as_mut_ptr(), rows, cols, stride: rows, elements: PhantomData }
    }

    /// A tile of nothing.
    pub fn empty() -> TileMut<'a, T> {
        TileMut::new(&mut [], 0, 0)
    }

    /// Rows of the tile.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the tile.
    #[inline(always)]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Values between the starts of two columns.
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The first value; the value of row `r` and column `c` lies `c * stride + r` behind it.
    #[inline(always)]
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.start
    }

    /// The rows of column `c`.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline(always)]
    pub fn column(&mut self, c: usize) -> &mut [T] {
        assert!(c < self.cols);
        // SAFETY: c < cols was just checked, and the tile borrows rows values at each column's start exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(c * self.stride), self.rows) }
    }

    /// The tile of columns `from..to`, for as long as this one is borrowed.
    ///
    /// # Panics
    /// If the range is not inside the tile.
    pub fn columns(&mut self, from: usize, to: usize) -> TileMut<'_, T> {
        assert!(from <= to && to <= self.cols);
        TileMut {
            // The start is only moved past columns that exist, so that it stays inside the buffer.
            start: if from == to { self.start } else { self.start.wrapping_add(from * self.stride) },
            cols: to - from,
            ..*self
        }
    }

    /// The tile of rows `from..to`, for as long as this one is borrowed.
    ///
    /// # Panics
    /// If the range is not inside the tile.
    pub fn rows_range(&mut self, from: usize, to: usize) -> TileMut<'_, T> {
        assert!(from <= to && to <= self.rows);
        TileMut { start: self.start.wrapping_add(from), rows: to - from, ..*self }
    }

    /// The tile of some rows of some columns, not borrowing this one.
    ///
    /// # Safety
    /// Both ranges must be inside the tile, and no other tile of an element of theirs may exist for `'a`.
    pub unsafe fn block_unchecked(&self, rows: Range<usize>, cols: Range<usize>) -> TileMut<'a, T> {
        TileMut {
            start: self.start.wrapping_add(cols.start * self.stride + rows.start),
            rows: rows.len(),
            cols: cols.len(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_range_of_rows_writes_only_its_rows() {
        let mut out = std::vec![0.0; 12];
        let mut tile = TileMut::new(&mut out, 4, 3);
        let mut part = tile.rows_range(1, 3);
        for c in 0..3 {
            part.column(c).fill(1.0 + c as f32);
        }
        assert_eq!(out, [0., 1., 1., 0., 0., 2., 2., 0., 0., 3., 3., 0.]);
    }
}
