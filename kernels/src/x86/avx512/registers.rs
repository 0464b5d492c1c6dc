//! Sixteen floats in a register.

use core::arch::x86_64::*;

use crate::blocks::F16;
use crate::math::LN_2;
use crate::x86::avx2::registers::{reduce_max, reduce_sum, reduce_sums};
use crate::x86::register::Floats;

impl Floats<16> for __m512 {
    const ORDER: &'static [[usize; 4]] = &[[0, 8, 2, 10], [1, 9, 3, 11], [4, 12, 6, 14], [5, 13, 7, 15]];

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn splat_half(x: F16) -> __m512 {
        _mm512_cvtph_ps(_mm256_set1_epi16(i16::from_le_bytes(x.0)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn load(x: &[f32; 16]) -> __m512 {
        // SAFETY: the reference is to sixteen floats.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn words(x: &[[u8; 4]; 16]) -> __m512 {
        // SAFETY: the reference is to sixteen floats, at any address.
        unsafe { _mm512_loadu_ps(x.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn halves(x: &[F16; 16]) -> __m512 {
        // SAFETY: the reference is to sixteen halves.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(x.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn upper_halves(x: &[[u8; 2]; 16]) -> __m512 {
        // SAFETY: the reference is to sixteen halves.
        let words = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(x.as_ptr().cast()) });
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn bytes(x: &[i8; 16]) -> __m512 {
        // SAFETY: the reference is to sixteen bytes.
        let bytes = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn low_nibbles(x: &[u8; 16]) -> __m512 {
        // SAFETY: the reference is to sixteen bytes.
        let bytes = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
        let nibbles = _mm_and_si128(bytes, _mm_set1_epi8(15));
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_sub_epi8(nibbles, _mm_set1_epi8(8))))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn high_nibbles(x: &[u8; 16]) -> __m512 {
        // SAFETY: the reference is to sixteen bytes.
        let bytes = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
        let nibbles = _mm_and_si128(_mm_srli_epi16::<4>(bytes), _mm_set1_epi8(15));
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_sub_epi8(nibbles, _mm_set1_epi8(8))))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn store(self, out: &mut [f32; 16]) {
        // SAFETY: the reference is to sixteen floats.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), self) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn add(self, x: __m512) -> __m512 {
        _mm512_add_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn sub(self, x: __m512) -> __m512 {
        _mm512_sub_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn neg(self) -> __m512 {
        _mm512_sub_ps(_mm512_setzero_ps(), self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn mul(self, x: __m512) -> __m512 {
        _mm512_mul_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn div(self, x: __m512) -> __m512 {
        _mm512_div_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn mul_add(self, x: __m512, y: __m512) -> __m512 {
        _mm512_fmadd_ps(self, x, y)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn max(self, x: __m512) -> __m512 {
        _mm512_max_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn where_less(self, x: __m512, y: __m512) -> __m512 {
        let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, y);
        _mm512_mask_blend_ps(less, _mm512_set1_ps(f32::NEG_INFINITY), self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn exp(self) -> __m512 {
        // The operations of AVX2's, with masks for its blends.
        let (least, greatest) = (_mm512_set1_ps(-87.336), _mm512_set1_ps(88.376));
        let not_less = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self, least);
        let greater = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self, greatest);
        let x = _mm512_max_ps(least, _mm512_min_ps(greatest, self));
        let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm512_mul_ps(
            x,
            _mm512_set1_ps(core::f32::consts::LOG2_E),
        ));
        let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LN_2[0]), x);
        let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LN_2[1]), r);
        let mut sum = _mm512_set1_ps(1.0 / 5040.0);
        for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(factor));
        }
        let power = _mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)));
        let result = _mm512_maskz_mul_ps(not_less, sum, _mm512_castsi512_ps(power));
        _mm512_mask_blend_ps(greater, result, _mm512_set1_ps(f32::INFINITY))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn reduce_sum(self) -> f32 {
        reduce_sum(fold(self))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn reduce_sums([a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: there are four floats.
        unsafe { _mm_storeu_ps(sums.as_mut_ptr(), reduce_sums([fold(a), fold(b), fold(c), fold(d)])) };
        sums
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn reduce_max(self) -> f32 {
        let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self)));
        reduce_max(_mm256_max_ps(_mm512_castps512_ps256(self), upper))
    }
}

/// The lower half plus the upper half.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn fold(x: __m512) -> __m256 {
    let upper = _mm512_castps_pd(x);
    _mm256_add_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(upper)))
}
