//! Attention of one token's query heads to a run of keys and values, for every tier of x86.
//!
//! The heads that share keys go through them together, up to three at once, so that a key is turned into floats once
//! for all of them.

use core::arch::x86_64::*;

use half::f16;

use super::registers::*;
use crate::backend::{ATTEND_KEYS, AttendMut};
use crate::{math, scalar};

/// The scores of up to one run of keys.
pub(crate) type Scores = [f32; ATTEND_KEYS];

/// What a tier brings to attention: the two products.
pub(crate) trait Attend {
    /// Heads must be whole registers of that many floats.
    const LANES: usize;

    /// Writes `scale` times the dot product of each head with each key.
    ///
    /// # Safety
    /// The CPU must have the tier's features; `query` is `H` heads of a multiple of `LANES`, and keys are as long.
    unsafe fn scores<const H: usize>(query: &[f32], keys: &[f16], scale: f32, scores: &mut [Scores; H]);

    /// Adds the weighted values to each head's sums.
    ///
    /// # Safety
    /// The CPU must have the tier's features; `acc` is `H` heads of a multiple of `LANES`, and values are as long.
    unsafe fn add_values<const H: usize>(weights: &[Scores; H], values: &[f16], acc: &mut [f32]);
}

/// See [`crate::Backend::attend_f16`].
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::attend_f16`] checks. A head
/// is not empty, and a multiple of [`Attend::LANES`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn attend<T: Attend>(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    scale: f32,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / state.max.len();
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
        // SAFETY: the CPU's features and the lengths are promised by the caller.
        unsafe {
            match heads {
                1 => attend_heads::<T, 1>(query, keys, values, scale, state),
                2 => attend_heads::<T, 2>(query, keys, values, scale, state),
                _ => attend_heads::<T, 3>(query, keys, values, scale, state),
            }
        }
        from = to;
    }
}

/// Attends from `H` heads.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn attend_heads<T: Attend, const H: usize>(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    scale: f32,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / H;
    // What lies behind the last key weighs nothing.
    let mut scores = [[f32::NEG_INFINITY; ATTEND_KEYS]; H];
    // SAFETY: the CPU's features and the lengths are promised by the caller.
    unsafe { T::scores(query, keys, scale, &mut scores) };
    for (h, scores) in scores.iter_mut().enumerate() {
        let scores = &mut scores.as_chunks_mut().0[..(keys.len() / dim).div_ceil(8)];
        let shrink = weigh(scores, &mut state.max[h], &mut state.sum[h]);
        state.acc[h * dim..][..dim].iter_mut().for_each(|acc| *acc *= shrink);
    }
    // SAFETY: the CPU's features and the lengths are promised by the caller.
    unsafe { T::add_values(&scores, values, state.acc) };
}

/// Turns the scores of one head into weights relative to the new maximum, adds them to `sum`, and tells by what
/// everything summed before must be multiplied.
#[target_feature(enable = "avx2,fma,f16c")]
fn weigh(scores: &mut [[f32; 8]], max: &mut f32, sum: &mut f32) -> f32 {
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

/// See [`crate::Backend::attend_f16`].
///
/// # Safety
/// The CPU must have AVX2, FMA and F16C, and the lengths must be what [`crate::Backend::attend_f16`] checks.
pub(super) unsafe fn attend_f16(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    scale: f32,
    state: &mut AttendMut<'_>,
) {
    let whole = (query.len() / state.max.len()).is_multiple_of(Avx2::LANES);
    let attend = if whole { attend::<Avx2> } else { scalar::TABLE.attend_f16 };
    // SAFETY: the CPU's features and the lengths are promised by the caller.
    unsafe { attend(query, keys, values, scale, state) }
}

/// The products of AVX2.
struct Avx2;

impl Attend for Avx2 {
    const LANES: usize = 8;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scores<const H: usize>(query: &[f32], keys: &[f16], scale: f32, scores: &mut [Scores; H]) {
        let parts = query.len() / H / 8;
        let heads: [&[[f32; 8]]; H] = runs(query.as_chunks().0, parts);
        let keys = keys.as_chunks::<8>().0;
        for (j, keys) in keys.chunks(4 * parts).enumerate() {
            // Behind the last key, it is taken again, and its score not written.
            let n = keys.len() / parts;
            let key = |j: usize| &keys[j.min(n - 1) * parts..][..parts];
            let keys: [&[[f16; 8]]; 4] = [key(0), key(1), key(2), key(3)];
            let mut sums = [[_mm256_setzero_ps(); 4]; H];
            for i in 0..parts {
                for j in 0..4 {
                    let key = load_halves(&keys[j][i]);
                    for h in 0..H {
                        sums[h][j] = _mm256_fmadd_ps(load(&heads[h][i]), key, sums[h][j]);
                    }
                }
            }
            for h in 0..H {
                let dots = _mm_mul_ps(totals(sums[h]), _mm_set1_ps(scale));
                scores[h][4 * j..][..n].copy_from_slice(&floats(&[dots])[..n]);
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add_values<const H: usize>(weights: &[Scores; H], values: &[f16], acc: &mut [f32]) {
        let dim = acc.len() / H;
        let mut at = 0;
        while at < dim {
            if at + 32 <= dim {
                add_parts::<H, 4>(weights, values, dim, at, acc);
                at += 32;
            } else {
                add_parts::<H, 1>(weights, values, dim, at, acc);
                at += 8;
            }
        }
    }
}

/// Adds the weighted values `at .. at + 8 P` of every key to each head's sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_parts<const H: usize, const P: usize>(
    weights: &[Scores; H],
    values: &[f16],
    dim: usize,
    at: usize,
    acc: &mut [f32],
) {
    let mut sums = [[_mm256_setzero_ps(); P]; H];
    for (j, value) in values.chunks_exact(dim).enumerate() {
        let value = &value[at..].as_chunks::<8>().0[..P];
        for p in 0..P {
            let part = load_halves(&value[p]);
            for h in 0..H {
                sums[h][p] = _mm256_fmadd_ps(_mm256_set1_ps(weights[h][j]), part, sums[h][p]);
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
