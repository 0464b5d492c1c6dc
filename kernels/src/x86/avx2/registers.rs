//! Eight floats in a register: loads, stores, sums across lanes, and the exponential function.

use core::arch::x86_64::*;

use crate::blocks::F16;
use crate::math::LN_2;
use crate::x86::register::Floats;

/// Loads eight floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn load(x: &[f32; 8]) -> __m256 {
    // SAFETY: the reference is to eight floats.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

/// Stores eight floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn store(out: &mut [f32; 8], x: __m256) {
    // SAFETY: the reference is to eight floats.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) }
}

/// `N` runs of `len` values, one after the other.
#[inline(always)]
pub(crate) fn runs<T, const N: usize>(all: &[T], len: usize) -> [&[T]; N] {
    let mut runs = [&all[..0]; N];
    for (i, run) in runs.iter_mut().enumerate() {
        *run = &all[i * len..][..len];
    }
    runs
}

/// The sum of all lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn reduce_sum(x: __m256) -> f32 {
    let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
}

/// The sums of all lanes of each of four registers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn reduce_sums([a, b, c, d]: [__m256; 4]) -> __m128 {
    // | a b a b | and | c d c d | in either half, then | a b c d |.
    let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    let low = _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd);
    let sums = _mm256_add_ps(low, _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd));
    _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums))
}

/// The greatest of all lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn reduce_max(x: __m256) -> f32 {
    let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
}

/// The greatest of eight floats without a sign; NaN if one is.
///
/// As integers they have the same order, and a NaN is greater than all.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn reduce_magnitudes(x: __m256i) -> f32 {
    let x = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let x = _mm_max_epi32(x, _mm_shuffle_epi32::<0b11_10_11_10>(x));
    let x = _mm_max_epi32(x, _mm_shuffle_epi32::<0b01_01_01_01>(x));
    f32::from_bits(_mm_cvtsi128_si32(x) as u32)
}

/// `e` to the power of each lane, within 2 units in the last place. What is less than the least normal number is 0, and
/// what is more than 2^127.5 infinite.
///
/// `e^x = 2^n e^r` with `n = round(x / ln 2)`, hence `|r| <= ln 2 / 2`, where seven terms of the Taylor series do.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn exp(x: __m256) -> __m256 {
    // Where 2^n is a normal number. A NaN is neither less nor greater, and stays.
    let (least, greatest) = (_mm256_set1_ps(-87.336), _mm256_set1_ps(88.376));
    let not_less = _mm256_cmp_ps::<_CMP_NLT_UQ>(x, least);
    let greater = _mm256_cmp_ps::<_CMP_GT_OQ>(x, greatest);
    let x = _mm256_max_ps(least, _mm256_min_ps(greatest, x));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(core::f32::consts::LOG2_E),
    ));
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2[0]), x);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2[1]), r);
    let mut sum = _mm256_set1_ps(1.0 / 5040.0);
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(factor));
    }
    // 2^n: n in the exponent.
    let power = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
    let result = _mm256_and_ps(_mm256_mul_ps(sum, _mm256_castsi256_ps(power)), not_less);
    _mm256_blendv_ps(result, _mm256_set1_ps(f32::INFINITY), greater)
}

impl Floats<8> for __m256 {
    const ORDER: &'static [[usize; 4]] = &[[0, 2, 1, 3], [4, 6, 5, 7]];

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn splat_half(x: F16) -> __m256 {
        _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes(x.0)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(x: &[f32; 8]) -> __m256 {
        load(x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn words(x: &[[u8; 4]; 8]) -> __m256 {
        // SAFETY: the reference is to eight floats, at any address.
        unsafe { _mm256_loadu_ps(x.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn halves(x: &[F16; 8]) -> __m256 {
        // SAFETY: the reference is to eight halves.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn upper_halves(x: &[[u8; 2]; 8]) -> __m256 {
        // SAFETY: the reference is to eight halves.
        let words = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(x.as_ptr().cast()) });
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn bytes(x: &[i8; 8]) -> __m256 {
        // SAFETY: the reference is to eight bytes.
        let bytes = unsafe { _mm_loadl_epi64(x.as_ptr().cast()) };
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn low_nibbles(x: &[u8; 8]) -> __m256 {
        // SAFETY: the reference is to eight bytes.
        let bytes = _mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(x.as_ptr().cast()) });
        let nibbles = _mm256_and_si256(bytes, _mm256_set1_epi32(15));
        _mm256_cvtepi32_ps(_mm256_sub_epi32(nibbles, _mm256_set1_epi32(8)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn high_nibbles(x: &[u8; 8]) -> __m256 {
        // SAFETY: the reference is to eight bytes.
        let bytes = _mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(x.as_ptr().cast()) });
        _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32::<4>(bytes), _mm256_set1_epi32(8)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn store(self, out: &mut [f32; 8]) {
        store(out, self);
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add(self, x: __m256) -> __m256 {
        _mm256_add_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn sub(self, x: __m256) -> __m256 {
        _mm256_sub_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn neg(self) -> __m256 {
        _mm256_sub_ps(_mm256_setzero_ps(), self)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn mul(self, x: __m256) -> __m256 {
        _mm256_mul_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn div(self, x: __m256) -> __m256 {
        _mm256_div_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn mul_add(self, x: __m256, y: __m256) -> __m256 {
        _mm256_fmadd_ps(self, x, y)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn max(self, x: __m256) -> __m256 {
        _mm256_max_ps(self, x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn where_less(self, x: __m256, y: __m256) -> __m256 {
        _mm256_blendv_ps(_mm256_set1_ps(f32::NEG_INFINITY), self, _mm256_cmp_ps::<_CMP_LT_OQ>(x, y))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn exp(self) -> __m256 {
        exp(self)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn reduce_sum(self) -> f32 {
        reduce_sum(self)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn reduce_sums(registers: [__m256; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: there are four floats.
        unsafe { _mm_storeu_ps(sums.as_mut_ptr(), reduce_sums(registers)) };
        sums
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn reduce_max(self) -> f32 {
        reduce_max(self)
    }
}
