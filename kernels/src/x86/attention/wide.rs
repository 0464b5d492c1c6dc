//! Attention of a block of tokens to all of their keys: what reading a prompt does.
//!
//! A lane is a query head of one of the tokens, so that no sum crosses lanes: the score of a key is `sum over d of
//! query[d] * key[d]` with a register of heads and one float of the key, the softmax goes down the keys, and an output
//! is `sum over keys of weight * value[d]`. A run of keys and values is turned into floats once for all heads.
//!
//! ```text
//! scratch:  keys [256][dim]   values [256][dim]   weights [256][2 N]          of the run
//!           strip: queries [dim][2 N]   sums [dim][2 N]   max [2 N]   total [2 N]    of 2 N heads, and so the next
//! ```

use core::array::{self, from_fn};
use core::ops::Range;

use super::cached::as_blocks;
use super::{Cached, Floats, Queries};
use crate::attention::ATTEND_KEYS;
use crate::tile::TileMut;
use crate::x86::avx2::registers::runs;

/// One float for each head of a strip, in two registers.
type Lanes<const N: usize> = [[f32; N]; 2];

/// See [`crate::Backend::attend_scratch`].
pub(super) fn scratch_len<const N: usize>(rows: usize, dim: usize) -> usize {
    let strips = rows.div_ceil(2 * N);
    let lanes = strips.saturating_mul(strip_lanes(dim)).saturating_add(ATTEND_KEYS);
    ATTEND_KEYS.saturating_mul(2 * dim).saturating_add(lanes.saturating_mul(2 * N))
}

/// The length of a [`Strip`], in [`Lanes`].
fn strip_lanes(dim: usize) -> usize {
    2 * dim + 2
}

/// What is kept of up to `2 N` heads from run to run.
struct Strip<'a, const N: usize> {
    /// Value after value.
    queries: &'a mut [Lanes<N>],
    /// The weighted values so far.
    sums: &'a mut [Lanes<N>],
    /// The greatest score so far.
    max: &'a mut Lanes<N>,
    /// The sum of the weights so far.
    total: &'a mut Lanes<N>,
}

impl<'a, const N: usize> Strip<'a, N> {
    fn new(lanes: &'a mut [Lanes<N>], dim: usize) -> Strip<'a, N> {
        let (queries, rest) = lanes.split_at_mut(dim);
        let (sums, rest) = rest.split_at_mut(dim);
        let [max, total] = rest else { unreachable!("a strip has strip_lanes") };
        Strip { queries, sums, max, total }
    }
}

/// Attends from all heads of a block of tokens. `K` keys, and values of an output, are multiplied at once with a strip of
/// heads, which takes `2 K` registers of sums.
///
/// # Safety
/// As [`super::Attention::wide`].
#[inline(always)]
pub(crate) unsafe fn wide<F: Floats<N>, C: Cached<N>, const N: usize, const K: usize>(
    queries: &Queries<'_>,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    let &Queries { tokens, group, dim, .. } = queries;
    let row_bytes = C::FORMAT.row_bytes(dim).expect("the caller has checked that a head is whole blocks");
    let (all, rows) = (keys.len() / row_bytes, queries.rows());
    let (floats, lanes) = scratch.split_at_mut(ATTEND_KEYS * 2 * dim);
    let (run_keys, run_values) = floats.split_at_mut(ATTEND_KEYS * dim);
    let (weights, strips) = lanes.as_chunks_mut::<N>().0.as_chunks_mut::<2>().0.split_at_mut(ATTEND_KEYS);
    let strips = &mut strips[..rows.div_ceil(2 * N) * strip_lanes(dim)];

    for (s, lanes) in strips.chunks_exact_mut(strip_lanes(dim)).enumerate() {
        begin(Strip::new(lanes, dim), queries, s * 2 * N);
    }
    for from in (0..all).step_by(ATTEND_KEYS) {
        let to = all.min(from + ATTEND_KEYS);
        let run = from * row_bytes..to * row_bytes;
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            to_floats::<F, C, N>(&keys[run.clone()], run_keys);
            to_floats::<F, C, N>(&values[run], run_values);
        }
        for (s, lanes) in strips.chunks_exact_mut(strip_lanes(dim)).enumerate() {
            // A later row is of the same token or a later one, and sees no fewer keys.
            let seen = |row: usize| {
                (all - tokens + row.min(rows - 1) / group + 1).saturating_sub(from).min(to - from)
            };
            let (first, last) = (s * 2 * N, s * 2 * N + 2 * N - 1);
            let strip = Strip::new(lanes, dim);
            let weights = &mut weights[..seen(last).next_multiple_of(K)];
            // SAFETY: the CPU's features are promised by the caller.
            unsafe {
                scores::<F, N, K>(strip.queries, run_keys, weights);
                if seen(first) < weights.len() {
                    hide::<F, N>(weights, seen(first), |lane| seen(first + lane) as f32);
                }
                let weights = &mut weights[..seen(last)];
                let shrink = weigh::<F, N>(weights, strip.max, strip.total);
                add_values::<F, N, K>(weights, run_values, &shrink, strip.sums);
            }
        }
    }
    for (s, lanes) in strips.chunks_exact_mut(strip_lanes(dim)).enumerate() {
        end(Strip::new(lanes, dim), s * 2 * N..rows, group, out);
    }
}

/// Brings the heads from `first` on into lanes. Behind the last head, it is taken again.
#[inline(always)]
fn begin<const N: usize>(strip: Strip<'_, N>, queries: &Queries<'_>, first: usize) {
    for lane in 0..2 * N {
        let query = queries.row((first + lane).min(queries.rows() - 1));
        for (to, value) in strip.queries.iter_mut().zip(query) {
            to[lane / N][lane % N] = queries.scale * value;
        }
    }
    strip.sums.fill([[0.0; N]; 2]);
    *strip.max = [[f32::NEG_INFINITY; N]; 2];
    *strip.total = [[0.0; N]; 2];
}

/// Writes the outputs of the heads of `rows`, as far as they are in this strip.
#[inline(always)]
fn end<const N: usize>(strip: Strip<'_, N>, rows: Range<usize>, group: usize, out: &mut TileMut<'_>) {
    let dim = strip.sums.len();
    for (lane, row) in rows.take(2 * N).enumerate() {
        let share = 1.0 / strip.total[lane / N][lane % N];
        let head = &mut out.column(row / group)[row % group * dim..][..dim];
        for (out, sum) in head.iter_mut().zip(strip.sums.iter()) {
            *out = sum[lane / N][lane % N] * share;
        }
    }
}

/// Writes the values of all blocks, one after the other.
#[inline(always)]
unsafe fn to_floats<F: Floats<N>, C: Cached<N>, const N: usize>(bytes: &[u8], out: &mut [f32]) {
    let blocks = as_blocks::<C, N>(bytes);
    let (outs, rest) = out.split_at_mut(blocks.len() * C::PARTS * N);
    let outs = outs.as_chunks_mut::<N>().0.chunks_exact_mut(C::PARTS);
    for (block, outs) in blocks.iter().zip(outs) {
        for (part, out) in outs.iter_mut().enumerate() {
            // SAFETY: the CPU's features are promised by the caller.
            unsafe { block.load::<F>(part).store(out) };
        }
    }
    C::write_rest(&bytes[size_of_val(blocks)..], rest);
}

/// Writes the products of every head with the first keys, as many as there are weights.
#[inline(always)]
unsafe fn scores<F: Floats<N>, const N: usize, const K: usize>(
    queries: &[Lanes<N>],
    keys: &[f32],
    scores: &mut [Lanes<N>],
) {
    let dim = queries.len();
    for (scores, keys) in scores.as_chunks_mut::<K>().0.iter_mut().zip(keys.chunks_exact(K * dim)) {
        let keys: [&[f32]; K] = runs(keys, dim);
        // SAFETY: the CPU's features are promised by the caller, and a key has as many values as a query.
        unsafe {
            let mut sums = [[F::splat(0.0); 2]; K];
            for (d, query) in queries.iter().enumerate() {
                let query = [F::load(&query[0]), F::load(&query[1])];
                for j in 0..K {
                    let key = F::splat(*keys[j].get_unchecked(d));
                    sums[j][0] = query[0].times_plus(key, sums[j][0]);
                    sums[j][1] = query[1].times_plus(key, sums[j][1]);
                }
            }
            for (scores, sums) in scores.iter_mut().zip(sums) {
                sums[0].store(&mut scores[0]);
                sums[1].store(&mut scores[1]);
            }
        }
    }
}

/// Takes the scores of keys that a head does not see to -inf. All heads see the first `least` keys.
#[inline(always)]
unsafe fn hide<F: Floats<N>, const N: usize>(
    scores: &mut [Lanes<N>],
    least: usize,
    seen: impl Fn(usize) -> f32,
) {
    let seen: Lanes<N> = [from_fn(&seen), from_fn(|lane| seen(N + lane))];
    for (key, scores) in scores.iter_mut().enumerate().skip(least) {
        for (scores, seen) in scores.iter_mut().zip(&seen) {
            // SAFETY: the CPU's features are promised by the caller.
            unsafe { F::load(scores).where_less(F::splat(key as f32), F::load(seen)).store(scores) };
        }
    }
}

/// Turns scores into weights relative to the new maximum, adds them to `total`, and tells by what everything summed
/// before must be multiplied.
#[inline(always)]
unsafe fn weigh<F: Floats<N>, const N: usize>(
    scores: &mut [Lanes<N>],
    max: &mut Lanes<N>,
    total: &mut Lanes<N>,
) -> [F; 2] {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let old = [F::load(&max[0]), F::load(&max[1])];
        let mut new = old;
        for scores in scores.iter() {
            new[0] = F::load(&scores[0]).greater(new[0]);
            new[1] = F::load(&scores[1]).greater(new[1]);
        }
        let mut sums = [F::splat(0.0); 2];
        for scores in scores.iter_mut() {
            for r in 0..2 {
                let weight = F::load(&scores[r]).minus(new[r]).exp();
                sums[r] = sums[r].plus(weight);
                weight.store(&mut scores[r]);
            }
        }
        // Every head sees the first key, so that a maximum is -inf before the first run only: its exponential is 0.
        let shrink = [old[0].minus(new[0]).exp(), old[1].minus(new[1]).exp()];
        for r in 0..2 {
            new[r].store(&mut max[r]);
            F::load(&total[r]).times_plus(shrink[r], sums[r]).store(&mut total[r]);
        }
        shrink
    }
}

/// Brings the sums to the new maximum and adds the weighted values of the first keys, as many as there are weights.
#[inline(always)]
unsafe fn add_values<F: Floats<N>, const N: usize, const K: usize>(
    weights: &[Lanes<N>],
    values: &[f32],
    shrink: &[F; 2],
    sums: &mut [Lanes<N>],
) {
    let dim = sums.len();
    let (blocks, rest) = sums.as_chunks_mut::<K>();
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let last = blocks.len() * K;
        for (b, sums) in blocks.iter_mut().enumerate() {
            add_block::<F, N, K>(weights, &values[b * K..], dim, shrink, sums);
        }
        for (i, sum) in rest.iter_mut().enumerate() {
            add_block::<F, N, 1>(weights, &values[last + i..], dim, shrink, array::from_mut(sum));
        }
    }
}

/// [`add_values`] for `B` of each key's values, which lie `dim` apart.
#[inline(always)]
unsafe fn add_block<F: Floats<N>, const N: usize, const B: usize>(
    weights: &[Lanes<N>],
    values: &[f32],
    dim: usize,
    shrink: &[F; 2],
    sums: &mut [Lanes<N>; B],
) {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let mut acc = [[F::splat(0.0); 2]; B];
        for i in 0..B {
            for r in 0..2 {
                acc[i][r] = F::load(&sums[i][r]).times(shrink[r]);
            }
        }
        for (weight, value) in weights.iter().zip(values.chunks(dim)) {
            let weight = [F::load(&weight[0]), F::load(&weight[1])];
            let value = value.first_chunk::<B>().expect("B values of each key are left");
            for i in 0..B {
                let value = F::splat(value[i]);
                acc[i][0] = weight[0].times_plus(value, acc[i][0]);
                acc[i][1] = weight[1].times_plus(value, acc[i][1]);
            }
        }
        for i in 0..B {
            for r in 0..2 {
                acc[i][r].store(&mut sums[i][r]);
            }
        }
    }
}
