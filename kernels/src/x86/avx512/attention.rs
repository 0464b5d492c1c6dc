//! The products of attention, with registers of 16 floats. See [`crate::x86::avx2::attention`].

use core::arch::x86_64::*;

use half::f16;

use crate::backend::AttendMut;
use crate::x86::avx2;
use crate::x86::avx2::attention::{Attend, Scores, attend};
use crate::x86::avx2::registers::{floats, runs, totals};

/// See [`crate::Backend::attend_f16`].
///
/// # Safety
/// The CPU must have AVX-512, and the lengths must be what [`crate::Backend::attend_f16`] checks.
pub(super) unsafe fn attend_f16(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    scale: f32,
    state: &mut AttendMut<'_>,
) {
    let whole = (query.len() / state.max.len()).is_multiple_of(Avx512::LANES);
    let attend = if whole { attend::<Avx512> } else { avx2::TABLE.attend_f16 };
    // SAFETY: the CPU's features and the lengths are promised by the caller.
    unsafe { attend(query, keys, values, scale, state) }
}

/// The products of AVX-512.
struct Avx512;

impl Attend for Avx512 {
    const LANES: usize = 16;

    #[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
    unsafe fn scores<const H: usize>(query: &[f32], keys: &[f16], scale: f32, scores: &mut [Scores; H]) {
        let parts = query.len() / H / 16;
        let heads: [&[[f32; 16]]; H] = runs(query.as_chunks().0, parts);
        let keys = keys.as_chunks::<16>().0;
        for (j, keys) in keys.chunks(4 * parts).enumerate() {
            // Behind the last key, it is taken again, and its score not written.
            let n = keys.len() / parts;
            let key = |j: usize| &keys[j.min(n - 1) * parts..][..parts];
            let keys: [&[[f16; 16]]; 4] = [key(0), key(1), key(2), key(3)];
            let mut sums = [[_mm512_setzero_ps(); 4]; H];
            for i in 0..parts {
                for j in 0..4 {
                    let key = load_halves(&keys[j][i]);
                    for h in 0..H {
                        sums[h][j] = _mm512_fmadd_ps(load(&heads[h][i]), key, sums[h][j]);
                    }
                }
            }
            for h in 0..H {
                let sums = [fold(sums[h][0]), fold(sums[h][1]), fold(sums[h][2]), fold(sums[h][3])];
                let dots = _mm_mul_ps(totals(sums), _mm_set1_ps(scale));
                scores[h][4 * j..][..n].copy_from_slice(&floats(&[dots])[..n]);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
    unsafe fn add_values<const H: usize>(weights: &[Scores; H], values: &[f16], acc: &mut [f32]) {
        let dim = acc.len() / H;
        let mut at = 0;
        while at < dim {
            if at + 64 <= dim {
                add_parts::<H, 4>(weights, values, dim, at, acc);
                at += 64;
            } else {
                add_parts::<H, 1>(weights, values, dim, at, acc);
                at += 16;
            }
        }
    }
}

/// Adds the weighted values `at .. at + 16 P` of every key to each head's sums.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn add_parts<const H: usize, const P: usize>(
    weights: &[Scores; H],
    values: &[f16],
    dim: usize,
    at: usize,
    acc: &mut [f32],
) {
    let mut sums = [[_mm512_setzero_ps(); P]; H];
    for (j, value) in values.chunks_exact(dim).enumerate() {
        let value = &value[at..].as_chunks::<16>().0[..P];
        for p in 0..P {
            let part = load_halves(&value[p]);
            for h in 0..H {
                sums[h][p] = _mm512_fmadd_ps(_mm512_set1_ps(weights[h][j]), part, sums[h][p]);
            }
        }
    }
    for h in 0..H {
        let acc = &mut acc[h * dim + at..].as_chunks_mut::<16>().0[..P];
        for p in 0..P {
            let sum = _mm512_add_ps(load(&acc[p]), sums[h][p]);
            // SAFETY: the reference is to sixteen floats.
            unsafe { _mm512_storeu_ps(acc[p].as_mut_ptr(), sum) };
        }
    }
}

/// Loads sixteen floats.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn load(x: &[f32; 16]) -> __m512 {
    // SAFETY: the reference is to sixteen floats.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// Loads sixteen halves as floats.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn load_halves(x: &[f16; 16]) -> __m512 {
    // SAFETY: the reference is to sixteen halves.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(x.as_ptr().cast()) })
}

/// The lower half plus the upper half.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn fold(x: __m512) -> __m256 {
    let upper = _mm512_castps_pd(x);
    _mm256_add_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(upper)))
}
