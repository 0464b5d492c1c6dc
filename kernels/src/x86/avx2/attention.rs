//! Attention of one token's query heads to a run of keys and values.
//!
//! The heads that share keys go through them together, up to three at once, so that a key is turned into floats once
//! for all of them.

use core::arch::x86_64::*;

use half::f16;

use super::registers::*;
use crate::backend::{ATTEND_KEYS, AttendMut};
use crate::{math, scalar};

/// Lanes of a register.
const LANES: usize = 8;
/// Keys whose scores are computed at once.
const KEYS: usize = 4;
/// Registers of a value that are summed at once.
const PARTS: usize = 4;

/// See [`crate::Backend::attend_f16`].
///
/// # Safety
/// The CPU must have AVX2, FMA and F16C, and the lengths must be what [`crate::Backend::attend_f16`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn attend_f16(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    scale: f32,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / state.max.len();
    if !dim.is_multiple_of(LANES) {
        // SAFETY: the caller promises what the reference asks for.
        return unsafe { (scalar::TABLE.attend_f16)(query, keys, values, scale, state) };
    }
    let mut from = 0;
    while from < state.max.len() {
        let heads = (state.max.len() - from).min(3);
        let to = from + heads;
        let query = &query[from * dim..to * dim];
        let state = &mut AttendMut {
            max: &mut state.max[from..to],
            sum: &mut state.sum[from..to],
            acc: &mut state.acc[from * dim..to * dim],
        };
        match heads {
            1 => attend::<1>(query, keys, values, scale, state),
            2 => attend::<2>(query, keys, values, scale, state),
            _ => attend::<3>(query, keys, values, scale, state),
        }
        from = to;
    }
}

/// Attends from `H` heads.
#[target_feature(enable = "avx2,fma,f16c")]
fn attend<const H: usize>(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    scale: f32,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / H;
    let n = keys.len() / dim;
    // What lies behind the last key weighs nothing.
    let mut scores = [[f32::NEG_INFINITY; ATTEND_KEYS]; H];
    let heads: [&[[f32; LANES]]; H] = runs(query.as_chunks().0, dim / LANES);
    let (quads, rest) = keys.split_at(n / KEYS * KEYS * dim);
    for (j, keys) in quads.chunks_exact(KEYS * dim).enumerate() {
        let dots = dots::<H, KEYS>(&heads, keys);
        for (scores, dots) in scores.iter_mut().zip(dots) {
            scores[j * KEYS..][..KEYS].copy_from_slice(&dots.map(|dot| dot * scale));
        }
    }
    for (j, key) in rest.chunks_exact(dim).enumerate() {
        let dots = dots::<H, 1>(&heads, key);
        for (scores, [dot]) in scores.iter_mut().zip(dots) {
            scores[n / KEYS * KEYS + j] = dot * scale;
        }
    }
    for (h, scores) in scores.iter_mut().enumerate() {
        let scores = &mut scores.as_chunks_mut().0[..n.div_ceil(LANES)];
        let shrink = weigh(scores, &mut state.max[h], &mut state.sum[h]);
        state.acc[h * dim..][..dim].iter_mut().for_each(|acc| *acc *= shrink);
    }
    let weights: [&[f32]; H] = runs(scores.as_flattened(), ATTEND_KEYS);
    let mut at = 0;
    while at < dim {
        let wide = at + PARTS * LANES <= dim;
        if wide {
            add_values::<H, PARTS>(&weights, values, dim, at, state.acc);
        } else {
            add_values::<H, 1>(&weights, values, dim, at, state.acc);
        }
        at += if wide { PARTS * LANES } else { LANES };
    }
}

/// The dot products of each head with each of `K` keys.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dots<const H: usize, const K: usize>(heads: &[&[[f32; LANES]]; H], keys: &[f16]) -> [[f32; K]; H] {
    let keys = keys.as_chunks::<LANES>().0;
    let parts = keys.len() / K;
    let keys: [&[[f16; LANES]]; K] = runs(keys, parts);
    let mut sums = [[_mm256_setzero_ps(); K]; H];
    for i in 0..parts {
        for j in 0..K {
            let key = load_halves(&keys[j][i]);
            for h in 0..H {
                sums[h][j] = _mm256_fmadd_ps(load(&heads[h][i]), key, sums[h][j]);
            }
        }
    }
    let mut dots = [[0.0; K]; H];
    for h in 0..H {
        for j in 0..K {
            dots[h][j] = total(sums[h][j]);
        }
    }
    dots
}

/// Turns the scores of one head into weights relative to the new maximum, adds them to `sum`, and tells by what
/// everything summed before must be multiplied.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn weigh(scores: &mut [[f32; LANES]], max: &mut f32, sum: &mut f32) -> f32 {
    let mut greatest = _mm256_set1_ps(*max);
    for scores in scores.iter() {
        greatest = _mm256_max_ps(load(scores), greatest);
    }
    let new_max = maximum(greatest);
    let mut weights = _mm256_setzero_ps();
    for scores in scores.iter_mut() {
        let weight = exp(_mm256_sub_ps(load(scores), _mm256_set1_ps(new_max)));
        weights = _mm256_add_ps(weights, weight);
        store(scores, weight);
    }
    // Nothing was seen yet where the maximum still is -inf: its exponential is 0, but there may be nothing now either.
    let shrink = if *max == new_max { 1.0 } else { math::exp(*max - new_max) };
    *max = new_max;
    *sum = *sum * shrink + total(weights);
    shrink
}

/// Adds the weighted values `at .. at + 8 P` of every key to each head's sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_values<const H: usize, const P: usize>(
    weights: &[&[f32]; H],
    values: &[f16],
    dim: usize,
    at: usize,
    acc: &mut [f32],
) {
    let mut sums = [[_mm256_setzero_ps(); P]; H];
    for (j, value) in values.chunks_exact(dim).enumerate() {
        let value = &value[at..].as_chunks::<LANES>().0[..P];
        let mut parts = [_mm256_setzero_ps(); P];
        for p in 0..P {
            parts[p] = load_halves(&value[p]);
        }
        for h in 0..H {
            let weight = _mm256_set1_ps(weights[h][j]);
            for p in 0..P {
                sums[h][p] = _mm256_fmadd_ps(weight, parts[p], sums[h][p]);
            }
        }
    }
    for h in 0..H {
        let acc = &mut acc[h * dim + at..].as_chunks_mut().0[..P];
        for p in 0..P {
            let sum = _mm256_add_ps(load(&acc[p]), sums[h][p]);
            store(&mut acc[p], sum);
        }
    }
}
