//! What layers with a state of their own compute: short convolutions, and memories that learn by the gated delta rule.
//! Every sum has one order, of lanes that no instruction set is named for, so all backends give the same bits; what they
//! differ in is how many lanes the compiler puts into a register.

#![forbid(unsafe_code)]

use crate::math;
use crate::tile::TileMut;

/// The most taps of a convolution.
pub const TAPS_MAX: usize = 8;
/// Rows that are convolved at a time: their sums and taps stay in the first cache.
const ROWS: usize = 64;
/// Lanes of a sum.
const LANES: usize = 16;
/// Rows of a memory that all columns go through before the next: they stay in the first cache.
const MEMORY_ROWS: usize = 16;

/// What columns bring to one head of the gated delta rule, see [`crate::Backend::delta_rule`]. All slices begin at that head.
#[derive(Clone, Copy, Debug)]
pub struct DeltaInputs<'a> {
    /// Columns, one for each token.
    pub columns: usize,
    /// Values of a query, of a key and of a value.
    pub dim: usize,
    /// Of column `c`, `dim` values from `c * stride` on; keys and values lie likewise.
    pub queries: &'a [f32],
    /// What a column learns at.
    pub keys: &'a [f32],
    /// What it learns.
    pub values: &'a [f32],
    /// Values between the queries of two columns.
    pub stride: usize,
    /// What the memory is multiplied with before column `c` learns, at `c * heads`.
    pub decays: &'a [f32],
    /// How much of what is new column `c` learns, at `c * heads`.
    pub rates: &'a [f32],
    /// Decays, and rates, between those of two columns.
    pub heads: usize,
}

impl DeltaInputs<'_> {
    /// Panics if a column is not whole.
    pub(crate) fn check(&self) {
        let Some(last) = self.columns.checked_sub(1) else { return };
        let end = |stride: usize, len: usize| last.checked_mul(stride).and_then(|at| at.checked_add(len));
        for values in [self.queries, self.keys, self.values] {
            assert!(
                end(self.stride, self.dim).is_some_and(|end| end <= values.len()),
                "values of every column"
            );
        }
        for values in [self.decays, self.rates] {
            assert!(end(self.heads, 1).is_some_and(|end| end <= values.len()), "a number of every column");
        }
    }

    fn of<'b>(&self, values: &'b [f32], column: usize) -> &'b [f32] {
        &values[column * self.stride..][..self.dim]
    }
}

/// See [`crate::Backend::delta_rule`].
#[inline(always)]
pub(crate) fn delta_rule(memory: &mut [f32], inputs: &DeltaInputs<'_>, out: &mut [f32]) {
    let dim = inputs.dim;
    let scale = 1.0 / math::sqrt(dim as f32);
    for (block, rows) in memory.chunks_mut(MEMORY_ROWS * dim).enumerate() {
        for column in 0..inputs.columns {
            let (query, key) = (inputs.of(inputs.queries, column), inputs.of(inputs.keys, column));
            let first = block * MEMORY_ROWS;
            let values = &inputs.of(inputs.values, column)[first..];
            let (decay, rate) = (inputs.decays[column * inputs.heads], inputs.rates[column * inputs.heads]);
            let outs = &mut out[column * dim + first..];
            for ((row, value), out) in rows.chunks_exact_mut(dim).zip(values).zip(outs) {
                let known = decay_and_read(row, decay, key);
                let learned = (value - known) * rate;
                *out = learn_and_read(row, learned, key, query) * scale;
            }
        }
    }
}

/// `row *= decay`; what it holds for a key then.
#[inline(always)]
fn decay_and_read(row: &mut [f32], decay: f32, key: &[f32]) -> f32 {
    let (rows, last_row) = row.as_chunks_mut::<LANES>();
    let (keys, last_key) = key.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (row, key) in rows.iter_mut().zip(keys) {
        for lane in 0..LANES {
            row[lane] *= decay;
            sums[lane] += row[lane] * key[lane];
        }
    }
    for ((row, key), sum) in last_row.iter_mut().zip(last_key).zip(&mut sums) {
        *row *= decay;
        *sum += *row * key;
    }
    total(sums)
}

/// `row += learned * key`; what it holds for a query then.
#[inline(always)]
fn learn_and_read(row: &mut [f32], learned: f32, key: &[f32], query: &[f32]) -> f32 {
    let (rows, last_row) = row.as_chunks_mut::<LANES>();
    let (keys, last_key) = key.as_chunks::<LANES>();
    let (queries, last_query) = query.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for ((row, key), query) in rows.iter_mut().zip(keys).zip(queries) {
        for lane in 0..LANES {
            row[lane] += learned * key[lane];
            sums[lane] += row[lane] * query[lane];
        }
    }
    for (((row, key), query), sum) in last_row.iter_mut().zip(last_key).zip(last_query).zip(&mut sums) {
        *row += learned * key;
        *sum += *row * query;
    }
    total(sums)
}

/// The sum of all lanes: the upper half is added to the lower, and so on.
#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0]
}

/// See [`crate::Backend::to_unit`].
pub(crate) fn to_unit(x: &mut [f32], eps: f32) {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x * x);
    }
    sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x * x);
    let scale = 1.0 / math::sqrt(total(sums) + eps);
    x.iter_mut().for_each(|x| *x *= scale);
}

/// See [`crate::Backend::sigmoid_mul`].
pub(crate) fn sigmoid_mul(x: &mut [f32], gate: &[f32]) {
    for (x, gate) in x.iter_mut().zip(gate) {
        *x /= 1.0 + math::exp(-gate);
    }
}

/// See [`crate::Backend::convolve`]. From the last column to the first, so that none is overwritten before it was read.
pub(crate) fn convolve(x: &mut TileMut<'_>, taps: &[f32], length: usize, before: &[f32], stride: usize) {
    let (rows, columns) = (x.rows(), x.cols());
    for first in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - first);
        // By tap and row, as they are used.
        let mut by_tap = [[0.0; ROWS]; TAPS_MAX];
        for (row, taps) in taps[first * length..][..count * length].chunks_exact(length).enumerate() {
            taps.iter().zip(&mut by_tap).for_each(|(tap, all)| all[row] = *tap);
        }
        for column in (0..columns).rev() {
            let mut sums = [0.0; ROWS];
            for (i, taps) in by_tap[..length].iter().enumerate() {
                // Columns are counted from the first of those before.
                let from = column + i;
                let values = match from.checked_sub(length - 1) {
                    Some(column) => &x.column(column)[first..][..count],
                    None => &before[from * stride + first..][..count],
                };
                for ((sum, tap), value) in sums.iter_mut().zip(taps).zip(values) {
                    *sum += tap * value;
                }
            }
            x.column(column)[first..][..count].copy_from_slice(&sums[..count]);
        }
    }
}
