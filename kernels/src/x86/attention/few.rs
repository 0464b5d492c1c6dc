//! Attention of up to four heads to one run of keys: what decoding does. A key is turned into floats once for all heads,
//! and a lane is one of its values, so that what the memory holds goes straight into the registers.

use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};

use super::{AttendMut, Attention, Cached, Floats, Score, Scores};
use crate::attention::ATTEND_KEYS;
use crate::math;
use crate::x86::avx2::registers::runs;
use crate::x86::curves::capped;

/// Attends from `H` heads.
///
/// # Safety
/// As [`super::Attention::few`].
#[inline(always)]
pub(crate) unsafe fn few<T: Attention<N>, C: Cached<N>, const N: usize, const H: usize>(
    query: &[f32],
    keys: &[C],
    values: &[C],
    score: Score,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / H;
    let row_blocks = dim / (C::PARTS * N);
    let n = keys.len() / row_blocks;
    let mut weights = [[0.0; ATTEND_KEYS]; H];
    // SAFETY: the CPU's features and the lengths are promised by the caller.
    unsafe {
        scores::<T::F, C, N, H>(query, keys, values, row_blocks, &mut weights);
        for (h, weights) in weights.iter_mut().enumerate() {
            let shrink = T::weigh(weights, n, score, &mut state.max[h], &mut state.sum[h]);
            state.acc[h * dim..][..dim].iter_mut().for_each(|acc| *acc *= shrink);
        }
        let mut block = 0;
        while block < row_blocks {
            block += match (C::PARTS, row_blocks - block) {
                (1, 4..) => add_values::<T::F, C, N, H, 4>(&weights, values, row_blocks, block, state.acc),
                (1 | 2, 2..) => {
                    add_values::<T::F, C, N, H, 2>(&weights, values, row_blocks, block, state.acc)
                }
                _ => add_values::<T::F, C, N, H, 1>(&weights, values, row_blocks, block, state.acc),
            }
        }
    }
}

/// Asks for the keys some way behind these, and for the values of these keys: memory is far, and the CPU's own look-ahead
/// stops at every page.
#[inline(always)]
fn prefetch<C>(keys: &[C], values: &[C]) {
    const BEHIND_BYTES: usize = 4096;
    for at in (0..size_of_val(keys)).step_by(64) {
        let key = keys.as_ptr().cast::<i8>().wrapping_add(BEHIND_BYTES + at);
        let value = values.as_ptr().cast::<i8>().wrapping_add(at);
        // SAFETY: a prefetch of any address does nothing that can be seen.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(key);
            _mm_prefetch::<_MM_HINT_T1>(value);
        }
    }
}

/// Writes the dot product of each head with each key, four keys at a time. Behind the last, something is written.
///
/// # Safety
/// The CPU must have the features of `F`, and each head and key must be `row_blocks` blocks long.
#[inline(always)]
unsafe fn scores<F: Floats<N>, C: Cached<N>, const N: usize, const H: usize>(
    query: &[f32],
    keys: &[C],
    values: &[C],
    row_blocks: usize,
    scores: &mut [Scores; H],
) {
    let heads: [&[[f32; N]]; H] = runs(query.as_chunks().0, row_blocks * C::PARTS);
    for (j, (keys, values)) in keys.chunks(4 * row_blocks).zip(values.chunks(4 * row_blocks)).enumerate() {
        prefetch(keys, values);
        // Behind the last key, it is taken again.
        let last = keys.len() / row_blocks - 1;
        let key = |j: usize| &keys[j.min(last) * row_blocks..][..row_blocks];
        let keys: [&[C]; 4] = [key(0), key(1), key(2), key(3)];
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut sums = [[F::splat(0.0); 4]; H];
            for b in 0..row_blocks {
                for part in 0..C::PARTS {
                    for j in 0..4 {
                        let key: F = keys[j][b].load(part);
                        for h in 0..H {
                            sums[h][j] = F::load(&heads[h][b * C::PARTS + part]).mul_add(key, sums[h][j]);
                        }
                    }
                }
            }
            for h in 0..H {
                scores[h].as_chunks_mut().0[j] = F::reduce_sums(sums[h]);
            }
        }
    }
}

/// Turns products into scores if those level off, and says what is still to multiply them with.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
pub(super) unsafe fn cap_scores<F: Floats<N>, const N: usize>(
    products: &mut [[f32; N]],
    score: Score,
) -> f32 {
    let Some(cap) = score.cap else { return score.scale };
    for products in products {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe { capped(F::load(products), score.scale, cap).store(products) }
    }
    1.0
}

/// Turns the products of one head with `n` keys into weights relative to the new maximum, and those behind them into 0;
/// adds them to `sum`, and tells by what everything summed before must be multiplied.
///
/// # Safety
/// As [`Attention::weigh`].
#[inline(always)]
pub(crate) unsafe fn weigh<F: Floats<N>, const N: usize>(
    scores: &mut Scores,
    n: usize,
    score: Score,
    max: &mut f32,
    sum: &mut f32,
) -> f32 {
    let whole = n.div_ceil(N);
    // SAFETY: the CPU's features are promised by the caller.
    let scale = unsafe { cap_scores::<F, N>(&mut scores.as_chunks_mut::<N>().0[..whole], score) };
    scores[n..whole * N].fill(f32::NEG_INFINITY);
    scores[..score.hidden].fill(f32::NEG_INFINITY);
    let scores = &mut scores.as_chunks_mut::<N>().0[..whole];
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let scale = F::splat(scale);
        let mut greatest = F::splat(f32::NEG_INFINITY);
        for scores in scores.iter() {
            greatest = F::load(scores).max(greatest);
        }
        // A scale is not negative; that of the greatest product is the greatest score, rounded alike.
        let new_max = max.max(greatest.mul(scale).reduce_max());
        let mut weights = F::splat(0.0);
        for scores in scores.iter_mut() {
            let weight = F::load(scores).mul(scale).sub(F::splat(new_max)).exp();
            weights = weights.add(weight);
            weight.store(scores);
        }
        // Nothing was seen yet where the maximum still is -inf: its exponential is 0, but there may be nothing now either.
        let shrink = if *max == new_max { 1.0 } else { math::exp(*max - new_max) };
        *max = new_max;
        *sum = *sum * shrink + weights.reduce_sum();
        shrink
    }
}

/// Adds the weighted values of blocks `block .. block + B` of every key to each head's sums, and says `B`.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn add_values<F: Floats<N>, C: Cached<N>, const N: usize, const H: usize, const B: usize>(
    weights: &[Scores; H],
    values: &[C],
    row_blocks: usize,
    block: usize,
    acc: &mut [f32],
) -> usize {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        // Of each block, as many registers are used as it has.
        let mut sums = [[[F::splat(0.0); 4]; B]; H];
        for (j, value) in values.chunks_exact(row_blocks).enumerate() {
            let value = &value[block..][..B];
            for b in 0..B {
                for part in 0..C::PARTS {
                    let value: F = value[b].load(part);
                    for h in 0..H {
                        sums[h][b][part] = F::splat(weights[h][j]).mul_add(value, sums[h][b][part]);
                    }
                }
            }
        }
        let heads = acc.as_chunks_mut::<N>().0.chunks_exact_mut(row_blocks * C::PARTS);
        for (sums, head) in sums.iter().zip(heads) {
            for b in 0..B {
                for part in 0..C::PARTS {
                    let acc = &mut head[(block + b) * C::PARTS + part];
                    F::load(acc).add(sums[b][part]).store(acc);
                }
            }
        }
    }
    B
}
