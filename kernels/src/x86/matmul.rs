//! The matrix product of every quantised format: how rows and columns are cut, for every tier of x86.

use core::arch::x86_64::*;

use super::activations::{Activations, Column};
use super::chunk::*;
use super::lanes::Lanes;
use crate::backend::{FormatKernels, Table};
use crate::blocks::*;
use crate::columns::{Columns, Q8_SUM};
use crate::tile::TileMut;

/// Up to this many columns are multiplied straight with what was unpacked; for more, a panel pays.
const FEW: usize = 3;
/// Columns of a group: for how many the terms are held, and a panel is unpacked.
const GROUP: usize = 128;

/// How a tier multiplies: with registers of `N` rows, and panels of `R` of them.
///
/// `few`, `panel` and `tile` are this file's functions of the same name, compiled for the tier's features.
pub(crate) trait Dot<const N: usize, const R: usize>: Sized {
    /// The name of the tier's backend.
    const NAME: &'static str;
    /// The tier's register.
    type V: Lanes<N>;
    /// Columns of a tile: what is multiplied at once with a panel, at most 6.
    const COLUMNS: usize;
    /// What the kernel adds to weights that are signed bytes, to have them unsigned.
    const SIGNED_OFFSET: i32;

    /// Adds the product of a chunk with block `b` of each column to `acc`.
    ///
    /// Every tier does so by the same operations, so that a result has the same bits however the work is cut: for each
    /// group, `acc = (dot * d_x) * d_w + acc`, and then, for formats with a minimum, `acc = sum_x * m_w + acc`, both
    /// sums fused.
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    unsafe fn multiply<B: Unpack, const S: usize, const C: usize>(
        chunk: &Chunk<Self::V, N, S>,
        columns: &[Column<'_>; C],
        b: usize,
        acc: &mut [[<Self::V as Lanes<N>>::Floats; S]; C],
    );

    /// See [`few`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; `weights` are as many rows as `out` has, each as long as a column.
    unsafe fn few<B: Unpack, const C: usize>(weights: &[B], x: &Activations<'_>, out: &mut TileMut<'_>);

    /// See [`panel`].
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    unsafe fn panel<B: Unpack>(weights: &[B], row: usize, panel: &mut [Chunk<Self::V, N, R>]);

    /// See [`tile`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; the panel is as long as a column.
    unsafe fn tile<B: Unpack, const C: usize>(
        panel: &[Chunk<Self::V, N, R>],
        x: &Activations<'_>,
        out: &mut TileMut<'_>,
        row: usize,
        column: usize,
    );
}

/// A tier's table: that of the tier below, with this one's products of every quantised format.
pub(crate) const fn table<T: Dot<N, R>, const N: usize, const R: usize>(
    supported: fn() -> bool,
    parent: Table,
) -> Table {
    Table { name: T::NAME, supported, scratch_bytes: scratch_bytes::<T, N, R>, ..parent }
        .with(Format::Q8_0, kernels::<T, BlockQ8_0, N, R>(&parent))
        .with(Format::Q4_0, kernels::<T, BlockQ4_0, N, R>(&parent))
        .with(Format::Q4_1, kernels::<T, BlockQ4_1, N, R>(&parent))
        .with(Format::Q5_0, kernels::<T, BlockQ5_0, N, R>(&parent))
        .with(Format::Q5_1, kernels::<T, BlockQ5_1, N, R>(&parent))
        .with(Format::Q2_K, kernels::<T, BlockQ2K, N, R>(&parent))
        .with(Format::Q3_K, kernels::<T, BlockQ3K, N, R>(&parent))
        .with(Format::Q4_K, kernels::<T, BlockQ4K, N, R>(&parent))
        .with(Format::Q5_K, kernels::<T, BlockQ5K, N, R>(&parent))
        .with(Format::Q6_K, kernels::<T, BlockQ6K, N, R>(&parent))
        .with(Format::IQ4_NL, kernels::<T, BlockIQ4NL, N, R>(&parent))
        .with(Format::IQ4_XS, kernels::<T, BlockIQ4XS, N, R>(&parent))
}

const fn kernels<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>(parent: &Table) -> FormatKernels {
    let parent = parent.formats[B::FORMAT as usize];
    FormatKernels { origin: T::NAME, matmul: matmul::<T, B, N, R>, ..parent }
}

/// See [`crate::Backend::scratch_bytes`]: a panel, and the terms of a group of columns.
fn scratch_bytes<T: Dot<N, R>, const N: usize, const R: usize>(k: usize) -> usize {
    k / CHUNK * size_of::<Chunk<T::V, N, R>>() + GROUP * (k / Q8_SUM) * size_of::<u32>()
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
unsafe fn matmul<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>(
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
    let (panel, terms) = scratch.split_at_mut(x.k / CHUNK * size_of::<Chunk<T::V, N, R>>());
    // SAFETY: any bits are values of both types.
    let (panel, terms) = unsafe { (panel.align_to_mut().1, terms.align_to_mut().1) };
    let term = match B::TERM {
        Term::Offset(offset) if B::BITS == 8 => Term::Offset(offset + T::SIGNED_OFFSET),
        term => term,
    };
    for c in (0..x.n).step_by(GROUP) {
        let to = x.n.min(c + GROUP);
        // SAFETY: the CPU's features and the lengths are promised by the caller; every tier has those of AVX2.
        unsafe {
            let x = &Activations::new(&x.range(c, to), term, B::GROUPS, terms);
            let out = &mut out.columns(c, to);
            match x.n {
                1 => T::few::<B, 1>(weights, x, out),
                2 => T::few::<B, 2>(weights, x, out),
                FEW => T::few::<B, FEW>(weights, x, out),
                _ => many::<T, B, N, R>(weights, x, out, panel),
            }
        }
    }
}

/// Multiplies with many columns: a panel of rows is unpacked into scratch once, and multiplied tile by tile.
unsafe fn many<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>(
    weights: &[B],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
    panel: &mut [Chunk<T::V, N, R>],
) {
    for row in (0..out.rows()).step_by(N * R) {
        // SAFETY: the CPU's features and the lengths are promised by the caller.
        unsafe {
            T::panel(weights, row, panel);
            for c in (0..x.n).step_by(T::COLUMNS) {
                match T::COLUMNS.min(x.n - c) {
                    1 => T::tile::<B, 1>(panel, x, out, row, c),
                    2 => T::tile::<B, 2>(panel, x, out, row, c),
                    3 => T::tile::<B, 3>(panel, x, out, row, c),
                    4 => T::tile::<B, 4>(panel, x, out, row, c),
                    5 => T::tile::<B, 5>(panel, x, out, row, c),
                    _ => T::tile::<B, 6>(panel, x, out, row, c),
                }
            }
        }
    }
}

/// Multiplies with `C` columns: each strip of rows is unpacked once, block by block, and used at once.
///
/// # Safety
/// As [`Dot::few`].
#[inline(always)]
pub(crate) unsafe fn few<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize, const C: usize>(
    weights: &[B],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
) {
    let row_blocks = x.blocks * CHUNK / B::LEN;
    let columns = x.columns::<C>(0);
    // SAFETY: all bits 0 are a value of integers and floats.
    let mut chunks: [Chunk<T::V, N, 1>; 8] = unsafe { core::mem::zeroed() };
    let chunks = &mut chunks[..B::LEN / CHUNK];
    for row in (0..out.rows()).step_by(N) {
        let rows: [&[B]; N] = strip(weights, row_blocks, row);
        // SAFETY: the CPU's features are promised by the caller, and every row has row_blocks blocks.
        unsafe {
            let mut acc = [[T::V::zero_floats()]; C];
            for b in 0..row_blocks {
                prefetch(&rows, b);
                B::unpack(rows.map(|row| row.get_unchecked(b)), chunks, 0);
                for (i, chunk) in chunks.iter().enumerate() {
                    T::multiply::<B, 1, C>(chunk, &columns, b * (B::LEN / CHUNK) + i, &mut acc);
                }
            }
            write(&acc, out, row, 0);
        }
    }
}

/// Unpacks the rows from `row` on.
///
/// # Safety
/// As [`Dot::panel`].
#[inline(always)]
pub(crate) unsafe fn panel<V: Lanes<N>, B: Unpack, const N: usize, const R: usize>(
    weights: &[B],
    row: usize,
    panel: &mut [Chunk<V, N, R>],
) {
    let row_blocks = panel.len() * CHUNK / B::LEN;
    for s in 0..R {
        let rows: [&[B]; N] = strip(weights, row_blocks, row + s * N);
        for (b, chunks) in panel.chunks_exact_mut(B::LEN / CHUNK).enumerate() {
            // SAFETY: the CPU's features are promised by the caller, and every row has row_blocks blocks.
            unsafe { B::unpack(rows.map(|row| row.get_unchecked(b)), chunks, s) };
        }
    }
}

/// Multiplies the panel of the rows from `row` on with the `C` columns from `column` on.
///
/// # Safety
/// As [`Dot::tile`].
#[inline(always)]
pub(crate) unsafe fn tile<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize, const C: usize>(
    panel: &[Chunk<T::V, N, R>],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    let columns = x.columns::<C>(column);
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let mut acc = [[T::V::zero_floats(); R]; C];
        for (b, chunk) in panel.iter().enumerate() {
            T::multiply::<B, R, C>(chunk, &columns, b, &mut acc);
        }
        write(&acc, out, row, column);
    }
}

/// The rows of the strip that starts at row `from`; what lies behind the last row is filled up with it.
#[inline(always)]
fn strip<B, const N: usize>(weights: &[B], row_blocks: usize, from: usize) -> [&[B]; N] {
    let last = weights.len() - row_blocks;
    let mut rows = [weights; N];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = &weights[((from + r) * row_blocks).min(last)..][..row_blocks];
    }
    rows
}

/// Writes one float per lane to the rows from `row` on, as far as there are rows, and the columns from `column` on.
///
/// # Safety
/// `V` must be nothing but floats.
#[inline(always)]
unsafe fn write<V, const S: usize, const C: usize>(
    acc: &[[V; S]; C],
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    for (c, acc) in acc.iter().enumerate() {
        // SAFETY: the caller promises that these are floats, and a register is aligned more than they are.
        let floats: &[f32] =
            unsafe { core::slice::from_raw_parts(acc.as_ptr().cast(), size_of_val(acc) / 4) };
        let (values, _) = floats.as_chunks::<8>();
        let (outs, rest) = out.column(column + c)[row..].as_chunks_mut::<8>();
        outs.iter_mut().zip(values).for_each(|(out, values)| *out = *values);
        if let Some(values) = values.get(outs.len()) {
            rest.copy_from_slice(&values[..rest.len()]);
        }
    }
}

/// Asks for weights that will be wanted soon, when the strip of these rows has come to block `b`: memory is far, and a
/// strip jumps from row to row more often than the CPU's own look-ahead likes.
#[inline(always)]
fn prefetch<B, const N: usize>(rows: &[&[B]; N], b: usize) {
    let (row_blocks, block) = (rows[0].len(), size_of::<B>());
    if block < 64 {
        // Rows lie one behind the other: the same share of a strip that is some 10 kB away.
        let strips = 10_000 / (N * row_blocks * block) + 1;
        prefetch_bytes(rows[0].as_ptr().wrapping_add(N * (strips * row_blocks + b)), N * block);
    } else {
        // Three blocks ahead in each row, or as far into the next strip.
        let ahead = if b + 3 < row_blocks { b + 3 } else { b + 3 + (N - 1) * row_blocks };
        rows.iter().for_each(|row| prefetch_bytes(row.as_ptr().wrapping_add(ahead), block));
    }
}

/// Asks for some bytes.
#[inline(always)]
fn prefetch_bytes<T>(start: *const T, len: usize) {
    for at in (0..len).step_by(64) {
        // SAFETY: a prefetch of any address does nothing that can be seen.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.cast::<i8>().wrapping_add(at)) };
    }
}
