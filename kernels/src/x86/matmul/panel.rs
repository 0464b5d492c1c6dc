//! More columns: a panel of rows is unpacked into scratch, and then multiplied tile by tile.

use core::arch::x86_64::_MM_HINT_T0;

use super::Dot;
use super::rows::{Strip, opaque, prefetch};
use super::sums::{add, get, put};
use crate::tile::TileMut;
use crate::x86::activations::Activations;
use crate::x86::chunk::*;
use crate::x86::lanes::Lanes;
use crate::x86::register::Floats;

/// Unpacks the blocks of a strip from block `from` on until the panel is full; asks meanwhile for half as many
/// bytes from `ahead` on, unless that is null.
///
/// # Safety
/// As [`Tier::panel`](super::Tier::panel).
#[inline(always)]
pub(crate) unsafe fn panel<V: Lanes<N>, B: Unpack, const N: usize>(
    strip: &Strip,
    from: usize,
    panel: &mut [u8],
    ahead: *const u8,
) {
    // SAFETY: any bits are a chunk.
    let panel: &mut [Chunk<V, N>] = unsafe { panel.align_to_mut().1 };
    let panel_start = panel.as_ptr().cast();
    for (b, chunks) in panel.chunks_exact_mut(B::LEN / CHUNK).enumerate() {
        // Else something is asked for that is there.
        let mut sink = Chunks { chunks, ahead: panel_start };
        if ahead.is_null() {
            strip.ask_near::<B, N>(from + b + 2);
        } else {
            sink.ahead = ahead.wrapping_add(b * N * size_of::<B>() / 2);
        }
        // SAFETY: the CPU's features are promised by the caller, and every row has that many blocks.
        unsafe { B::unpack::<V, N, _>(strip.blocks::<B, N>(opaque(from + b)), &mut sink) }
    }
}

/// One strip of a panel.
struct Chunks<'a, V: Lanes<N>, const N: usize> {
    chunks: &'a mut [Chunk<V, N>],
    /// What is asked for: as [`few()`](super::few()) does.
    ahead: *const u8,
}

impl<V: Lanes<N>, const N: usize> Sink<V, N> for Chunks<'_, V, N> {
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<V, N>) {
        let part = const { N * size_of::<B>() / (B::LEN / CHUNK) / 2 };
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
    /// What is asked for meanwhile, and how much of it with each chunk.
    pub(super) ahead: (*const u8, usize),
}

/// Adds the product of a panel and `C` columns, or as many as there are, to a tile.
///
/// # Safety
/// As [`Tier::tile`](super::Tier::tile).
#[inline(always)]
pub(crate) unsafe fn tile<T: Dot<N>, K: Kind, const N: usize, const S: usize, const C: usize>(
    panel: &[u8],
    is_minimum: bool,
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
        let (mut ahead, part) = place.ahead;
        for b in 0..chunks {
            if part > 0 {
                prefetch::<_, _MM_HINT_T0>(ahead, part);
                ahead = ahead.wrapping_add(part);
            }
            let strips = core::array::from_fn(|s| panel.get_unchecked(s * chunks + b));
            // The compiler would make a loop for each case.
            let is_minimum = match K::MINIMUM {
                Some(is_minimum) => is_minimum,
                None => opaque(usize::from(is_minimum)) != 0,
            };
            add::<T, K, N, S, C>(strips, is_minimum, &columns, b, &mut acc);
        }
        put(&acc, out, place.row, place.column);
    }
}
