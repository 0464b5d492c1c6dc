//! Attention of AVX2: see [`crate::x86::attention`].

use core::arch::x86_64::*;

use super::Avx2;
use crate::attention::{AttendMut, KvFormat, Piece, Queries, Score};
use crate::blocks::{BlockF16, as_blocks};
use crate::scalar;
use crate::tile::TileMut;
use crate::x86::attention::{self, Attention, Cached, Heads, Scores, ToFloats};
use crate::x86::avx2::registers::exp;

/// Registers of eight floats.
impl Attention<8> for Avx2 {
    type F = __m256;
    type V = __m256i;
    const HEADS: usize = 2;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn few<C: Cached<8>, const H: usize>(
        query: &[f32],
        keys: &[C],
        values: &[C],
        score: Score,
        state: &mut AttendMut<'_>,
    ) {
        // SAFETY: the same promises.
        unsafe { attention::few::<Self, C, 8, H>(query, keys, values, score, state) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn weigh(scores: &mut Scores, n: usize, score: Score, max: &mut f32, sum: &mut f32) -> f32 {
        // SAFETY: the same promises.
        unsafe { attention::weigh::<__m256, 8>(scores, n, score, max, sum) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn wide(
        queries: &Queries<'_>,
        cached: (KvFormat, ToFloats),
        piece: Piece,
        keys: &[u8],
        values: &[u8],
        out: &mut TileMut<'_>,
        scratch: &mut [f32],
    ) {
        // SAFETY: the same promises.
        unsafe { attention::wide::<Self, 8, 4>(queries, cached, piece, keys, values, out, scratch) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn to_floats<C: Cached<8>>(bytes: &[u8], dim: usize, out: &mut [f32]) {
        // SAFETY: the same promises.
        unsafe { attention::to_floats::<__m256, C, 8>(bytes, dim, out) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn products(queries: &[Heads<8>], keys: &[f32], products: &mut [Heads<8>]) {
        // SAFETY: the same promises.
        unsafe { attention::products::<__m256, 8>(queries, keys, products) }
    }
}

/// See [`crate::Backend::attend_join`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn attend_join(all: &mut AttendMut<'_>, run: &AttendMut<'_>) {
    // The compiler makes the best of this by itself, given the instruction set.
    scalar::attend_join(all, run, |x| _mm256_cvtss_f32(exp(_mm256_set1_ps(x))));
}

/// See [`crate::Backend::attend`], of heads of halves that are not whole registers.
///
/// # Safety
/// The CPU must have AVX2, FMA and F16C, and the lengths must be what [`crate::Backend::attend`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn attend_odd(
    query: &[f32],
    keys: &[u8],
    values: &[u8],
    score: Score,
    state: &mut AttendMut<'_>,
) {
    let (keys, values) = (as_blocks::<BlockF16>(keys), as_blocks::<BlockF16>(values));
    // SAFETY: the same promises.
    unsafe { attention::odd::<Avx2, 8>(query, keys, values, score, state) }
}
