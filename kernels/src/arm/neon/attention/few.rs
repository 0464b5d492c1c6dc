//! Attention of the heads of one token to one run of keys: what decoding does. Each key becomes floats once for up to four
//! heads, and a lane is one of its values.

use core::arch::aarch64::*;

use super::cached::Cached;
use super::cap_scores;
use crate::arm::neon::vectors::Exp;
use crate::arm::unpack::map4;
use crate::attention::{ATTEND_KEYS, AttendMut, Score};

/// The most heads of a tile.
const HEADS: usize = 4;

/// Scores, and then weights: `[head][key]`. Those of each head are padded to whole registers.
type Scores = [[f32; ATTEND_KEYS]; HEADS];

/// A run of keys and values: `n` heads of `dim` values each.
struct Run<C> {
    keys: *const C,
    values: *const C,
    n: usize,
    dim: usize,
}

/// See [`crate::Backend::attend`].
///
/// # Safety
/// The lengths must be what that checks.
#[target_feature(enable = "neon")]
pub(super) unsafe fn few<C: Cached>(
    query: &[f32],
    keys: &[u8],
    values: &[u8],
    score: Score,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / state.max.len();
    let n = keys.len() / C::KEPT.row_bytes(dim).expect("the caller has checked that a head is whole blocks");
    let run = Run { keys: keys.as_ptr().cast::<C>(), values: values.as_ptr().cast(), n, dim };
    let mut scores = [[0.0; ATTEND_KEYS]; HEADS];
    let heads = query.chunks(HEADS * dim).zip(state.acc.chunks_mut(HEADS * dim));
    let totals = state.max.chunks_mut(HEADS).zip(state.sum.chunks_mut(HEADS));
    for ((query, acc), (max, sum)) in heads.zip(totals) {
        // SAFETY: the arrays of a tile hold the same number of heads, and the keys as many values as the caller checked.
        unsafe {
            match max.len() {
                1 => tile::<C, 1>(query, &run, score, max, sum, acc, &mut scores),
                2 => tile::<C, 2>(query, &run, score, max, sum, acc, &mut scores),
                3 => tile::<C, 3>(query, &run, score, max, sum, acc, &mut scores),
                _ => tile::<C, 4>(query, &run, score, max, sum, acc, &mut scores),
            }
        }
    }
}

/// Attends from `H` heads.
///
/// # Safety
/// The arrays must be of `H` heads, and the run of `n` keys and values.
#[target_feature(enable = "neon")]
unsafe fn tile<C: Cached, const H: usize>(
    query: &[f32],
    run: &Run<C>,
    of: Score,
    max: &mut [f32],
    sum: &mut [f32],
    acc: &mut [f32],
    scores: &mut Scores,
) {
    // SAFETY: the lengths are the caller's promise.
    unsafe { score::<C, H>(query, run, scores) }
    let mut shrink = [0.0; H];
    for h in 0..H {
        (shrink[h], sum[h]) = soften(&mut scores[h], run.n, of, &mut max[h], sum[h]);
    }
    let mut from = 0;
    // SAFETY: the lengths are the caller's promise, and the parts are inside a head.
    unsafe {
        while from + 16 <= run.dim {
            add_values::<C, H, 2>(run, from, scores, &shrink, acc);
            from += 16;
        }
        if from + 8 <= run.dim {
            add_values::<C, H, 1>(run, from, scores, &shrink, acc);
            from += 8;
        }
    }
    for h in 0..H {
        for i in from..run.dim {
            let acc = &mut acc[h * run.dim + i];
            *acc *= shrink[h];
            for (t, weight) in scores[h][..run.n].iter().enumerate() {
                // SAFETY: the caller's run has n values of dim each.
                let value = unsafe { C::one(run.values.add(t * run.dim / C::LEN), i) };
                // One rounding, as in a lane of a register.
                let sum = vfma_n_f32(vdup_n_f32(*acc), vdup_n_f32(value), *weight);
                *acc = vget_lane_f32::<0>(sum);
            }
        }
    }
}

/// The products of every head with every key, four keys at a time; the last stands in for those past it.
///
/// # Safety
/// The query must have `H` heads, and the run `n` keys.
#[target_feature(enable = "neon")]
unsafe fn score<C: Cached, const H: usize>(query: &[f32], run: &Run<C>, scores: &mut Scores) {
    for t in (0..run.n).step_by(4) {
        // SAFETY: the caller's query has H heads; four keys from t on exist, and ATTEND_KEYS is a multiple of four.
        unsafe {
            let key = four_from(run.keys, run, t);
            let sums = score_four::<C, H>(query.as_ptr(), key, run.dim);
            for h in 0..H {
                vst1q_f32(scores[h].as_mut_ptr().add(t), sums[h]);
            }
        }
    }
}

/// Four keys (or values) from `t` on; the last stands in for those past it.
///
/// # Safety
/// `all` must be keys or values of the run, and `t` less than their number.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn four_from<C: Cached>(all: *const C, run: &Run<C>, t: usize) -> [*const C; 4] {
    let blocks = run.dim / C::LEN;
    // SAFETY: the offsets are those of keys that exist.
    map4([0, 1, 2, 3], |i| unsafe { all.add((t + i).min(run.n - 1) * blocks) })
}

/// The products of every head with four keys: a vector per head, a lane per key.
///
/// # Safety
/// Each key must have `dim` values, and the query `H` times as many.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn score_four<C: Cached, const H: usize>(
    query: *const f32,
    key: [*const C; 4],
    dim: usize,
) -> [float32x4_t; H] {
    let mut sums = [[vdupq_n_f32(0.0); 4]; H];
    let whole = dim - dim % 8;
    // SAFETY: the caller's keys have dim values and its query H times dim.
    unsafe {
        for i in (0..whole).step_by(8) {
            let mut q = [[vdupq_n_f32(0.0); 2]; H];
            for h in 0..H {
                let from = query.add(h * dim + i);
                q[h] = [vld1q_f32(from), vld1q_f32(from.add(4))];
            }
            for j in 0..4 {
                let [low, high] = C::eight(key[j], i);
                for h in 0..H {
                    sums[h][j] = vfmaq_f32(vfmaq_f32(sums[h][j], low, q[h][0]), high, q[h][1]);
                }
            }
        }
        let mut totals = [vdupq_n_f32(0.0); H];
        for h in 0..H {
            let [a, b, c, d] = sums[h];
            totals[h] = vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
        }
        for i in whole..dim {
            let key = map4(key, |key| C::one(key, i));
            let key = vld1q_f32(key.as_ptr());
            for h in 0..H {
                totals[h] = vfmaq_n_f32(totals[h], key, *query.add(h * dim + i));
            }
        }
        totals
    }
}

/// Turns one head's products into weights relative to its new greatest score. Returns what all that was summed before
/// shrinks by, and the new sum of weights.
#[target_feature(enable = "neon")]
fn soften(scores: &mut [f32; ATTEND_KEYS], n: usize, score: Score, max: &mut f32, sum: f32) -> (f32, f32) {
    let (fours, _) = scores.as_chunks_mut::<4>();
    let fours = &mut fours[..n.div_ceil(4)];
    let scale = cap_scores(fours, score);
    fours.as_flattened_mut()[..score.hidden].fill(f32::NEG_INFINITY);
    let mut greatest = vdupq_n_f32(*max);
    for four in fours.iter_mut() {
        // SAFETY: the array is as long as the load and the store.
        unsafe {
            let scaled = vmulq_n_f32(vld1q_f32(four.as_ptr()), scale);
            greatest = vmaxq_f32(greatest, scaled);
            vst1q_f32(four.as_mut_ptr(), scaled);
        }
    }
    // What stands in for keys past the last has the last one's score, and gets no weight.
    if let Some(last) = fours.last_mut() {
        last[(n - 1) % 4 + 1..].fill(f32::NEG_INFINITY);
    }
    let greatest = vdupq_n_f32(vmaxvq_f32(greatest));
    let (mut sums, exp) = (vdupq_n_f32(0.0), Exp::new());
    for four in fours {
        // SAFETY: the array is as long as the load and the store.
        unsafe {
            let weights = exp.of_negative(vsubq_f32(greatest, vld1q_f32(four.as_ptr())));
            sums = vaddq_f32(sums, weights);
            vst1q_f32(four.as_mut_ptr(), weights);
        }
    }
    let shrink = vgetq_lane_f32::<0>(exp.of_negative(vsubq_f32(greatest, vdupq_n_f32(*max))));
    *max = vgetq_lane_f32::<0>(greatest);
    (shrink, sum * shrink + vaddvq_f32(sums))
}

/// Brings `8 * W` values of every head, from `from` on, to the new maximum and adds the weighted values.
///
/// # Safety
/// The arrays must be of `H` heads, the part inside of a head, and the run of `n` values.
#[target_feature(enable = "neon")]
unsafe fn add_values<C: Cached, const H: usize, const W: usize>(
    run: &Run<C>,
    from: usize,
    weights: &Scores,
    shrink: &[f32; H],
    acc: &mut [f32],
) {
    let dim = run.dim;
    // SAFETY: the caller's part is inside a head, and keys are clamped to the last.
    unsafe {
        let mut sums = [[[vdupq_n_f32(0.0); 2]; W]; H];
        for h in 0..H {
            for w in 0..W {
                let from = acc.as_ptr().add(h * dim + from + 8 * w);
                for half in 0..2 {
                    sums[h][w][half] = vmulq_n_f32(vld1q_f32(from.add(4 * half)), shrink[h]);
                }
            }
        }
        for t in (0..run.n).step_by(4) {
            let mut weight = [vdupq_n_f32(0.0); H];
            for h in 0..H {
                weight[h] = vld1q_f32(weights[h].as_ptr().add(t));
            }
            let [a, b, c, d] = four_from(run.values, run, t);
            add_value::<C, H, W, 0>(&mut sums, &weight, a, from);
            add_value::<C, H, W, 1>(&mut sums, &weight, b, from);
            add_value::<C, H, W, 2>(&mut sums, &weight, c, from);
            add_value::<C, H, W, 3>(&mut sums, &weight, d, from);
        }
        for h in 0..H {
            for w in 0..W {
                let to = acc.as_mut_ptr().add(h * dim + from + 8 * w);
                vst1q_f32(to, sums[h][w][0]);
                vst1q_f32(to.add(4), sums[h][w][1]);
            }
        }
    }
}

/// Adds part of one value, with the weight in lane `LANE` of each head.
///
/// # Safety
/// The value must have the part.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_value<C: Cached, const H: usize, const W: usize, const LANE: i32>(
    sums: &mut [[[float32x4_t; 2]; W]; H],
    weight: &[float32x4_t; H],
    value: *const C,
    from: usize,
) {
    for w in 0..W {
        // SAFETY: the caller's value has so many numbers.
        let [low, high] = unsafe { C::eight(value, from + 8 * w) };
        for h in 0..H {
            let sums = &mut sums[h][w];
            sums[0] = vfmaq_laneq_f32::<LANE>(sums[0], low, weight[h]);
            sums[1] = vfmaq_laneq_f32::<LANE>(sums[1], high, weight[h]);
        }
    }
}
