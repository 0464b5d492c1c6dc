//! Attention of a block of tokens to all of their keys: what reading a prompt does. Invariant: every output has the bits
//! that [`few`](fn@super::few) and the joining of its runs give.
//!
//! A lane is a query head of one of the tokens, so that no sum crosses lanes: the score of a key is `sum over d of
//! query[d] * key[d]` with a register of heads and one float of the key, the softmax goes down the keys, and an output
//! is `sum over keys of weight * value[d]`. A run of keys and values is turned into floats once for all heads. Where `few`
//! has a partial sum in each of its lanes, here are as many sums one after the other, added up in the same order.
//!
//! ```text
//! scratch:  keys [256][dim]   values [256][dim]   weights [256][2 N]          of the run
//!           strip: queries [dim][2 N]   sums [dim][2 N]   max [2 N]   total [2 N]    of 2 N heads, and so the next
//! ```

use core::array::{self, from_fn};
use core::ops::Range;

use super::cached::as_blocks;
use super::few::cap_scores;
use super::{Attention, Cached, Floats, Queries, ToFloats};
use crate::attention::{ATTEND_KEYS, KvFormat, Piece};
use crate::tile::TileMut;
use crate::x86::avx2::registers::runs;
use crate::x86::lanes::Lanes;

/// Keys that are multiplied at once with a strip. With four the sums of four lanes would be as many as AVX-512 has registers.
const KEYS: usize = 2;

/// One float for each head of a strip, in two registers.
pub(crate) type Heads<const N: usize> = [[f32; N]; 2];

/// The products of each of [`KEYS`] keys with the heads of a strip.
type Products<F> = [[F; 2]; KEYS];

/// See [`crate::Backend::attend_scratch`].
pub(super) fn scratch_len<const N: usize>(rows: usize, dim: usize) -> usize {
    let (strips, dim) = (rows.div_ceil(2 * N), dim.checked_next_multiple_of(N).unwrap_or(dim));
    let lanes = strips.saturating_mul(strip_lanes(dim)).saturating_add(ATTEND_KEYS);
    ATTEND_KEYS.saturating_mul(2 * dim).saturating_add(lanes.saturating_mul(2 * N))
}

/// The length of a [`Strip`], in [`Heads`].
fn strip_lanes(dim: usize) -> usize {
    2 * dim + 2
}

/// What is kept of up to `2 N` heads from run to run.
struct Strip<'a, const N: usize> {
    /// Value after value.
    queries: &'a mut [Heads<N>],
    /// The weighted values so far.
    sums: &'a mut [Heads<N>],
    /// The greatest score so far.
    max: &'a mut Heads<N>,
    /// The sum of the weights so far.
    total: &'a mut Heads<N>,
}

impl<'a, const N: usize> Strip<'a, N> {
    fn new(lanes: &'a mut [Heads<N>], dim: usize) -> Strip<'a, N> {
        let (queries, rest) = lanes.split_at_mut(dim);
        let (sums, rest) = rest.split_at_mut(dim);
        let [max, total] = rest else { unreachable!("a strip has strip_lanes") };
        Strip { queries, sums, max, total }
    }
}

/// Attends from all heads of a block of tokens. Heads that are not whole registers are filled up with zeroes. `K` values of
/// an output are summed at once for a strip of heads, which takes `2 K` registers.
///
/// # Safety
/// As [`super::Attention::wide`].
#[inline(always)]
pub(crate) unsafe fn wide<T: Attention<N>, const N: usize, const K: usize>(
    queries: &Queries<'_>,
    (format, to_floats): (KvFormat, ToFloats),
    piece: Piece,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    let dim = queries.dim;
    let row_bytes = format.row_bytes(dim).expect("the caller has checked that a head is whole blocks");
    let (end_of_piece, rows) = (piece.from + keys.len() / row_bytes, queries.rows());
    let exact = dim;
    let dim = dim.next_multiple_of(N);
    let (floats, lanes) = scratch.split_at_mut(ATTEND_KEYS * 2 * dim);
    let (run_keys, run_values) = floats.split_at_mut(ATTEND_KEYS * dim);
    let (weights, strips) = lanes.as_chunks_mut::<N>().0.as_chunks_mut::<2>().0.split_at_mut(ATTEND_KEYS);
    let strips = &mut strips[..rows.div_ceil(2 * N) * strip_lanes(dim)];

    let begins = strips.chunks_exact_mut(strip_lanes(dim)).enumerate().filter(|_| piece.from == 0);
    for (s, lanes) in begins {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe { begin::<T::V, N>(Strip::new(lanes, dim), queries, s * 2 * N) };
    }
    for from in (piece.from..end_of_piece).step_by(ATTEND_KEYS) {
        let to = end_of_piece.min(from + ATTEND_KEYS);
        let run = (from - piece.from) * row_bytes..(to - piece.from) * row_bytes;
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            to_floats(&keys[run.clone()], exact, run_keys);
            to_floats(&values[run], exact, run_values);
        }
        for (s, lanes) in strips.chunks_exact_mut(strip_lanes(dim)).enumerate() {
            // A later row is of the same token or a later one: its keys begin and end no earlier.
            let seen = |row: usize| piece.seen(queries, row, from, to).1;
            let hidden = |row: usize| piece.seen(queries, row, from, to).0;
            let (first, last) = (s * 2 * N, s * 2 * N + 2 * N - 1);
            if hidden(first) == to - from {
                continue;
            }
            let strip = Strip::new(lanes, dim);
            let weights = &mut weights[..seen(last).next_multiple_of(KEYS)];
            // SAFETY: the CPU's features are promised by the caller.
            unsafe {
                T::products(strip.queries, run_keys, weights);
                let scale = cap_scores::<T::F, N>(weights.as_flattened_mut(), queries.score);
                if seen(first) < weights.len() {
                    hide::<T::F, N>(weights, seen(first), |lane| seen(first + lane) as f32);
                }
                if hidden(last) > 0 {
                    let most = hidden(last).min(weights.len());
                    hide_first::<T::F, N>(&mut weights[..most], |lane| hidden(first + lane) as f32);
                }
                let weights = &mut weights[..seen(last)];
                let shares = weigh::<T::F, N>(weights, scale, strip.max, strip.total);
                add_values::<T::F, N, K>(weights, run_values, &shares, strip.sums);
            }
        }
    }
    let ends = strips.chunks_exact_mut(strip_lanes(dim)).enumerate().filter(|_| end_of_piece == piece.all);
    for (s, lanes) in ends {
        // SAFETY: as above.
        unsafe { end::<T::V, N>(Strip::new(lanes, dim), s * 2 * N..rows, queries, out) };
    }
}

/// Brings the heads from `first` on into lanes. Behind the last head, it is taken again.
///
/// # Safety
/// The CPU must have the features of `V`.
#[inline(always)]
unsafe fn begin<V: Lanes<N>, const N: usize>(strip: Strip<'_, N>, queries: &Queries<'_>, first: usize) {
    strip.queries[queries.dim..].fill([[0.0; N]; 2]);
    for r in 0..2 {
        let heads: [&[f32]; N] = from_fn(|lane| queries.row((first + r * N + lane).min(queries.rows() - 1)));
        let (quarters, rest) = strip.queries[..queries.dim].as_chunks_mut::<4>();
        for (i, values) in quarters.iter_mut().enumerate() {
            // SAFETY: the CPU's features are promised by the caller.
            unsafe {
                let lanes = V::transpose(heads.map(|head| bytes(&head[4 * i..])));
                for (value, lanes) in values.iter_mut().zip(lanes) {
                    lanes.as_floats().store(&mut value[r]);
                }
            }
        }
        for (value, d) in rest.iter_mut().zip(4 * quarters.len()..) {
            value[r] = heads.map(|head| head[d]);
        }
    }
    strip.sums.fill([[0.0; N]; 2]);
    for r in 0..2 {
        for lane in 0..N {
            (strip.max[r][lane], strip.total[r][lane]) = queries.start(first + r * N + lane);
        }
    }
}

/// Writes the outputs of the heads of `rows`, as far as they are in this strip.
///
/// # Safety
/// The CPU must have the features of `V`.
#[inline(always)]
unsafe fn end<V: Lanes<N>, const N: usize>(
    strip: Strip<'_, N>,
    rows: Range<usize>,
    queries: &Queries<'_>,
    out: &mut TileMut<'_>,
) {
    let &Queries { group, dim, .. } = queries;
    for (b, sums) in strip.sums.as_chunks::<N>().0.iter().enumerate() {
        for lane in (0..rows.len().min(2 * N)).step_by(4) {
            let (r, from) = (lane / N, lane % N);
            // SAFETY: the CPU's features are promised by the caller.
            let heads = unsafe { V::transpose(array::from_fn(|d| bytes(&sums[d][r][from..]))) };
            for (i, head) in heads.into_iter().enumerate().take(rows.len() - lane) {
                let (row, mut values) = (rows.start + lane + i, [0.0; N]);
                // SAFETY: as above.
                unsafe {
                    let share = V::Floats::splat(1.0 / strip.total[r][from + i]);
                    head.as_floats().mul(share).store(&mut values);
                }
                let out = &mut out.column(row / group)[row % group * dim..][..dim][b * N..];
                match out.first_chunk_mut::<N>() {
                    Some(out) => *out = values,
                    None => out.copy_from_slice(&values[..out.len()]),
                }
            }
        }
    }
}

/// The bytes of four floats.
#[inline(always)]
fn bytes(floats: &[f32]) -> &[u8; 16] {
    let four: &[f32; 4] = floats.first_chunk().expect("there are four");
    // SAFETY: four floats are sixteen bytes, which have any alignment.
    unsafe { &*core::ptr::from_ref(four).cast() }
}

/// Writes the values of all heads of `dim`, one after the other, each filled up to whole registers.
///
/// # Safety
/// As [`Attention::to_floats`].
#[inline(always)]
pub(crate) unsafe fn to_floats<F: Floats<N>, C: Cached<N>, const N: usize>(
    bytes: &[u8],
    dim: usize,
    out: &mut [f32],
) {
    // Heads that need no filling are one long head.
    let odd = !dim.is_multiple_of(N);
    let len = if odd { C::FORMAT.row_bytes(dim).unwrap_or(bytes.len()) } else { bytes.len() };
    let floats = if odd { dim.next_multiple_of(N) } else { out.len() };
    for (head, out) in bytes.chunks_exact(len).zip(out.chunks_exact_mut(floats)) {
        let blocks = as_blocks::<C, N>(head);
        let (outs, rest) = out.split_at_mut(blocks.len() * C::PARTS * N);
        let outs = outs.as_chunks_mut::<N>().0.chunks_exact_mut(C::PARTS);
        for (block, outs) in blocks.iter().zip(outs) {
            for (part, out) in outs.iter_mut().enumerate() {
                // SAFETY: the CPU's features are promised by the caller.
                unsafe { block.load::<F>(part).store(out) };
            }
        }
        if odd {
            rest.fill(0.0);
            C::write_rest(&head[size_of_val(blocks)..], rest);
        }
    }
}

/// Writes the products of every head with the first keys, as many as there is room for.
///
/// # Safety
/// As [`Attention::products`].
#[inline(always)]
pub(crate) unsafe fn products<F: Floats<N>, const N: usize>(
    queries: &[Heads<N>],
    keys: &[f32],
    products: &mut [Heads<N>],
) {
    let dim = queries.len();
    for (products, keys) in products.as_chunks_mut::<KEYS>().0.iter_mut().zip(keys.chunks_exact(KEYS * dim)) {
        let keys: [&[f32]; KEYS] = runs(keys, dim);
        // SAFETY: the CPU's features are promised by the caller, and each run is as long as a query.
        unsafe {
            let quarter = |i: usize| quarter::<F, N>(queries, &keys, i);
            let mut sums = add::<F, N>(quarter(0), quarter(1));
            if const { F::ORDER.len() == 4 } {
                sums = add::<F, N>(sums, add::<F, N>(quarter(2), quarter(3)));
            }
            store(sums, products);
        }
    }
}

/// The products of four lanes, the `i`th of [`Floats::ORDER`].
///
/// # Safety
/// As [`lane`].
#[inline(always)]
unsafe fn quarter<F: Floats<N>, const N: usize>(
    queries: &[Heads<N>],
    keys: &[&[f32]; KEYS],
    i: usize,
) -> Products<F> {
    let [a, b, c, d] = F::ORDER[i];
    // SAFETY: the same promises.
    unsafe {
        let low = add::<F, N>(lane::<F, N>(queries, keys, a), lane::<F, N>(queries, keys, b));
        let high = add::<F, N>(lane::<F, N>(queries, keys, c), lane::<F, N>(queries, keys, d));
        add::<F, N>(low, high)
    }
}

/// The products of value `lane` and of every `N`th behind it.
///
/// # Safety
/// The CPU must have the features of `F`, and each key as many values as a query.
#[inline(always)]
unsafe fn lane<F: Floats<N>, const N: usize>(
    queries: &[Heads<N>],
    keys: &[&[f32]; KEYS],
    lane: usize,
) -> Products<F> {
    // SAFETY: the CPU's features and the lengths are promised by the caller.
    unsafe {
        let mut sums = [[F::splat(0.0); 2]; KEYS];
        for i in 0..queries.len() / N {
            let d = i * N + lane;
            let [low, high] = queries.get_unchecked(d);
            let query = [F::load(low), F::load(high)];
            for j in 0..KEYS {
                let key = F::splat(*keys[j].get_unchecked(d));
                // What begins with 0 differs from what begins with a product in the sign of a zero at most.
                for r in 0..2 {
                    sums[j][r] = if i == 0 { query[r].mul(key) } else { query[r].mul_add(key, sums[j][r]) };
                }
            }
        }
        sums
    }
}

/// Writes all sums.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn store<F: Floats<N>, const N: usize>(sums: Products<F>, out: &mut [Heads<N>; KEYS]) {
    for (sums, out) in sums.iter().zip(out) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            sums[0].store(&mut out[0]);
            sums[1].store(&mut out[1]);
        }
    }
}

/// `a + b`
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn add<F: Floats<N>, const N: usize>(mut a: Products<F>, b: Products<F>) -> Products<F> {
    for j in 0..KEYS {
        for r in 0..2 {
            // SAFETY: the CPU's features are promised by the caller.
            a[j][r] = unsafe { a[j][r].add(b[j][r]) };
        }
    }
    a
}

/// Takes the scores of keys that a head does not see to -inf. All heads see the first `least` keys.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn hide<F: Floats<N>, const N: usize>(
    scores: &mut [Heads<N>],
    least: usize,
    seen: impl Fn(usize) -> f32,
) {
    let seen: Heads<N> = [from_fn(&seen), from_fn(|lane| seen(N + lane))];
    for (key, scores) in scores.iter_mut().enumerate().skip(least) {
        for (scores, seen) in scores.iter_mut().zip(&seen) {
            // SAFETY: the CPU's features are promised by the caller.
            unsafe { F::load(scores).where_less(F::splat(key as f32), F::load(seen)).store(scores) };
        }
    }
}

/// Takes the scores of the first keys that a head does not see, up to the most that one does not, to -inf.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn hide_first<F: Floats<N>, const N: usize>(scores: &mut [Heads<N>], hidden: impl Fn(usize) -> f32) {
    let hidden: Heads<N> = [from_fn(&hidden), from_fn(|lane| hidden(N + lane))];
    for (key, scores) in scores.iter_mut().enumerate() {
        for (scores, hidden) in scores.iter_mut().zip(&hidden) {
            // SAFETY: the CPU's features are promised by the caller.
            unsafe {
                F::load(scores).where_less(F::load(hidden), F::splat(key as f32 + 0.5)).store(scores);
            }
        }
    }
}

/// What the sums of all runs before, and those of this run, are multiplied with before they are added.
struct Shares<F> {
    before: [F; 2],
    run: [F; 2],
}

/// Turns the products of a run into weights relative to the run's greatest score; joins maxima and sums of weights.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn weigh<F: Floats<N>, const N: usize>(
    products: &mut [Heads<N>],
    scale: f32,
    max: &mut Heads<N>,
    total: &mut Heads<N>,
) -> Shares<F> {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let scale = F::splat(scale);
        let mut greatest = [F::splat(f32::NEG_INFINITY); 2];
        for products in products.iter() {
            greatest[0] = F::load(&products[0]).max(greatest[0]);
            greatest[1] = F::load(&products[1]).max(greatest[1]);
        }
        // A head that sees no key of this run has products of -inf, which weigh nothing next to any number.
        let greatest = greatest.map(|products| products.mul(scale).max(F::splat(f32::MIN)));
        let mut sums = [[F::splat(0.0); 2]; N];
        for products in products.chunks_mut(N) {
            for (products, sums) in products.iter_mut().zip(&mut sums) {
                for r in 0..2 {
                    let weight = F::load(&products[r]).mul(scale).sub(greatest[r]).exp();
                    sums[r] = sums[r].add(weight);
                    weight.store(&mut products[r]);
                }
            }
        }
        // The order of Floats::reduce_sum.
        let mut half = N / 2;
        while half > 0 {
            for i in 0..half {
                sums[i] = [sums[i][0].add(sums[i + half][0]), sums[i][1].add(sums[i + half][1])];
            }
            half /= 2;
        }
        let mut shares = Shares { before: greatest, run: greatest };
        for r in 0..2 {
            let before = F::load(&max[r]);
            let new = before.max(greatest[r]);
            // Before the first run the maximum is -inf, and its exponential 0.
            shares.before[r] = before.sub(new).exp();
            shares.run[r] = greatest[r].sub(new).exp();
            new.store(&mut max[r]);
            let sum = F::load(&total[r]).mul(shares.before[r]).add(sums[0][r].mul(shares.run[r]));
            sum.store(&mut total[r]);
        }
        shares
    }
}

/// Adds up the weighted values of the first keys, as many as there are weights, and joins them with the sums.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn add_values<F: Floats<N>, const N: usize, const K: usize>(
    weights: &[Heads<N>],
    values: &[f32],
    shares: &Shares<F>,
    sums: &mut [Heads<N>],
) {
    let dim = sums.len();
    let (blocks, rest) = sums.as_chunks_mut::<K>();
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let last = blocks.len() * K;
        for (b, sums) in blocks.iter_mut().enumerate() {
            add_block::<F, N, K>(weights, &values[b * K..], dim, shares, sums);
        }
        for (i, sum) in rest.iter_mut().enumerate() {
            add_block::<F, N, 1>(weights, &values[last + i..], dim, shares, array::from_mut(sum));
        }
    }
}

/// [`add_values`] for `B` of each key's values, which lie `dim` apart.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn add_block<F: Floats<N>, const N: usize, const B: usize>(
    weights: &[Heads<N>],
    values: &[f32],
    dim: usize,
    shares: &Shares<F>,
    sums: &mut [Heads<N>; B],
) {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let mut acc = [[F::splat(0.0); 2]; B];
        for (weight, value) in weights.iter().zip(values.chunks(dim)) {
            let weight = [F::load(&weight[0]), F::load(&weight[1])];
            let value = value.first_chunk::<B>().expect("B values of each key are left");
            for i in 0..B {
                let value = F::splat(value[i]);
                acc[i][0] = weight[0].mul_add(value, acc[i][0]);
                acc[i][1] = weight[1].mul_add(value, acc[i][1]);
            }
        }
        for i in 0..B {
            for r in 0..2 {
                let before = F::load(&sums[i][r]).mul(shares.before[r]);
                before.add(acc[i][r].mul(shares.run[r])).store(&mut sums[i][r]);
            }
        }
    }
}
