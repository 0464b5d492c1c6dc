//! The matrix product of the formats that are floats. A lane of a sum is `k` modulo 8; the lanes are added up last,
//! and then what is left of a row behind its last whole register.

use core::arch::x86_64::*;

use super::registers::*;
use crate::blocks::{BlockBF16, BlockF16, BlockF32, as_blocks};
use crate::columns::Columns;
use crate::dequantize::Weights;
use crate::tile::TileMut;

/// Lanes of a register.
const LANES: usize = 8;
/// Rows and columns of what is computed at once.
const ROWS: usize = 4;
const COLUMNS: usize = 3;

/// A block of one float.
pub(super) trait Float: Weights {
    /// Loads eight.
    ///
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C.
    unsafe fn load(weights: &[Self; LANES]) -> __m256;
}

impl Float for BlockF32 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(weights: &[Self; LANES]) -> __m256 {
        // SAFETY: the reference is to eight floats.
        unsafe { _mm256_loadu_ps(weights.as_ptr().cast()) }
    }
}

impl Float for BlockF16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(weights: &[Self; LANES]) -> __m256 {
        // SAFETY: the reference is to eight halves.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) })
    }
}

impl Float for BlockBF16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(weights: &[Self; LANES]) -> __m256 {
        // SAFETY: the reference is to eight upper halves of floats.
        let upper = unsafe { _mm_loadu_si128(weights.as_ptr().cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(upper)))
    }
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have AVX2, FMA and F16C, and the lengths must be what [`crate::Backend::matmul`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul<B: Float>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    _scratch: &mut [u8],
) {
    let weights = as_blocks::<B>(weights);
    let mut r = 0;
    while r < out.rows() {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            if r + ROWS <= out.rows() {
                rows::<B, ROWS>(&weights[r * x.k..], x, out, r);
                r += ROWS;
            } else {
                rows::<B, 1>(&weights[r * x.k..], x, out, r);
                r += 1;
            }
        }
    }
}

/// Multiplies `R` rows with all columns.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows<B: Float, const R: usize>(weights: &[B], x: &Columns<'_>, out: &mut TileMut<'_>, r: usize) {
    for c in (0..x.n).step_by(COLUMNS) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            match x.n - c {
                1 => tile::<B, R, 1>(weights, x, out, r, c),
                2 => tile::<B, R, 2>(weights, x, out, r, c),
                _ => tile::<B, R, COLUMNS>(weights, x, out, r, c),
            }
        }
    }
}

/// Multiplies `R` rows with `C` columns.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<B: Float, const R: usize, const C: usize>(
    weights: &[B],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    r: usize,
    c: usize,
) {
    let steps = x.k / LANES;
    let rows: [&[B]; R] = runs(weights, x.k);
    let columns: [&[f32]; C] = runs(&x.f32[c * x.k..], x.k);
    let mut sums = [[_mm256_setzero_ps(); R]; C];
    for step in 0..steps {
        let mut column = [_mm256_setzero_ps(); C];
        for j in 0..C {
            column[j] = load(part(columns[j], step));
        }
        for i in 0..R {
            // SAFETY: the CPU's features are promised by the caller.
            let row = unsafe { B::load(part(rows[i], step)) };
            for j in 0..C {
                sums[j][i] = _mm256_fmadd_ps(row, column[j], sums[j][i]);
            }
        }
    }
    for j in 0..C {
        let out = &mut out.column(c + j)[r..][..R];
        for i in 0..R {
            let mut sum = total(sums[j][i]);
            for (w, x) in rows[i][steps * LANES..].iter().zip(&columns[j][steps * LANES..]) {
                let mut value = [0.0];
                w.write(&mut value);
                sum += value[0] * x;
            }
            out[i] = sum;
        }
    }
}

/// The values of a step.
#[inline(always)]
fn part<T>(values: &[T], step: usize) -> &[T; LANES] {
    &values.as_chunks().0[step]
}
