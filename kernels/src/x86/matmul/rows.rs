//! Rows of a matrix as they lie in the file, and how they are asked for before they are needed.

use core::arch::x86_64::*;
use core::array;
use core::marker::PhantomData;
use core::ops::Range;

use crate::blocks::Block;
use crate::x86::chunk::Rows;

/// Rows of a matrix, each of `stride` bytes.
pub(crate) struct Bytes<'a> {
    pub(super) weights: &'a [u8],
    pub(super) stride: usize,
}

impl Bytes<'_> {
    /// Makes `strip` that of the `n` rows from row `from` on; what lies behind the last row is filled up with it.
    #[inline(always)]
    pub(super) fn strip(&self, from: usize, n: usize, strip: &mut Strip) {
        let last = self.weights.len() - self.stride;
        for (r, row) in strip.rows[..n].iter_mut().enumerate() {
            *row = self.weights.as_ptr().wrapping_add(((from + r) * self.stride).min(last));
        }
    }

    /// Where a row lies, if there is such a row.
    pub(super) fn at(&self, row: usize) -> *const u8 {
        self.weights.as_ptr().wrapping_add(row * self.stride)
    }

    /// Asks for `n` bytes of some rows of a panel, from byte `from` on.
    pub(super) fn ask_panel(&self, rows: Range<usize>, from: usize, n: usize) {
        rows.for_each(|r| prefetch::<_, _MM_HINT_T1>(self.at(r).wrapping_add(from), n));
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
    /// Each of `N` rows must have one.
    #[inline(always)]
    pub(super) unsafe fn blocks<B: Block, const N: usize>(&self, b: usize) -> [&B; N] {
        let at = b * size_of::<B>();
        // SAFETY: promised by the caller; a block is nothing but bytes.
        array::from_fn(|r| unsafe { &*self.rows[r].add(at).cast() })
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

/// A strip of rows that are all there, one as far behind the other as the next.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    pub(super) start: *const u8,
    pub(super) stride: usize,
}

impl Whole {
    /// Block `b` of each row.
    ///
    /// # Safety
    /// Each of `N` rows must have one, for `'a`.
    #[inline(always)]
    pub(super) unsafe fn blocks<'a, B: Block, const N: usize>(&self, b: usize) -> Spaced<'a, B, N> {
        Spaced {
            start: self.start.wrapping_add(b * size_of::<B>()),
            stride: self.stride,
            three: 3 * self.stride,
            blocks: PhantomData,
        }
    }
}

/// A block of each of the `N` rows of a [`Whole`] strip: that of the first, and how far the next ones are.
///
/// A pointer for each row would be more than there are registers. So two numbers, and one pointer of every fourth row, give all
/// of them in the way in which instructions name a place:
/// ```text
/// row 4 i       row 4 i + 1            row 4 i + 2                row 4 i + 3
/// base[i]       base[i] + stride       base[i] + 2 * stride       base[i] + three
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Spaced<'a, B, const N: usize> {
    start: *const u8,
    stride: usize,
    three: usize,
    blocks: PhantomData<&'a B>,
}

impl<'a, B: Block, const N: usize> Rows<'a, B, N> for Spaced<'a, B, N> {
    #[inline(always)]
    fn map<R>(self, f: impl Fn(&'a B) -> R) -> [R; N] {
        const { assert!(N <= 16 && N.is_multiple_of(4)) };
        let mut bases = [self.start; 4];
        for i in 0..N / 4 {
            bases[i] = fresh(self.start.wrapping_add(4 * i * self.stride));
        }
        array::from_fn(|r| {
            let offset = [0, self.stride, 2 * self.stride, self.three][r % 4];
            // SAFETY: each row has that block, promised the caller of `Whole::blocks`; a block is nothing but bytes.
            f(unsafe { &*bases[r / 4].wrapping_add(offset).cast() })
        })
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

/// The same pointer, of which the compiler knows nothing, not even that it is the same as the last time: what is computed from it is
/// computed anew, and not kept.
#[inline(always)]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read or written there")]
fn fresh(mut place: *const u8) -> *const u8 {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {0} */", inout(reg) place, options(nomem, nostack, preserves_flags)) };
    place
}
