//! Rows of a matrix as they lie in the file, and how they are asked for before they are needed.

use core::arch::x86_64::*;
use core::ops::Range;

use crate::blocks::{Block, as_blocks};

/// Rows of a matrix, each of `len` blocks, as bytes.
pub(crate) struct Bytes<'a> {
    pub(super) weights: &'a [u8],
    pub(super) len: usize,
}

impl<'a> Bytes<'a> {
    #[inline(always)]
    pub(super) fn rows<B: Block>(&self) -> Rows<'a, B> {
        Rows { blocks: as_blocks(self.weights), len: self.len }
    }

    /// Asks for `n` bytes of some rows of a panel, blocks of `bytes` each, from byte `from` on.
    pub(super) fn ask_panel(&self, rows: Range<usize>, from: usize, n: usize, bytes: usize) {
        let row = |row: usize| self.weights.as_ptr().wrapping_add(row * self.len * bytes + from);
        rows.for_each(|r| prefetch::<_, _MM_HINT_T1>(row(r), n));
    }
}

/// Rows of a matrix, each of `len` blocks.
pub(super) struct Rows<'a, B> {
    blocks: &'a [B],
    pub(super) len: usize,
}

impl<'a, B> Rows<'a, B> {
    /// The strip that starts at row `from`; what lies behind the last row is filled up with it.
    #[inline(always)]
    pub(super) fn strip<const N: usize>(&self, from: usize) -> [&'a [B]; N] {
        let last = self.blocks.len() - self.len;
        let mut rows = [self.blocks; N];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &self.blocks[((from + r) * self.len).min(last)..][..self.len];
        }
        rows
    }

    /// Where block `b` of a row lies, if there is such a row.
    #[inline(always)]
    pub(super) fn at(&self, row: usize, b: usize) -> *const B {
        self.blocks.as_ptr().wrapping_add(row * self.len + b)
    }

    /// Asks again for long blocks of a strip, shortly before they are used: those of a strip may be more than the first cache
    /// holds.
    #[inline(always)]
    pub(super) fn ask_near<const N: usize>(&self, row: usize, b: usize) {
        if const { size_of::<B>() > 64 } && b + 2 < self.len {
            (row..row + N).for_each(|row| prefetch::<_, _MM_HINT_T0>(self.at(row, b + 2), 1));
        }
    }
}

/// Asks for some blocks, or bytes.
#[inline(always)]
pub(crate) fn prefetch<B, const HINT: i32>(blocks: *const B, n: usize) {
    for at in (0..n * size_of::<B>()).step_by(64) {
        // SAFETY: a prefetch of any address does nothing that can be seen.
        unsafe { _mm_prefetch::<HINT>(blocks.cast::<i8>().wrapping_add(at)) };
    }
}

/// The same number, of which the compiler knows nothing: seeing that it grows by one, it would keep a pointer to each row
/// of a strip, more than there are registers, and move all of them on with every block.
#[inline(always)]
pub(super) fn opaque(mut index: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) index, options(pure, nomem, nostack, preserves_flags))
    };
    index
}
