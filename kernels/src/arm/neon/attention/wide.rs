//! Attention of a block of tokens to all of their keys: what reading a prompt does. Invariant: every output has the bits
//! that `few` and the joining of its runs give.
//!
//! A lane is a query head of one of the tokens, so that no sum crosses lanes: the score of a key is `sum over d of
//! query[d] * key[d]` with two registers of heads and one float of the key, the softmax goes down the keys, and an output
//! is `sum over keys of weight * value[d]`. A run of keys and values is turned into floats once for all heads. Where `few`
//! has a partial sum in each of its four lanes, here are four sums one after the other, added up in the same order; so
//! queries and keys lie in that order, see [`Shape`].
//!
//! ```text
//! scratch:  keys [256][key]   values [256][value]   weights [256][8]          of the run
//!           strip: queries [key][8]   sums [value][8]   max [8]   total [8]    of 8 heads, and so the next
//! ```

use core::arch::aarch64::*;

use super::cached::Cached;
use super::cap_scores;
use crate::arm::hint;
use crate::arm::neon::vectors::{Exp, load, store};
use crate::arm::unpack::map4;
use crate::attention::{ATTEND_KEYS, Piece, Queries};
use crate::tile::TileMut;

/// Heads of a strip: two registers.
const HEADS: usize = 8;
/// Keys, and values of an output, that are multiplied at once with a strip: with two registers of sums for each.
const KEYS: usize = 8;

/// One float for each head of a strip.
type Heads = [[f32; 4]; 2];

/// How the values of a head lie in scratch.
///
/// ```text
/// query, key:  d = 0 4 8 ..   1 5 9 ..   2 6 10 ..   3 7 11 ..   and the rest of d, behind the last whole 8
///                 [lane]         [lane]      [lane]      [lane]      filled up to a multiple of 4 with zeroes, each
/// value:       d = 0 1 2 ..                                          filled up to a multiple of 8
/// ```
#[derive(Clone, Copy)]
struct Shape {
    /// Values of a head.
    dim: usize,
    /// Values of a lane.
    lane: usize,
    /// Floats of a key.
    key: usize,
    /// Floats of a value.
    value: usize,
}

impl Shape {
    fn new(dim: usize) -> Shape {
        let lane = (dim / 8 * 2).next_multiple_of(4);
        let key = 4 * lane + (dim % 8).next_multiple_of(4);
        Shape { dim, lane, key, value: dim.next_multiple_of(8) }
    }

    /// The length of a [`Strip`], in [`Heads`].
    fn strip(self) -> usize {
        self.key + self.value + 2
    }
}

/// See [`crate::Backend::attend_scratch`].
pub(super) fn scratch_len(rows: usize, dim: usize) -> usize {
    // No head is so long that the memory of one could not be counted.
    let shape = Shape::new(dim.min(usize::MAX / 16));
    let lanes = rows.div_ceil(HEADS).saturating_mul(shape.strip()).saturating_add(ATTEND_KEYS);
    ATTEND_KEYS.saturating_mul(shape.key + shape.value).saturating_add(lanes.saturating_mul(HEADS))
}

/// What is kept of up to 8 heads from run to run.
struct Strip<'a> {
    /// In the order of [`Shape`].
    queries: &'a mut [Heads],
    /// The weighted values so far.
    sums: &'a mut [Heads],
    /// The greatest score so far.
    max: &'a mut Heads,
    /// The sum of the weights so far.
    total: &'a mut Heads,
}

impl<'a> Strip<'a> {
    fn new(lanes: &'a mut [Heads], shape: Shape) -> Strip<'a> {
        let (queries, rest) = lanes.split_at_mut(shape.key);
        let (sums, rest) = rest.split_at_mut(shape.value);
        let [max, total] = rest else { unreachable!("a strip has that length") };
        Strip { queries, sums, max, total }
    }
}

/// See [`crate::Backend::attend_wide`].
///
/// # Safety
/// The lengths must be what that checks.
#[target_feature(enable = "neon")]
pub(super) unsafe fn wide<C: Cached>(
    queries: &Queries<'_>,
    piece: Piece,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    let dim = queries.dim;
    let row_bytes = C::KEPT.row_bytes(dim).expect("the caller has checked that a head is whole blocks");
    let (end_of_piece, rows) = (piece.from + keys.len() / row_bytes, queries.rows());
    let shape = Shape::new(dim);
    let (run_keys, rest) = scratch.split_at_mut(ATTEND_KEYS * shape.key);
    let (run_values, lanes) = rest.split_at_mut(ATTEND_KEYS * shape.value);
    let (weights, strips) = lanes.as_chunks_mut::<4>().0.as_chunks_mut::<2>().0.split_at_mut(ATTEND_KEYS);
    let strips = &mut strips[..rows.div_ceil(HEADS) * shape.strip()];

    // Of tokens with a window, another run may be the first that a strip sees.
    let is_first = queries.sinks.is_empty() && queries.window >= piece.all;
    let begins = strips.chunks_exact_mut(shape.strip()).enumerate().filter(|_| piece.from == 0);
    for (s, lanes) in begins {
        begin(Strip::new(lanes, shape), shape, queries, s * HEADS);
    }
    for from in (piece.from..end_of_piece).step_by(ATTEND_KEYS) {
        let to = end_of_piece.min(from + ATTEND_KEYS);
        let run = (from - piece.from) * row_bytes..(to - piece.from) * row_bytes;
        keys_to_floats::<C>(&keys[run.clone()], shape, run_keys);
        to_floats::<C>(&values[run], dim, run_values);
        for (s, lanes) in strips.chunks_exact_mut(shape.strip()).enumerate() {
            // A later row is of the same token or a later one: its keys begin and end no earlier.
            let seen = |row: usize| piece.seen(queries, row, from, to).1;
            let hidden = |row: usize| piece.seen(queries, row, from, to).0;
            let (first, last) = (s * HEADS, s * HEADS + HEADS - 1);
            if seen(last) == 0 || hidden(first) == to - from {
                continue;
            }
            let strip = Strip::new(lanes, shape);
            let whole = &mut weights[..seen(last).next_multiple_of(KEYS)];
            products(strip.queries, shape.lane, run_keys, whole);
            let scale = cap_scores(whole.as_flattened_mut(), queries.score);
            // Whole registers of `few`: keys past the last get no weight.
            let weights = &mut weights[..seen(last).next_multiple_of(4)];
            if seen(first) < weights.len() {
                hide(weights, seen(first), |lane| seen(first + lane) as u32);
            }
            if hidden(last) > 0 {
                let most = hidden(last).min(weights.len());
                hide_first(&mut weights[..most], |lane| hidden(first + lane) as u32);
            }
            let shares = weigh(weights, scale, strip.max, strip.total);
            add_values(&weights[..seen(last)], run_values, &shares, is_first && from == 0, strip.sums);
        }
    }
    let ends = strips.chunks_exact_mut(shape.strip()).enumerate().filter(|_| end_of_piece == piece.all);
    for (s, lanes) in ends {
        end(Strip::new(lanes, shape), s * HEADS, queries, out);
    }
}

/// Brings the heads from `first` on into lanes. Behind the last head, it is taken again.
#[target_feature(enable = "neon")]
fn begin(strip: Strip<'_>, shape: Shape, queries: &Queries<'_>, first: usize) {
    let whole = shape.dim - shape.dim % 8;
    if (whole / 4, whole) != (shape.lane, shape.dim) {
        strip.queries.fill([[0.0; 4]; 2]);
    }
    for half in 0..2 {
        let heads = map4([0, 1, 2, 3], |i| queries.row((first + 4 * half + i).min(queries.rows() - 1)));
        for d in 0..whole / 4 {
            // SAFETY: each head has four values from here on.
            let four = transpose(map4(heads, |head| unsafe { vld1q_f32(head.as_ptr().add(4 * d)) }));
            for i in 0..4 {
                store(&mut strip.queries[i * shape.lane + d][half], four[i]);
            }
        }
        for (d, query) in strip.queries[4 * shape.lane..].iter_mut().take(shape.dim - whole).enumerate() {
            query[half] = map4(heads, |head| head[whole + d]);
        }
    }
    strip.sums.fill([[0.0; 4]; 2]);
    for i in 0..HEADS {
        (strip.max[i / 4][i % 4], strip.total[i / 4][i % 4]) = queries.start(first + i);
    }
}

/// Writes the outputs of the heads from `first` on, as far as they are in this strip.
#[target_feature(enable = "neon")]
fn end(strip: Strip<'_>, first: usize, queries: &Queries<'_>, out: &mut TileMut<'_>) {
    let &Queries { group, dim, .. } = queries;
    for half in 0..2 {
        let share = vdivq_f32(vdupq_n_f32(1.0), load(&strip.total[half]));
        let rows = queries.rows().saturating_sub(first + 4 * half).min(4);
        let mut heads = [core::ptr::null_mut::<f32>(); 4];
        for (i, head) in heads[..rows].iter_mut().enumerate() {
            let row = first + 4 * half + i;
            *head = out.column(row / group)[row % group * dim..][..dim].as_mut_ptr();
        }
        for (d, sums) in strip.sums.as_chunks::<4>().0.iter().enumerate() {
            let values = transpose(map4([0, 1, 2, 3], |i| vmulq_f32(load(&sums[i][half]), share)));
            let len = dim.saturating_sub(4 * d).min(4);
            // SAFETY: each head is a part of its own of the output, of dim values, and has len of them from here on.
            unsafe {
                if (rows, len) == (4, 4) {
                    for i in 0..4 {
                        vst1q_f32(heads[i].add(4 * d), values[i]);
                    }
                } else {
                    for (&head, values) in heads[..rows].iter().zip(values) {
                        write_four(core::slice::from_raw_parts_mut(head.add(4 * d), len), values);
                    }
                }
            }
        }
    }
}

/// Writes four values, or as many of them as there is room for.
#[inline]
#[target_feature(enable = "neon")]
fn write_four(out: &mut [f32], values: float32x4_t) {
    match out.first_chunk_mut() {
        Some(four) => store(four, values),
        None => {
            let mut four = [0.0; 4];
            store(&mut four, values);
            out.copy_from_slice(&four[..out.len()]);
        }
    }
}

/// Lane `j` of vector `i` to lane `i` of vector `j`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn transpose([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let [ab, cd] = [vtrn1q_f32(a, b), vtrn1q_f32(c, d)].map(|v| vreinterpretq_f64_f32(v));
    let [ba, dc] = [vtrn2q_f32(a, b), vtrn2q_f32(c, d)].map(|v| vreinterpretq_f64_f32(v));
    [vzip1q_f64(ab, cd), vzip1q_f64(ba, dc), vzip2q_f64(ab, cd), vzip2q_f64(ba, dc)]
        .map(|v| vreinterpretq_f32_f64(v))
}

/// Writes all keys, one after the other, in the order of [`Shape`].
#[target_feature(enable = "neon")]
fn keys_to_floats<C: Cached>(bytes: &[u8], shape: Shape, out: &mut [f32]) {
    let whole = shape.dim - shape.dim % 8;
    let keys = bytes.len() / size_of::<C>() * C::LEN / shape.dim;
    for (h, out) in out.chunks_exact_mut(shape.key).take(keys).enumerate() {
        let head = bytes.as_ptr().cast::<C>().wrapping_add(h * shape.dim / C::LEN);
        let (lanes, rest) = out.split_at_mut(4 * shape.lane);
        let lanes = lanes.as_mut_ptr();
        for i in (0..whole).step_by(16) {
            // SAFETY: the bytes hold this head, whose last eight values may be past the last sixteen; a lane has room for
            // four floats of every sixteen or eight.
            unsafe {
                let four = if i + 16 <= whole {
                    C::sixteen_apart(head, i)
                } else {
                    let [a, b] = C::eight(head, i);
                    transpose([a, b, vdupq_n_f32(0.0), vdupq_n_f32(0.0)])
                };
                for (l, four) in four.into_iter().enumerate() {
                    vst1q_f32(lanes.add(l * shape.lane + i / 4), four);
                }
            }
        }
        for (i, out) in rest.iter_mut().enumerate() {
            let i = whole + i;
            // SAFETY: the bytes hold this head.
            *out = if i < shape.dim { unsafe { C::one(head, i) } } else { 0.0 };
        }
    }
}

/// Writes the values of all heads of `dim`, one after the other, each filled up to a multiple of eight.
#[target_feature(enable = "neon")]
fn to_floats<C: Cached>(bytes: &[u8], dim: usize, out: &mut [f32]) {
    // Heads that need no filling are one long head.
    let values = bytes.len() / size_of::<C>() * C::LEN;
    let len = if dim.is_multiple_of(8) { values } else { dim };
    let whole = len - len % 8;
    for (h, out) in out.chunks_exact_mut(len.next_multiple_of(8)).take(values / len).enumerate() {
        let head = bytes.as_ptr().cast::<C>().wrapping_add(h * len / C::LEN);
        let (sixteens, eight) = out[..whole].as_chunks_mut::<8>().0.as_chunks_mut::<2>();
        for (i, out) in sixteens.iter_mut().enumerate() {
            // SAFETY: the bytes hold this head.
            unsafe {
                eight_to_floats(head, 16 * i, &mut out[0]);
                eight_to_floats(head, 16 * i + 8, &mut out[1]);
            }
        }
        for out in eight {
            // SAFETY: the bytes hold this head.
            unsafe { eight_to_floats(head, whole - 8, out) }
        }
        for (i, out) in out.iter_mut().enumerate().skip(whole) {
            // SAFETY: the bytes hold this head.
            *out = if i < len { unsafe { C::one(head, i) } } else { 0.0 };
        }
    }
}

/// Writes values `i .. i + 8` of the head that begins here.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn eight_to_floats<C: Cached>(head: *const C, i: usize, out: &mut [f32; 8]) {
    // SAFETY: the caller has them; there is room for eight values, and NEON is baseline.
    unsafe {
        let [low, high] = C::eight(head, i);
        vst1q_f32(out.as_mut_ptr(), low);
        vst1q_f32(out.as_mut_ptr().add(4), high);
    }
}

/// Writes the products of every head with the first keys, as many as there is room for; a lane has `lane` floats.
#[target_feature(enable = "neon")]
fn products(queries: &[Heads], lane: usize, keys: &[f32], products: &mut [Heads]) {
    let len = queries.len();
    for (products, keys) in products.as_chunks_mut::<KEYS>().0.iter_mut().zip(keys.chunks_exact(KEYS * len)) {
        let mut at = At { query: queries.as_ptr().cast(), keys: [keys.as_ptr(); KEYS] };
        for (j, key) in at.keys.iter_mut().enumerate() {
            *key = keys[j * len..].as_ptr();
        }
        // SAFETY: a key has as many floats as a query: four lanes, and the rest.
        unsafe {
            let low = add(&chain(&mut at, lane), &chain(&mut at, lane));
            let high = add(&chain(&mut at, lane), &chain(&mut at, lane));
            let mut sums = add(&low, &high);
            for _ in 0..(len - 4 * lane) / 4 {
                add_four::<false>(&mut sums, &mut at);
            }
            for (products, sums) in products.iter_mut().zip(sums) {
                store(&mut products[0], sums[0]);
                store(&mut products[1], sums[1]);
            }
        }
    }
}

/// The products of each of [`KEYS`] keys with the heads of a strip.
type Products = [[float32x4_t; 2]; KEYS];

/// Where in the heads of a strip, and in each key, the next float is.
struct At {
    query: *const f32,
    keys: [*const f32; KEYS],
}

/// The products of a lane.
///
/// # Safety
/// `lane` floats of each key must be there, and of as many values of every head, in fours.
#[inline(always)]
unsafe fn chain(at: &mut At, lane: usize) -> Products {
    // SAFETY: the caller has the floats; NEON is baseline.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); 2]; KEYS];
        if lane > 0 {
            add_four::<true>(&mut sums, at);
            for _ in 1..lane / 4 {
                add_four::<false>(&mut sums, at);
            }
        }
        sums
    }
}

/// `a + b`
#[inline]
#[target_feature(enable = "neon")]
fn add(a: &Products, b: &Products) -> Products {
    let mut sums = *a;
    for (sums, b) in sums.iter_mut().zip(b) {
        *sums = [vaddq_f32(sums[0], b[0]), vaddq_f32(sums[1], b[1])];
    }
    sums
}

/// Adds the products of the next four floats; to nothing, if they are the `FIRST`.
///
/// # Safety
/// As [`chain`].
#[inline(always)]
unsafe fn add_four<const FIRST: bool>(sums: &mut Products, at: &mut At) {
    // SAFETY: the caller has the floats; NEON is baseline.
    unsafe {
        let mut four = [vdupq_n_f32(0.0); KEYS];
        for j in 0..KEYS {
            four[j] = vld1q_f32(at.keys[j]);
            at.keys[j] = hint::opaque(at.keys[j].add(4));
        }
        score_value::<0, FIRST>(sums, &four, at.query);
        score_value::<1, false>(sums, &four, at.query.add(HEADS));
        score_value::<2, false>(sums, &four, at.query.add(2 * HEADS));
        score_value::<3, false>(sums, &four, at.query.add(3 * HEADS));
        at.query = at.query.add(4 * HEADS);
    }
}

/// Adds the products of value `LANE` of four of each key.
///
/// # Safety
/// A value of each head must be there.
#[inline(always)]
unsafe fn score_value<const LANE: i32, const FIRST: bool>(
    sums: &mut [[float32x4_t; 2]; KEYS],
    keys: &[float32x4_t; KEYS],
    query: *const f32,
) {
    // SAFETY: the caller has a value of each head; NEON is baseline.
    unsafe {
        let (low, high) = (vld1q_f32(query), vld1q_f32(query.add(4)));
        for j in 0..KEYS {
            // A sum that begins with its first product, and not with 0, may be another zero, but never another number.
            if FIRST {
                sums[j] = [vmulq_laneq_f32::<LANE>(low, keys[j]), vmulq_laneq_f32::<LANE>(high, keys[j])];
            } else {
                sums[j][0] = vfmaq_laneq_f32::<LANE>(sums[j][0], low, keys[j]);
                sums[j][1] = vfmaq_laneq_f32::<LANE>(sums[j][1], high, keys[j]);
            }
        }
    }
}

/// Takes the scores of keys that a head does not see to -inf. All heads see the first `least` keys.
#[target_feature(enable = "neon")]
fn hide(scores: &mut [Heads], least: usize, seen: impl Fn(usize) -> u32) {
    let seen = [[seen(0), seen(1), seen(2), seen(3)], [seen(4), seen(5), seen(6), seen(7)]];
    for (key, scores) in scores.iter_mut().enumerate().skip(least) {
        for (scores, seen) in scores.iter_mut().zip(&seen) {
            for (score, &seen) in scores.iter_mut().zip(seen) {
                *score = if (key as u32) < seen { *score } else { f32::NEG_INFINITY };
            }
        }
    }
}

/// Takes the scores of the first keys that a head does not see, up to the most that one does not, to -inf.
#[target_feature(enable = "neon")]
fn hide_first(scores: &mut [Heads], hidden: impl Fn(usize) -> u32) {
    let hidden = [[hidden(0), hidden(1), hidden(2), hidden(3)], [hidden(4), hidden(5), hidden(6), hidden(7)]];
    for (key, scores) in scores.iter_mut().enumerate() {
        for (score, &hidden) in scores.as_flattened_mut().iter_mut().zip(hidden.as_flattened()) {
            *score = if (key as u32) < hidden { f32::NEG_INFINITY } else { *score };
        }
    }
}

/// What the sums of all runs before, and those of this run, are multiplied with before they are added.
struct Shares {
    before: [float32x4_t; 2],
    run: [float32x4_t; 2],
}

/// Turns the products of a run, in fours, into weights relative to the run's greatest score; joins maxima and sums of
/// weights.
#[target_feature(enable = "neon")]
fn weigh(products: &mut [Heads], scale: f32, max: &mut Heads, total: &mut Heads) -> Shares {
    let fours = products.as_chunks_mut::<4>().0;
    let mut greatest = [vdupq_n_f32(f32::NEG_INFINITY); 2];
    for products in fours.as_flattened() {
        greatest = [vmaxq_f32(greatest[0], load(&products[0])), vmaxq_f32(greatest[1], load(&products[1]))];
    }
    // A head that sees no key of this run has products of -inf, which weigh nothing next to any number.
    let least = vdupq_n_f32(f32::MIN);
    for greatest in &mut greatest {
        *greatest = vmaxq_f32(vmulq_n_f32(*greatest, scale), least);
    }
    let (mut sums, exp) = ([[vdupq_n_f32(0.0); 2]; 4], Exp::new());
    for four in fours {
        for i in 0..4 {
            for r in 0..2 {
                let score = vmulq_n_f32(load(&four[i][r]), scale);
                let weight = exp.of_negative(vsubq_f32(greatest[r], score));
                sums[i][r] = vaddq_f32(sums[i][r], weight);
                store(&mut four[i][r], weight);
            }
        }
    }
    let mut shares = Shares { before: greatest, run: greatest };
    for r in 0..2 {
        let before = load(&max[r]);
        let new = vmaxq_f32(before, greatest[r]);
        // Before the first run the maximum is -inf, and its exponential 0.
        shares.before[r] = exp.of_negative(vsubq_f32(new, before));
        shares.run[r] = exp.of_negative(vsubq_f32(new, greatest[r]));
        store(&mut max[r], new);
        // The order of vaddvq.
        let [low, high] = [0, 2].map(|i| vaddq_f32(sums[i][r], sums[i + 1][r]));
        let before = vmulq_f32(load(&total[r]), shares.before[r]);
        store(&mut total[r], vaddq_f32(before, vmulq_f32(vaddq_f32(low, high), shares.run[r])));
    }
    shares
}

/// Adds up the weighted values of the first keys, as many as there are weights, and joins them with the sums
/// unless they are the `first`.
#[target_feature(enable = "neon")]
fn add_values(weights: &[Heads], values: &[f32], shares: &Shares, first: bool, sums: &mut [Heads]) {
    let dim = sums.len();
    for (b, sums) in sums.as_chunks_mut::<KEYS>().0.iter_mut().enumerate() {
        let mut acc = [[vdupq_n_f32(0.0); 2]; KEYS];
        let mut value = values[b * KEYS..].as_ptr();
        let (twos, one) = weights.as_chunks::<2>();
        // SAFETY: there are as many values as weights, of dim floats each.
        unsafe {
            for two in twos {
                add_value(&mut acc, &two[0], value);
                add_value(&mut acc, &two[1], value.add(dim));
                value = value.add(2 * dim);
            }
            for weight in one {
                add_value(&mut acc, weight, value);
            }
        }
        for i in 0..KEYS {
            for r in 0..2 {
                // The first run is joined with nothing: its share is 1, and 0 is added.
                let sum = if first {
                    vaddq_f32(acc[i][r], vdupq_n_f32(0.0))
                } else {
                    let before = vmulq_f32(load(&sums[i][r]), shares.before[r]);
                    vaddq_f32(before, vmulq_f32(acc[i][r], shares.run[r]))
                };
                store(&mut sums[i][r], sum);
            }
        }
    }
}

/// Adds eight floats of a value, each by the weight of every head.
///
/// # Safety
/// There must be eight floats.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_value(acc: &mut [[float32x4_t; 2]; KEYS], weight: &Heads, value: *const f32) {
    // SAFETY: the caller has eight floats.
    let (low, high) = unsafe { (vld1q_f32(value), vld1q_f32(value.add(4))) };
    for (r, weight) in weight.iter().enumerate() {
        let weight = load(weight);
        acc[0][r] = vfmaq_laneq_f32::<0>(acc[0][r], weight, low);
        acc[1][r] = vfmaq_laneq_f32::<1>(acc[1][r], weight, low);
        acc[2][r] = vfmaq_laneq_f32::<2>(acc[2][r], weight, low);
        acc[3][r] = vfmaq_laneq_f32::<3>(acc[3][r], weight, low);
        acc[4][r] = vfmaq_laneq_f32::<0>(acc[4][r], weight, high);
        acc[5][r] = vfmaq_laneq_f32::<1>(acc[5][r], weight, high);
        acc[6][r] = vfmaq_laneq_f32::<2>(acc[6][r], weight, high);
        acc[7][r] = vfmaq_laneq_f32::<3>(acc[7][r], weight, high);
    }
}
