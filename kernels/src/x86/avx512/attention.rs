//! Attention of AVX-512: see [`crate::x86::attention`].

use core::arch::x86_64::*;

use super::Avx512;
use crate::attention::{AttendMut, KvFormat, Piece, Queries, Score};
use crate::tile::TileMut;
use crate::x86::attention::{self, Attention, Cached, Heads, Scores, ToFloats};

/// Registers of sixteen floats.
impl Attention<16> for Avx512 {
    type F = __m512;
    type V = __m512i;
    const HEADS: usize = 4;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn few<C: Cached<16>, const H: usize>(
        query: &[f32],
        keys: &[C],
        values: &[C],
        score: Score,
        state: &mut AttendMut<'_>,
    ) {
        // SAFETY: the same promises.
        unsafe { attention::few::<Self, C, 16, H>(query, keys, values, score, state) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn weigh(scores: &mut Scores, n: usize, score: Score, max: &mut f32, sum: &mut f32) -> f32 {
        // SAFETY: the same promises.
        unsafe { attention::weigh::<__m512, 16>(scores, n, score, max, sum) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
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
        unsafe { attention::wide::<Self, 16, 8>(queries, cached, piece, keys, values, out, scratch) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn to_floats<C: Cached<16>>(bytes: &[u8], dim: usize, out: &mut [f32]) {
        // SAFETY: the same promises.
        unsafe { attention::to_floats::<__m512, C, 16>(bytes, dim, out) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn products(queries: &[Heads<16>], keys: &[f32], products: &mut [Heads<16>]) {
        // SAFETY: the same promises.
        unsafe { attention::products::<__m512, 16>(queries, keys, products) }
    }
}
