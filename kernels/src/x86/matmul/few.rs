//! A few columns: each strip of rows is unpacked once, block by block, and multiplied at once.

use core::arch::x86_64::_MM_HINT_T0;

use super::Dot;
use super::rows::{Bytes, opaque, prefetch};
use super::sums::{add, put};
use crate::tile::TileMut;
use crate::x86::activations::{Activations, Column};
use crate::x86::chunk::*;
use crate::x86::lanes::Lanes;
use crate::x86::register::Floats;

/// Multiplies with up to `C` columns: each strip of rows is unpacked once, block by block, and used at once.
///
/// # Safety
/// As [`Dot::few`].
#[inline(always)]
pub(crate) unsafe fn few<T: Dot<N>, B: Unpack, const N: usize, const C: usize>(
    all: &Bytes<'_>,
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
) {
    let all = all.rows::<B>();
    for row in (0..out.rows()).step_by(N) {
        let rows: [&[B]; N] = all.strip(row);
        // SAFETY: the CPU's features are promised by the caller, and every row has that many blocks.
        unsafe {
            let columns = x.columns::<C>(0, 0);
            let acc = [[Floats::splat(0.0)]; C];
            let mut products = Products::<T, N, C> { columns, block: 0, acc, ahead: core::ptr::null() };
            for b in 0..all.len {
                products.ahead = all.at(row + N, N * b).cast();
                let at = if B::LEN == CHUNK { opaque(b) } else { b };
                B::unpack(rows.map(|row| row.get_unchecked(at)), &mut products);
                products.block += B::LEN / CHUNK;
            }
            put(&products.acc, out, row, 0);
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
    /// strip, though they be another thread's.
    ahead: *const u8,
}

impl<T: Dot<N>, const N: usize, const C: usize> Sink<T::V, N> for Products<'_, T, N, C> {
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<T::V, N>) {
        let part = const { N * size_of::<B>() / (B::LEN / CHUNK) };
        prefetch::<_, _MM_HINT_T0>(self.ahead.wrapping_add(i * part), part);
        // SAFETY: the CPU's features are promised by the caller; activations have a block for each chunk of the weights.
        unsafe { add::<T, B, N, 1, C>([&chunk], &self.columns, self.block + i, &mut self.acc) }
    }
}
