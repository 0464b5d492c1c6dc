//! The matrix product of every quantised format: how rows and columns are cut, for every tier of x86.

use core::arch::x86_64::*;

use super::activations::Activations;
use super::chunk::*;
use super::registers::{Register, floats};
use crate::blocks::as_blocks;
use crate::columns::{Columns, Q8_SUM};
use crate::tile::TileMut;

/// Up to this many columns are multiplied straight with what was unpacked; for more, a panel pays.
const FEW: usize = 3;
/// Columns of a group: for how many the terms are held, and a panel is unpacked.
const GROUP: usize = 128;

/// How a tier multiplies chunks with columns, `S` strips of a panel at once.
///
/// Every element must be computed by the same operations, so that it has the same bits however the work is cut: for
/// each group in order of `k`, `acc = (dot * d_x) * d_w + acc`, and then, for formats with a minimum,
/// `acc = sum_x * m_w + acc`, both sums fused.
pub(crate) trait Dot<const S: usize> {
    /// Columns of a tile: what is multiplied at once with a panel.
    const COLUMNS: usize;
    /// What the kernel adds to weights that are signed bytes, to have them unsigned.
    const SIGNED_OFFSET: i32;

    /// Multiplies rows with up to [`FEW`] columns.
    ///
    /// # Safety
    /// The CPU must have the tier's features; `weights` are as many rows as `out` has, each as long as a column.
    unsafe fn few<B: Unpack>(weights: &[B], x: &Activations<'_>, out: &mut TileMut<'_>);

    /// Multiplies the panel of the rows from `row` on with the columns from `column` on, up to a tile of them.
    ///
    /// # Safety
    /// The CPU must have the tier's features; the panel is as long as a column.
    unsafe fn tile<B: Unpack>(
        panel: &[Chunk<S>],
        x: &Activations<'_>,
        out: &mut TileMut<'_>,
        row: usize,
        column: usize,
    );
}

/// See [`crate::Backend::scratch_bytes`]: a panel, and the terms of a group of columns.
pub(crate) fn scratch_bytes<const S: usize>(k: usize) -> usize {
    k / CHUNK * size_of::<Chunk<S>>() + GROUP * (k / Q8_SUM) * size_of::<u32>()
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn matmul<T: Dot<S>, B: Unpack, const S: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    if x.k == 0 {
        (0..x.n).for_each(|c| out.column(c).fill(0.0));
        return;
    }
    let weights = as_blocks::<B>(weights);
    let (panel, terms) = scratch.split_at_mut(x.k / CHUNK * size_of::<Chunk<S>>());
    // SAFETY: any bits are values of both types.
    let (panel, terms) = unsafe { (panel.align_to_mut::<Chunk<S>>().1, terms.align_to_mut::<u32>().1) };
    let term = match B::TERM {
        Term::Offset(offset) if B::BITS == 8 => Term::Offset(offset + T::SIGNED_OFFSET),
        term => term,
    };
    for c in (0..x.n).step_by(GROUP) {
        let to = x.n.min(c + GROUP);
        let x = &Activations::new(&x.range(c, to), term, B::GROUPS, terms);
        let out = &mut out.columns(c, to);
        // SAFETY: the CPU's features and the lengths are promised by the caller.
        unsafe { if x.n <= FEW { T::few(weights, x, out) } else { many::<T, B, S>(weights, x, out, panel) } }
    }
}

/// Multiplies with many columns: a panel of rows is unpacked into scratch once, and multiplied tile by tile.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn many<T: Dot<S>, B: Unpack, const S: usize>(
    weights: &[B],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
    panel: &mut [Chunk<S>],
) {
    let row_blocks = x.blocks * CHUNK / B::LEN;
    for from in (0..out.rows()).step_by(S * STRIP) {
        for s in 0..S {
            let rows = strip(weights, row_blocks, from + s * STRIP);
            for (b, chunks) in panel.chunks_exact_mut(B::LEN / CHUNK).enumerate() {
                // SAFETY: every row has row_blocks blocks, and the caller promises the CPU's features.
                unsafe { B::unpack(rows.map(|row| row.get_unchecked(b)), chunks, s) };
            }
        }
        for c in (0..x.n).step_by(T::COLUMNS) {
            // SAFETY: the CPU's features are promised by the caller.
            unsafe { T::tile::<B>(panel, x, out, from, c) };
        }
    }
}

/// The rows of the strip that starts at row `from`; what lies behind the last row is filled up with it.
#[inline(always)]
pub(crate) fn strip<B>(weights: &[B], row_blocks: usize, from: usize) -> [&[B]; STRIP] {
    let last = weights.len() - row_blocks;
    let row = |r: usize| &weights[((from + r) * row_blocks).min(last)..][..row_blocks];
    [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]
}

/// Writes one float per lane to the rows from `row` on, as far as there are rows, and the columns from `column` on.
#[inline(always)]
pub(crate) fn write<V: Register, const S: usize, const C: usize>(
    acc: &[[V; S]; C],
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    for (c, acc) in acc.iter().enumerate() {
        let values = floats(acc).as_chunks::<STRIP>().0;
        let (strips, rest) = out.column(column + c)[row..].as_chunks_mut::<STRIP>();
        strips.iter_mut().zip(values).for_each(|(out, values)| *out = *values);
        if let Some(values) = values.get(strips.len()) {
            rest.copy_from_slice(&values[..rest.len()]);
        }
    }
}

/// Asks for a part of the strip that comes third after the one whose first row is given, when that has come to block
/// `b`. Of narrow matrices, fewer strips than that take less time than their bytes from memory.
#[inline(always)]
pub(crate) fn prefetch<B>(row: &[B], b: usize) {
    let next = row.as_ptr().wrapping_add(STRIP * (3 * row.len() + b)).cast::<i8>();
    for at in (0..STRIP * size_of::<B>()).step_by(64) {
        // SAFETY: a prefetch of any address does nothing that can be seen.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(at)) };
    }
}
