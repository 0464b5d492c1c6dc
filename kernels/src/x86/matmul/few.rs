//! A few columns: each strip of rows is unpacked block by block, and multiplied at once.

use core::arch::x86_64::_MM_HINT_T1;

use super::Dot;
use super::rows::{Whole, prefetch};
use super::sums::add;
use crate::x86::activations::{Activations, Column};
use crate::x86::chunk::*;
use crate::x86::lanes::Lanes;
use crate::x86::register::Floats;

/// Where a strip's products go: the place of the first, and how many floats lie between columns.
#[derive(Clone, Copy)]
pub(crate) struct Corner {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
}

/// Multiplies a strip of rows with `C` columns: each block is unpacked, and used at once. Meanwhile as many bytes from `ahead` on
/// are asked for.
///
/// # Safety
/// As [`Tier::few`](super::Tier::few).
#[inline(always)]
pub(crate) unsafe fn few<T: Dot<N>, B: Unpack, const N: usize, const C: usize>(
    strip: Whole,
    x: &Activations<'_>,
    ahead: *const u8,
    corner: Corner,
) {
    // SAFETY: the CPU's features are promised by the caller, every row has as many blocks as a column, and there is room for a
    // float of each row and column, whose place needs no alignment.
    unsafe {
        let acc = [[Floats::splat(0.0)]; C];
        let mut products = Products::<T, N, C> { columns: x.columns(0, 0), block: 0, acc, ahead };
        for b in 0..x.blocks / (B::LEN / CHUNK) {
            products.ahead = ahead.wrapping_add(b * N * size_of::<B>());
            B::unpack::<T::V, N, _>(strip.blocks::<B, N>(b), &mut products);
            products.block += B::LEN / CHUNK;
        }
        for c in 0..C {
            corner.start.add(c * corner.stride).cast::<[_; 1]>().write_unaligned(products.acc[c]);
        }
    }
}

/// Multiplies chunks with `C` columns as they are unpacked.
struct Products<'a, T: Dot<N>, const N: usize, const C: usize> {
    columns: [Column<'a>; C],
    /// The block of activations that the first chunk of the weights' block is multiplied with.
    block: usize,
    acc: [[<T::V as Lanes<N>>::Floats; 1]; C],
    /// What is asked for while a block is multiplied, a part with each of its chunks, as all at once is more than can be on its
    /// way: as much as is used of a strip. Memory is far, and gives most to who reads it in its own order, across the rows of a
    /// strip, though they be another thread's. It goes to the second cache, which has room for more that is on its way than the
    /// first: asked into that, Zen 4 reads half as fast.
    ahead: *const u8,
}

impl<T: Dot<N>, const N: usize, const C: usize> Sink<T::V, N> for Products<'_, T, N, C> {
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<T::V, N>) {
        let part = const { N * size_of::<B>() / (B::LEN / CHUNK) };
        prefetch::<_, _MM_HINT_T1>(self.ahead.wrapping_add(i * part), part);
        let is_minimum = const { matches!(B::TERM, Term::Minimum) };
        // SAFETY: the CPU's features are promised by the caller; activations have a block for each chunk of the weights.
        unsafe { add::<T, B, N, 1, C>([&chunk], is_minimum, &self.columns, self.block + i, &mut self.acc) }
    }

    #[inline(always)]
    unsafe fn half<W>(rows: [&[W; 16]; N]) -> [T::V; 4] {
        // SAFETY: the same promises.
        unsafe { T::half(rows) }
    }

    #[inline(always)]
    unsafe fn fifth_bits(words: T::V, i: usize) -> T::V {
        // SAFETY: the same promises.
        unsafe { T::fifth_bits(words, i) }
    }
}
