//! Rows of a matrix as they lie in the file, and how they are asked for before they are needed.

use core::arch::x86_64::*;
use core::ops::Range;

use crate::blocks::Block;
use crate::x86::chunk::CHUNK;

/// Rows of a matrix, each of `len` blocks, as bytes.
pub(crate) struct Bytes<'a> {
    pub(super) weights: &'a [u8],
    pub(super) len: usize,
}

impl Bytes<'_> {
    /// Makes `strip` that of the `n` rows from row `from` on, of blocks of `bytes` each; what lies behind the last row
    /// is filled up with it.
    #[inline(always)]
    pub(super) fn strip(&self, from: usize, n: usize, bytes: usize, strip: &mut Strip) {
        let stride = self.len * bytes;
        let last = self.weights.len() - stride;
        for (r, row) in strip.rows[..n].iter_mut().enumerate() {
            *row = self.weights.as_ptr().wrapping_add(((from + r) * stride).min(last));
        }
    }

    /// Where block `b` of a row of blocks of `bytes` each lies, if there is such a row.
    pub(super) fn at(&self, row: usize, b: usize, bytes: usize) -> *const u8 {
        self.weights.as_ptr().wrapping_add((row * self.len + b) * bytes)
    }

    /// Asks for `n` bytes of some rows of a panel, blocks of `bytes` each, from byte `from` on.
    pub(super) fn ask_panel(&self, rows: Range<usize>, from: usize, n: usize, bytes: usize) {
        rows.for_each(|r| prefetch::<_, _MM_HINT_T1>(self.at(r, 0, bytes).wrapping_add(from), n));
    }
}

/// Rows of a strip, at most sixteen: where their blocks start.
pub(crate) struct Strip {
    rows: [*const u8; 16],
}

impl Strip {
    pub(super) const NONE: Strip = Strip { rows: [core::ptr::null(); 16] };

    /// Block `b` of each row.
    ///
    /// # Safety
    /// There must be one.
    #[inline(always)]
    pub(super) unsafe fn blocks<B: Block, const N: usize>(&self, b: usize) -> [&B; N] {
        // Blocks of a long kind are used long enough for their pointers to be kept.
        let b = if B::LEN == CHUNK { opaque(b) } else { b };
        let at = b * size_of::<B>();
        // SAFETY: promised by the caller; a block is nothing but bytes.
        core::array::from_fn(|r| unsafe { &*self.rows[r].add(at).cast() })
    }

    /// Asks again for block `b` of each row, if it is long, shortly before it is used: those of a strip may be more than the
    /// first cache holds.
    #[inline(always)]
    pub(super) fn ask_near<B: Block, const N: usize>(&self, b: usize) {
        if const { size_of::<B>() > 64 } {
            let at = opaque(b * size_of::<B>());
            self.rows[..N]
                .iter()
                .for_each(|row| prefetch::<_, _MM_HINT_T0>(row.wrapping_add(at), size_of::<B>()));
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
