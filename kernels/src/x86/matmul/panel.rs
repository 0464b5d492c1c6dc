//! More columns: a panel of rows is unpacked into scratch, and then multiplied tile by tile.

use core::arch::x86_64::_MM_HINT_T0;

use super::Dot;
use super::rows::{Bytes, opaque, prefetch};
use super::sums::{add, get, put};
use crate::tile::TileMut;
use crate::x86::activations::Activations;
use crate::x86::chunk::*;
use crate::x86::lanes::Lanes;
use crate::x86::register::Floats;

/// Unpacks the rows of the strip from `row` on, and the blocks from block `from` on, until the panel is full; asks meanwhile for
/// as many bytes from `ahead` on, unless that is null.
///
/// # Safety
/// As [`Dot::panel`].
#[inline(always)]
pub(crate) unsafe fn panel<V: Lanes<N>, B: Unpack, const N: usize>(
    all: &Bytes<'_>,
    row: usize,
    from: usize,
    panel: &mut [u8],
    ahead: *const u8,
) {
    let all = all.rows::<B>();
    // SAFETY: any bits are a chunk.
    let panel: &mut [Chunk<V, N>] = unsafe { panel.align_to_mut().1 };
    let rows: [&[B]; N] = all.strip(row);
    let panel_start = panel.as_ptr().cast();
    for (b, chunks) in panel.chunks_exact_mut(B::LEN / CHUNK).enumerate() {
        // Else something is asked for that is there.
        let mut strip = Strip { chunks, ahead: panel_start };
        if ahead.is_null() {
            all.ask_near::<N>(row, from + b);
        } else {
            strip.ahead = ahead.wrapping_add(b * N * size_of::<B>());
        }
        // SAFETY: the CPU's features are promised by the caller, and every row has that many blocks.
        unsafe {
            let at = opaque(from + b);
            B::unpack(rows.map(|row| row.get_unchecked(at)), &mut strip);
        }
    }
}

/// One strip of a panel.
struct Strip<'a, V: Lanes<N>, const N: usize> {
    chunks: &'a mut [Chunk<V, N>],
    /// What is asked for: as [`few()`](super::few()) does.
    ahead: *const u8,
}

impl<V: Lanes<N>, const N: usize> Sink<V, N> for Strip<'_, V, N> {
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<V, N>) {
        let part = const { N * size_of::<B>() / (B::LEN / CHUNK) };
        prefetch::<_, _MM_HINT_T0>(self.ahead.wrapping_add(i * part), part);
        let place = &mut self.chunks[i];
        place.w = chunk.w;
        for g in 0..B::GROUPS {
            place.d[g] = chunk.d[g];
            if let Term::Minimum = B::TERM {
                place.m[g] = chunk.m[g];
            }
        }
    }
}

/// Where a tile lies: its first row and column, the block of activations that the panel starts with, and whether what is
/// in `out` is nothing yet, or the sum of the blocks before.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) block: usize,
    pub(super) is_first: bool,
}

/// Adds the product of a panel and `C` columns, or as many as there are, to a tile.
///
/// # Safety
/// As [`Dot::tile`].
#[inline(always)]
pub(crate) unsafe fn tile<T: Dot<N>, B: Unpack, const N: usize, const S: usize, const C: usize>(
    panel: &[u8],
    x: &Activations<'_>,
    place: Place,
    out: &mut TileMut<'_>,
) {
    // SAFETY: the CPU's features, and that there are those columns, and as many blocks as chunks, is promised by the caller;
    // any bits are a chunk.
    unsafe {
        let panel: &[Chunk<T::V, N>] = panel.align_to().1;
        let columns = x.columns::<C>(place.column, place.block);
        let mut acc = [[Floats::splat(0.0); S]; C];
        if !place.is_first {
            get(&mut acc, out, place.row, place.column);
        }
        let chunks = panel.len() / S;
        for b in 0..chunks {
            let strips = core::array::from_fn(|s| panel.get_unchecked(s * chunks + b));
            add::<T, B, N, S, C>(strips, &columns, b, &mut acc);
        }
        put(&acc, out, place.row, place.column);
    }
}
