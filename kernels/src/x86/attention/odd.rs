//! [`few`](fn@super::few) for heads of halves that are not whole registers: the last one is filled up with zeroes.

use super::{AttendMut, Attention, Floats, Score};
use crate::attention::ATTEND_KEYS;
use crate::blocks::{BlockF16, F16};

/// Attends from all heads of a token, one after the other.
///
/// # Safety
/// The CPU must have the features of `F`, and the lengths must be what [`crate::Backend::attend`] checks.
#[inline(always)]
pub(crate) unsafe fn odd<T: Attention<N>, const N: usize>(
    query: &[f32],
    keys: &[BlockF16],
    values: &[BlockF16],
    score: Score,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / state.max.len();
    for (h, query) in query.chunks_exact(dim).enumerate() {
        let mut weights = [0.0; ATTEND_KEYS];
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            for (keys, scores) in keys.chunks(4 * dim).zip(weights.as_chunks_mut::<4>().0) {
                // Behind the last key, it is taken again.
                let last = keys.len() / dim - 1;
                let mut sums = [T::F::splat(0.0); 4];
                for (i, query) in query.chunks(N).enumerate() {
                    let query = T::F::load(&filled(query, 0.0));
                    for (j, sum) in sums.iter_mut().enumerate() {
                        let key = &keys[j.min(last) * dim..][..dim];
                        *sum = query.mul_add(part(key, i), *sum);
                    }
                }
                *scores = T::F::reduce_sums(sums);
            }
            let n = keys.len() / dim;
            let shrink = T::weigh(&mut weights, n, score, &mut state.max[h], &mut state.sum[h]);
            for (i, acc) in state.acc[h * dim..][..dim].chunks_mut(N).enumerate() {
                let mut sum = T::F::splat(0.0);
                for (value, weight) in values.chunks_exact(dim).zip(weights) {
                    sum = T::F::splat(weight).mul_add(part(value, i), sum);
                }
                let mut sums = [0.0; N];
                sum.store(&mut sums);
                acc.iter_mut().zip(sums).for_each(|(acc, sum)| *acc = *acc * shrink + sum);
            }
        }
    }
}

/// The values of register `i` of a head.
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
unsafe fn part<F: Floats<N>, const N: usize>(head: &[BlockF16], i: usize) -> F {
    let rest = &head[i * N..];
    // SAFETY: the CPU's features are promised by the caller.
    unsafe { F::halves(&filled(&rest[..N.min(rest.len())], BlockF16(F16([0; 2]))).map(|half| half.0)) }
}

/// Up to `N` values, and `rest` behind them.
#[inline(always)]
fn filled<T: Copy, const N: usize>(values: &[T], rest: T) -> [T; N] {
    match values.first_chunk() {
        Some(values) => *values,
        None => {
            let mut all = [rest; N];
            all[..values.len()].copy_from_slice(values);
            all
        }
    }
}
