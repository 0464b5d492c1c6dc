//! Unpacking with registers of eight rows.

use core::arch::x86_64::*;

use crate::blocks::F16;
use crate::x86::lanes::Lanes;

impl Lanes<8> for __m256i {
    type Floats = __m256;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn splat(number: i32) -> __m256i {
        _mm256_set1_epi32(number)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn words(rows: [[u8; 4]; 8]) -> __m256i {
        let [a, b, c, d, e, f, g, h] = rows.map(i32::from_le_bytes);
        _mm256_setr_epi32(a, b, c, d, e, f, g, h)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn transpose<T>(rows: [&[T; 16]; 8]) -> [__m256i; 4] {
        // Each holds | row j, words 0 1 2 3 | row j + 4, words 0 1 2 3 |.
        let r0 = two(rows[0], rows[4]);
        let r1 = two(rows[1], rows[5]);
        let r2 = two(rows[2], rows[6]);
        let r3 = two(rows[3], rows[7]);
        // Words 0, 0, 1, 1 of two rows, and words 2, 2, 3, 3.
        let (r01_low, r01_high) = (_mm256_unpacklo_epi32(r0, r1), _mm256_unpackhi_epi32(r0, r1));
        let (r23_low, r23_high) = (_mm256_unpacklo_epi32(r2, r3), _mm256_unpackhi_epi32(r2, r3));
        [
            _mm256_unpacklo_epi64(r01_low, r23_low),
            _mm256_unpackhi_epi64(r01_low, r23_low),
            _mm256_unpacklo_epi64(r01_high, r23_high),
            _mm256_unpackhi_epi64(r01_high, r23_high),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn half_pairs(rows: [[F16; 2]; 8]) -> (__m256, __m256) {
        let [a, b, c, d, e, f, g, h] =
            rows.map(|[F16([a, b]), F16([c, d])]| i32::from_le_bytes([a, b, c, d]));
        // | second of four rows | first of four rows |
        let order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        let low = _mm_shuffle_epi8(_mm_setr_epi32(a, b, c, d), order);
        let high = _mm_shuffle_epi8(_mm_setr_epi32(e, f, g, h), order);
        (_mm256_cvtph_ps(_mm_unpacklo_epi64(low, high)), _mm256_cvtph_ps(_mm_unpackhi_epi64(low, high)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn bits(self, shift: usize, mask: i8) -> __m256i {
        let shifted = _mm256_srl_epi16(self, _mm_cvtsi32_si128(shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn shl_bytes(self, shift: usize) -> __m256i {
        _mm256_sll_epi16(self, _mm_cvtsi32_si128(shift as i32))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn or(self, other: __m256i) -> __m256i {
        _mm256_or_si256(self, other)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn shr(self, shift: usize, mask: u32) -> __m256i {
        let shifted = _mm256_srl_epi32(self, _mm_cvtsi32_si128(shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi32(mask as i32))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn shl(self, shift: usize, mask: u32) -> __m256i {
        let shifted = _mm256_sll_epi32(self, _mm_cvtsi32_si128(shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi32(mask as i32))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add(self, other: __m256i) -> __m256i {
        _mm256_add_epi32(self, other)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn sub_bytes(self, number: i8) -> __m256i {
        _mm256_sub_epi8(self, _mm256_set1_epi8(number))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn to_floats(self) -> __m256 {
        _mm256_cvtepi32_ps(self)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn as_floats(self) -> __m256 {
        _mm256_castsi256_ps(self)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn halves(self) -> __m256 {
        // The lower bytes of each lane, in either half of the register.
        let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1,
        ));
        let packed = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_shuffle_epi8(self, order));
        _mm256_cvtph_ps(_mm256_castsi256_si128(packed))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn fifth_bits(self, i: usize) -> __m256i {
        // The byte that holds the bits, in all four bytes of its lane.
        let first = _mm256_broadcastsi128_si256(_mm_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c));
        let byte = _mm256_shuffle_epi8(self, _mm256_add_epi8(first, _mm256_set1_epi8(i as i8 / 2)));
        let bit = _mm256_set1_epi32((0x0804_0201_u32 << (i % 2 * 4)) as i32);
        let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit);
        _mm256_and_si256(is_set, _mm256_set1_epi8(16))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn lookup(self, table: &[i8; 16]) -> __m256i {
        _mm256_shuffle_epi8(two(table, table), self)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn byte_times(self, i: usize, factor: __m256) -> __m256 {
        let shifted = _mm256_srl_epi32(self, _mm_cvtsi32_si128(8 * i as i32));
        let byte = _mm256_and_si256(shifted, _mm256_set1_epi32(255));
        _mm256_mul_ps(factor, _mm256_cvtepi32_ps(byte))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn signed_byte_times(self, i: usize, factor: __m256) -> __m256 {
        let top = _mm256_sll_epi32(self, _mm_cvtsi32_si128(24 - 8 * i as i32));
        _mm256_mul_ps(factor, _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(top)))
    }
}

/// Two runs of 16 bytes in one register.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn two<T>(low: &[T; 16], high: &[T; 16]) -> __m256i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: both are references to 16 elements, which are bytes, as was just checked.
    unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
}
