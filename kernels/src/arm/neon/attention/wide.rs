//! Attention of a block of tokens to all of their keys: what reading a prompt does.
//!
//! A lane is a query head of one of the tokens, so that no sum crosses lanes: the score of a key is `sum over d of
//! query[d] * key[d]` with two registers of heads and one float of the key, the softmax goes down the keys, and an output
//! is `sum over keys of weight * value[d]`. A run of keys and values is turned into floats once for all heads.
//!
//! ```text
//! scratch:  keys [256][dim]   values [256][dim]   weights [256][8]          of the run
//!           strip: queries [dim][8]   sums [dim][8]   max [8]   total [8]    of 8 heads, and so the next
//! ```

use core::arch::aarch64::*;

use super::cached::Cached;
use crate::arm::insn;
use crate::arm::neon::vectors::{Exp, load, store};
use crate::arm::unpack::map4;
use crate::attention::{ATTEND_KEYS, Queries};
use crate::tile::TileMut;

/// Heads of a strip: two registers.
const HEADS: usize = 8;
/// Keys, and values of an output, that are multiplied at once with a strip: with two registers of sums for each.
const KEYS: usize = 8;

/// One float for each head of a strip.
type Lanes = [[f32; 4]; 2];

/// See [`crate::Backend::attend_scratch`].
pub(super) fn scratch_len(rows: usize, dim: usize) -> usize {
    let dim = dim.next_multiple_of(8);
    let lanes = rows.div_ceil(HEADS).saturating_mul(strip_lanes(dim)).saturating_add(ATTEND_KEYS);
    ATTEND_KEYS.saturating_mul(2 * dim).saturating_add(lanes.saturating_mul(HEADS))
}

/// The length of a [`Strip`], in [`Lanes`].
fn strip_lanes(dim: usize) -> usize {
    2 * dim + 2
}

/// What is kept of up to 8 heads from run to run.
struct Strip<'a> {
    /// Value after value.
    queries: &'a mut [Lanes],
    /// The weighted values so far.
    sums: &'a mut [Lanes],
    /// The greatest score so far.
    max: &'a mut Lanes,
    /// The sum of the weights so far.
    total: &'a mut Lanes,
}

impl<'a> Strip<'a> {
    fn new(lanes: &'a mut [Lanes], dim: usize) -> Strip<'a> {
        let (queries, rest) = lanes.split_at_mut(dim);
        let (sums, rest) = rest.split_at_mut(dim);
        let [max, total] = rest else { unreachable!("a strip has strip_lanes") };
        Strip { queries, sums, max, total }
    }
}

/// See [`crate::Backend::attend_wide`]. Heads whose length is no multiple of 8 are filled up with zeroes.
///
/// # Safety
/// The lengths must be what that checks.
#[target_feature(enable = "neon")]
pub(super) unsafe fn wide<C: Cached>(
    queries: &Queries<'_>,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    let &Queries { tokens, group, dim, .. } = queries;
    let row_bytes = C::KEPT.row_bytes(dim).expect("the caller has checked that a head is whole blocks");
    let (all, rows) = (keys.len() / row_bytes, queries.rows());
    let exact = dim;
    let dim = dim.next_multiple_of(8);
    let (floats, lanes) = scratch.split_at_mut(ATTEND_KEYS * 2 * dim);
    let (run_keys, run_values) = floats.split_at_mut(ATTEND_KEYS * dim);
    let (weights, strips) = lanes.as_chunks_mut::<4>().0.as_chunks_mut::<2>().0.split_at_mut(ATTEND_KEYS);
    let strips = &mut strips[..rows.div_ceil(HEADS) * strip_lanes(dim)];

    for (s, lanes) in strips.chunks_exact_mut(strip_lanes(dim)).enumerate() {
        begin(Strip::new(lanes, dim), queries, s * HEADS);
    }
    for from in (0..all).step_by(ATTEND_KEYS) {
        let to = all.min(from + ATTEND_KEYS);
        let run = from * row_bytes..to * row_bytes;
        to_floats::<C>(&keys[run.clone()], exact, run_keys);
        to_floats::<C>(&values[run], exact, run_values);
        for (s, lanes) in strips.chunks_exact_mut(strip_lanes(dim)).enumerate() {
            // A later row is of the same token or a later one, and sees no fewer keys.
            let seen = |row: usize| {
                (all - tokens + row.min(rows - 1) / group + 1).saturating_sub(from).min(to - from)
            };
            let (first, last) = (s * HEADS, s * HEADS + HEADS - 1);
            if seen(last) == 0 {
                continue;
            }
            let strip = Strip::new(lanes, dim);
            scores(strip.queries, run_keys, &mut weights[..seen(last).next_multiple_of(KEYS)]);
            let weights = &mut weights[..seen(last)];
            if seen(first) < weights.len() {
                hide(weights, seen(first), |lane| seen(first + lane) as u32);
            }
            let shrink = weigh(weights, strip.max, strip.total);
            add_values(weights, run_values, shrink, strip.sums);
        }
    }
    for (s, lanes) in strips.chunks_exact_mut(strip_lanes(dim)).enumerate() {
        end(Strip::new(lanes, dim), s * HEADS, queries, out);
    }
}

/// Brings the heads from `first` on into lanes. Behind the last head, it is taken again.
#[target_feature(enable = "neon")]
fn begin(strip: Strip<'_>, queries: &Queries<'_>, first: usize) {
    for half in 0..2 {
        let heads = map4([0, 1, 2, 3], |i| queries.row((first + 4 * half + i).min(queries.rows() - 1)));
        for (d, lanes) in strip.queries.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let four = if 4 * d + 4 <= queries.dim {
                // SAFETY: each head has four values from here on.
                map4(heads, |head| unsafe { vld1q_f32(head.as_ptr().add(4 * d)) })
            } else {
                map4(heads, |head| read_four(head, 4 * d))
            };
            let four = transpose(map4(four, |four| vmulq_n_f32(four, queries.scale)));
            for i in 0..4 {
                store(&mut lanes[i][half], four[i]);
            }
        }
    }
    strip.sums.fill([[0.0; 4]; 2]);
    *strip.max = [[f32::NEG_INFINITY; 4]; 2];
    *strip.total = [[0.0; 4]; 2];
}

/// Four values from `at` on, those past the last being zeroes.
#[inline]
#[target_feature(enable = "neon")]
fn read_four(head: &[f32], at: usize) -> float32x4_t {
    let rest = head.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(four) => load(four),
        None => {
            let mut four = [0.0; 4];
            four[..rest.len()].copy_from_slice(rest);
            load(&four)
        }
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
fn transpose([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let [ab, cd] = [vtrn1q_f32(a, b), vtrn1q_f32(c, d)].map(|v| vreinterpretq_f64_f32(v));
    let [ba, dc] = [vtrn2q_f32(a, b), vtrn2q_f32(c, d)].map(|v| vreinterpretq_f64_f32(v));
    [vzip1q_f64(ab, cd), vzip1q_f64(ba, dc), vzip2q_f64(ab, cd), vzip2q_f64(ba, dc)]
        .map(|v| vreinterpretq_f32_f64(v))
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

/// Writes the products of every head with the first keys, as many as there are weights.
#[target_feature(enable = "neon")]
fn scores(queries: &[Lanes], keys: &[f32], scores: &mut [Lanes]) {
    let dim = queries.len();
    for (scores, keys) in scores.as_chunks_mut::<KEYS>().0.iter_mut().zip(keys.chunks_exact(KEYS * dim)) {
        let mut sums = [[vdupq_n_f32(0.0); 2]; KEYS];
        let mut query = queries.as_ptr().cast::<f32>();
        let mut key = [keys.as_ptr(); KEYS];
        for (j, key) in key.iter_mut().enumerate() {
            *key = keys[j * dim..].as_ptr();
        }
        for _ in 0..dim / 4 {
            // SAFETY: a key has as many values as a query, and they are a multiple of four.
            unsafe {
                let mut four = [vdupq_n_f32(0.0); KEYS];
                for j in 0..KEYS {
                    four[j] = vld1q_f32(key[j]);
                    key[j] = insn::opaque(key[j].add(4));
                }
                score_value::<0>(&mut sums, &four, query);
                score_value::<1>(&mut sums, &four, query.add(HEADS));
                score_value::<2>(&mut sums, &four, query.add(2 * HEADS));
                score_value::<3>(&mut sums, &four, query.add(3 * HEADS));
                query = query.add(4 * HEADS);
            }
        }
        for (scores, sums) in scores.iter_mut().zip(sums) {
            store(&mut scores[0], sums[0]);
            store(&mut scores[1], sums[1]);
        }
    }
}

/// Adds the products of value `LANE` of four of each key.
#[inline(always)]
unsafe fn score_value<const LANE: i32>(
    sums: &mut [[float32x4_t; 2]; KEYS],
    keys: &[float32x4_t; KEYS],
    query: *const f32,
) {
    // SAFETY: the caller has a value of each head; NEON is baseline.
    unsafe {
        let (low, high) = (vld1q_f32(query), vld1q_f32(query.add(4)));
        for j in 0..KEYS {
            sums[j][0] = vfmaq_laneq_f32::<LANE>(sums[j][0], low, keys[j]);
            sums[j][1] = vfmaq_laneq_f32::<LANE>(sums[j][1], high, keys[j]);
        }
    }
}

/// Takes the scores of keys that a head does not see to -inf. All heads see the first `least` keys.
#[target_feature(enable = "neon")]
fn hide(scores: &mut [Lanes], least: usize, seen: impl Fn(usize) -> u32) {
    let seen = [[seen(0), seen(1), seen(2), seen(3)], [seen(4), seen(5), seen(6), seen(7)]];
    for (key, scores) in scores.iter_mut().enumerate().skip(least) {
        for (scores, seen) in scores.iter_mut().zip(&seen) {
            for (score, &seen) in scores.iter_mut().zip(seen) {
                *score = if (key as u32) < seen { *score } else { f32::NEG_INFINITY };
            }
        }
    }
}

/// Turns scores into weights relative to the new maximum, adds them to `total`, and tells by what everything summed
/// before must be multiplied.
#[target_feature(enable = "neon")]
fn weigh(scores: &mut [Lanes], max: &mut Lanes, total: &mut Lanes) -> [float32x4_t; 2] {
    let old = [load(&max[0]), load(&max[1])];
    let mut new = old;
    for scores in scores.iter() {
        new = [vmaxq_f32(new[0], load(&scores[0])), vmaxq_f32(new[1], load(&scores[1]))];
    }
    let (mut sums, exp) = ([vdupq_n_f32(0.0); 2], Exp::new());
    for scores in scores.iter_mut() {
        for r in 0..2 {
            let weight = exp.of_negative(vsubq_f32(new[r], load(&scores[r])));
            sums[r] = vaddq_f32(sums[r], weight);
            store(&mut scores[r], weight);
        }
    }
    // Every head sees the first key, so that a maximum is -inf before the first run only: its exponential is 0.
    let shrink = [exp.of_negative(vsubq_f32(new[0], old[0])), exp.of_negative(vsubq_f32(new[1], old[1]))];
    for r in 0..2 {
        store(&mut max[r], new[r]);
        let sum = vfmaq_f32(sums[r], load(&total[r]), shrink[r]);
        store(&mut total[r], sum);
    }
    shrink
}

/// Brings the sums to the new maximum and adds the weighted values of the first keys, as many as there are weights.
#[target_feature(enable = "neon")]
fn add_values(weights: &[Lanes], values: &[f32], shrink: [float32x4_t; 2], sums: &mut [Lanes]) {
    let dim = sums.len();
    for (b, sums) in sums.as_chunks_mut::<KEYS>().0.iter_mut().enumerate() {
        let mut acc = [[vdupq_n_f32(0.0); 2]; KEYS];
        for i in 0..KEYS {
            acc[i] = [vmulq_f32(load(&sums[i][0]), shrink[0]), vmulq_f32(load(&sums[i][1]), shrink[1])];
        }
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
            store(&mut sums[i][0], acc[i][0]);
            store(&mut sums[i][1], acc[i][1]);
        }
    }
}

/// Adds eight floats of a value, each by the weight of every head.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_value(acc: &mut [[float32x4_t; 2]; KEYS], weight: &Lanes, value: *const f32) {
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
