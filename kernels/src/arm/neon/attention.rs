//! Attention to a run of keys and values in halves, shared by the query heads of one group: each half is converted
//! once and used for up to four heads.

use core::arch::aarch64::*;

use half::f16;

use crate::arm::insn;
use crate::arm::neon::vectors::exp;
use crate::arm::unpack::map4;
use crate::attention::{ATTEND_KEYS, AttendMut, KvFormat, Queries};
use crate::scalar;
use crate::tile::TileMut;

/// The most heads of a tile.
const HEADS: usize = 4;

/// Scores, and then weights: `[head][key]`. Those of each head are padded to whole registers.
type Scores = [[f32; ATTEND_KEYS]; HEADS];

/// See [`crate::Backend::attend`].
#[target_feature(enable = "neon")]
pub(crate) unsafe fn attend_f16(
    query: &[f32],
    keys: &[u8],
    values: &[u8],
    scale: f32,
    state: &mut AttendMut<'_>,
) {
    // SAFETY: any bits are a half.
    let (([], keys, []), ([], values, [])) = (unsafe { (keys.align_to::<f16>(), values.align_to::<f16>()) })
    else {
        // A cache starts at multiples of 64; bytes from elsewhere may be at odd addresses.
        // SAFETY: the lengths are the caller's promise.
        return unsafe {
            (scalar::TABLE.kv[KvFormat::F16 as usize].attend)(query, keys, values, scale, state)
        };
    };
    let dim = query.len() / state.max.len();
    let n = keys.len() / dim;
    let mut scores = [[0.0; ATTEND_KEYS]; HEADS];
    let heads = query.chunks(HEADS * dim).zip(state.acc.chunks_mut(HEADS * dim));
    let totals = state.max.chunks_mut(HEADS).zip(state.sum.chunks_mut(HEADS));
    for ((query, acc), (max, sum)) in heads.zip(totals) {
        // SAFETY: the arrays of a tile hold the same number of heads, and the keys as many values as the caller checked.
        unsafe {
            match max.len() {
                1 => tile::<1>(query, keys, values, scale, max, sum, acc, n, &mut scores),
                2 => tile::<2>(query, keys, values, scale, max, sum, acc, n, &mut scores),
                3 => tile::<3>(query, keys, values, scale, max, sum, acc, n, &mut scores),
                _ => tile::<4>(query, keys, values, scale, max, sum, acc, n, &mut scores),
            }
        }
    }
}

/// See [`crate::Backend::attend_wide`]: one token after the other, in runs as it would have alone.
///
/// `scratch` holds the state of all runs so far, and that of one run: [`wide_scratch`].
#[target_feature(enable = "neon")]
pub(crate) unsafe fn attend_wide_f16(
    queries: &Queries<'_>,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    let &Queries { tokens, group, dim, stride, scale, .. } = queries;
    let row_bytes = dim * size_of::<f16>();
    let before = keys.len() / row_bytes - tokens;
    let (all, run) = scratch.split_at_mut(group * (2 + dim));
    for token in 0..tokens {
        let query = &queries.values[token * stride..][..group * dim];
        let seen = (before + token + 1) * row_bytes;
        let (keys, values) = (&keys[..seen], &values[..seen]);
        let all = &mut state(all, group);
        all.reset();
        let runs = keys.chunks(ATTEND_KEYS * row_bytes).zip(values.chunks(ATTEND_KEYS * row_bytes));
        for (keys, values) in runs {
            let run = &mut state(&mut run[..group * (2 + dim)], group);
            run.reset();
            // SAFETY: a run is whole keys, the query whole heads, and the state is that of the heads.
            unsafe { attend_f16(query, keys, values, scale, run) }
            scalar::attend_join(all, run);
        }
        let outs = out.column(token).chunks_exact_mut(dim).zip(all.acc.chunks_exact(dim));
        for ((out, acc), sum) in outs.zip(all.sum.iter()) {
            let share = 1.0 / sum;
            out.iter_mut().zip(acc).for_each(|(out, acc)| *out = acc * share);
        }
    }
}

/// Floats that [`attend_wide_f16`] needs for a block of so many heads.
pub(crate) fn wide_scratch(rows: usize, dim: usize) -> usize {
    rows.saturating_mul(2).saturating_mul(2 + dim)
}

/// Sees floats as a state: maxima, sums, weighted values.
fn state(floats: &mut [f32], group: usize) -> AttendMut<'_> {
    let (max, rest) = floats.split_at_mut(group);
    let (sum, acc) = rest.split_at_mut(group);
    AttendMut { max, sum, acc }
}

/// Attends from `H` heads.
#[target_feature(enable = "neon")]
#[expect(clippy::too_many_arguments, reason = "the arguments of the kernel, and where it keeps scores")]
unsafe fn tile<const H: usize>(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    scale: f32,
    max: &mut [f32],
    sum: &mut [f32],
    acc: &mut [f32],
    n: usize,
    scores: &mut Scores,
) {
    let dim = keys.len() / n;
    // SAFETY: the lengths are the caller's promise.
    unsafe { score::<H>(query, keys, dim, n, scores) }
    let mut shrink = [0.0; H];
    for h in 0..H {
        (shrink[h], sum[h]) = soften(&mut scores[h], n, scale, &mut max[h], sum[h]);
    }
    let mut from = 0;
    // SAFETY: the lengths are the caller's promise, and the parts are inside a head.
    unsafe {
        while from + 16 <= dim {
            add_values::<H, 2>(values, dim, n, from, scores, &shrink, acc);
            from += 16;
        }
        if from + 8 <= dim {
            add_values::<H, 1>(values, dim, n, from, scores, &shrink, acc);
            from += 8;
        }
    }
    for h in 0..H {
        for i in from..dim {
            let acc = &mut acc[h * dim + i];
            *acc *= shrink[h];
            for (weight, value) in scores[h][..n].iter().zip(values[i..].iter().step_by(dim)) {
                *acc += weight * value.to_f32();
            }
        }
    }
}

/// The products of every head with every key, four keys at a time; the last stands in for those past it.
#[target_feature(enable = "neon")]
unsafe fn score<const H: usize>(query: &[f32], keys: &[f16], dim: usize, n: usize, scores: &mut Scores) {
    for t in (0..n).step_by(4) {
        // SAFETY: the caller's query has H heads; four keys from t on exist, and ATTEND_KEYS is a multiple of four.
        unsafe {
            let key = four_from(keys, dim, t, n);
            let sums = score_four::<H>(query.as_ptr(), key, dim);
            for h in 0..H {
                vst1q_f32(scores[h].as_mut_ptr().add(t), sums[h]);
            }
        }
    }
}

/// Four keys (or values) from `t` on; the last stands in for those past it.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn four_from(all: &[f16], dim: usize, t: usize, n: usize) -> [*const f16; 4] {
    let from = all[t * dim..].as_ptr();
    let last = n - 1 - t;
    // SAFETY: the offsets are those of keys that exist.
    unsafe {
        if last >= 3 {
            [from, from.add(dim), from.add(2 * dim), from.add(3 * dim)]
        } else {
            [from, from.add(last.min(1) * dim), from.add(last.min(2) * dim), from.add(last * dim)]
        }
    }
}

/// The products of every head with four keys: a vector per head, a lane per key.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn score_four<const H: usize>(
    query: *const f32,
    key: [*const f16; 4],
    dim: usize,
) -> [float32x4_t; H] {
    let mut sums = [[vdupq_n_f32(0.0); 4]; H];
    let whole = dim - dim % 8;
    // SAFETY: the caller's keys have dim values and its query H times dim; f16 is a transparent u16.
    unsafe {
        for i in (0..whole).step_by(8) {
            let mut q = [[vdupq_n_f32(0.0); 2]; H];
            for h in 0..H {
                let from = query.add(h * dim + i);
                q[h] = [vld1q_f32(from), vld1q_f32(from.add(4))];
            }
            for j in 0..4 {
                let key = vld1q_u16(key[j].add(i).cast());
                let (low, high) = (insn::f16_low_to_f32(key), insn::f16_high_to_f32(key));
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
            let key = map4(key, |key| (*key.add(i)).to_f32());
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
fn soften(scores: &mut [f32; ATTEND_KEYS], n: usize, scale: f32, max: &mut f32, sum: f32) -> (f32, f32) {
    let (fours, _) = scores.as_chunks_mut::<4>();
    let fours = &mut fours[..n.div_ceil(4)];
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
    let mut sums = vdupq_n_f32(0.0);
    for four in fours {
        // SAFETY: the array is as long as the load and the store.
        unsafe {
            let weights = exp(vsubq_f32(vld1q_f32(four.as_ptr()), greatest));
            sums = vaddq_f32(sums, weights);
            vst1q_f32(four.as_mut_ptr(), weights);
        }
    }
    let shrink = vgetq_lane_f32::<0>(exp(vsubq_f32(vdupq_n_f32(*max), greatest)));
    *max = vgetq_lane_f32::<0>(greatest);
    (shrink, sum * shrink + vaddvq_f32(sums))
}

/// Brings `8 * W` values of every head, from `from` on, to the new maximum and adds the weighted values.
#[target_feature(enable = "neon")]
unsafe fn add_values<const H: usize, const W: usize>(
    values: &[f16],
    dim: usize,
    n: usize,
    from: usize,
    weights: &Scores,
    shrink: &[f32; H],
    acc: &mut [f32],
) {
    // SAFETY: the caller's part is inside a head, and keys are clamped to the last; f16 is a transparent u16.
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
        for t in (0..n).step_by(4) {
            let mut weight = [vdupq_n_f32(0.0); H];
            for h in 0..H {
                weight[h] = vld1q_f32(weights[h].as_ptr().add(t));
            }
            let [a, b, c, d] = four_from(values, dim, t, n);
            add_value::<H, W, 0>(&mut sums, &weight, a.add(from));
            add_value::<H, W, 1>(&mut sums, &weight, b.add(from));
            add_value::<H, W, 2>(&mut sums, &weight, c.add(from));
            add_value::<H, W, 3>(&mut sums, &weight, d.add(from));
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
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_value<const H: usize, const W: usize, const LANE: i32>(
    sums: &mut [[[float32x4_t; 2]; W]; H],
    weight: &[float32x4_t; H],
    value: *const f16,
) {
    for w in 0..W {
        // SAFETY: the caller's value has so many halves.
        let halves = unsafe { vld1q_u16(value.add(8 * w).cast()) };
        let (low, high) = (insn::f16_low_to_f32(halves), insn::f16_high_to_f32(halves));
        for h in 0..H {
            let sums = &mut sums[h][w];
            sums[0] = vfmaq_laneq_f32::<LANE>(sums[0], low, weight[h]);
            sums[1] = vfmaq_laneq_f32::<LANE>(sums[1], high, weight[h]);
        }
    }
}
