//! Unpacking with registers of sixteen rows.

use core::arch::x86_64::*;

use crate::blocks::F16;
use crate::x86::lanes::Lanes;

impl Lanes<16> for __m512i {
    type Floats = __m512;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn splat(number: i32) -> __m512i {
        _mm512_set1_epi32(number)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn words(rows: [[u8; 4]; 16]) -> __m512i {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = rows.map(i32::from_le_bytes);
        _mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn transpose<T>(rows: [&[T; 16]; 16]) -> [__m512i; 4] {
        // Each holds words 0 1 2 3 of rows j, j + 4, j + 8 and j + 12.
        let r0 = join([rows[0], rows[4], rows[8], rows[12]]);
        let r1 = join([rows[1], rows[5], rows[9], rows[13]]);
        let r2 = join([rows[2], rows[6], rows[10], rows[14]]);
        let r3 = join([rows[3], rows[7], rows[11], rows[15]]);
        // Words 0, 0, 1, 1 of two rows, and words 2, 2, 3, 3.
        let (r01_low, r01_high) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
        let (r23_low, r23_high) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
        [
            _mm512_unpacklo_epi64(r01_low, r23_low),
            _mm512_unpackhi_epi64(r01_low, r23_low),
            _mm512_unpacklo_epi64(r01_high, r23_high),
            _mm512_unpackhi_epi64(r01_high, r23_high),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn half_pairs(rows: [[F16; 2]; 16]) -> (__m512, __m512) {
        // SAFETY: this function has the features that the callee asks for.
        let pairs = unsafe { Self::words(rows.map(|[F16([a, b]), F16([c, d])]| [a, b, c, d])) };
        let (first, second) =
            (_mm512_cvtepi32_epi16(pairs), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(pairs)));
        (_mm512_cvtph_ps(first), _mm512_cvtph_ps(second))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn bits(self, shift: usize, mask: i8) -> __m512i {
        let shifted = _mm512_srl_epi16(self, _mm_cvtsi32_si128(shift as i32));
        _mm512_and_si512(shifted, _mm512_set1_epi8(mask))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn shl_bytes(self, shift: usize) -> __m512i {
        _mm512_sll_epi16(self, _mm_cvtsi32_si128(shift as i32))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn or(self, other: __m512i) -> __m512i {
        _mm512_or_si512(self, other)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn shr(self, shift: usize, mask: u32) -> __m512i {
        let shifted = _mm512_srl_epi32(self, _mm_cvtsi32_si128(shift as i32));
        _mm512_and_si512(shifted, _mm512_set1_epi32(mask as i32))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn shl(self, shift: usize, mask: u32) -> __m512i {
        let shifted = _mm512_sll_epi32(self, _mm_cvtsi32_si128(shift as i32));
        _mm512_and_si512(shifted, _mm512_set1_epi32(mask as i32))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn add(self, other: __m512i) -> __m512i {
        _mm512_add_epi32(self, other)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn sub_bytes(self, number: i8) -> __m512i {
        _mm512_sub_epi8(self, _mm512_set1_epi8(number))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn to_floats(self) -> __m512 {
        _mm512_cvtepi32_ps(self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn as_floats(self) -> __m512 {
        _mm512_castsi512_ps(self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn halves(self) -> __m512 {
        _mm512_cvtph_ps(_mm512_cvtepi32_epi16(self))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn fifth_bits(self, i: usize) -> __m512i {
        // The byte that holds the bits, in all four bytes of its lane.
        let first = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c));
        let byte = _mm512_shuffle_epi8(self, _mm512_add_epi8(first, _mm512_set1_epi8(i as i8 / 2)));
        let bit = _mm512_set1_epi32((0x0804_0201_u32 << (i % 2 * 4)) as i32);
        _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(byte, bit), _mm512_set1_epi8(16))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn lookup(self, table: &[i8; 16]) -> __m512i {
        _mm512_shuffle_epi8(join([table; 4]), self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn byte_times(self, i: usize, factor: __m512) -> __m512 {
        let shifted = _mm512_srl_epi32(self, _mm_cvtsi32_si128(8 * i as i32));
        let byte = _mm512_and_si512(shifted, _mm512_set1_epi32(255));
        _mm512_mul_ps(factor, _mm512_cvtepi32_ps(byte))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn signed_byte_times(self, i: usize, factor: __m512) -> __m512 {
        let top = _mm512_sll_epi32(self, _mm_cvtsi32_si128(24 - 8 * i as i32));
        _mm512_mul_ps(factor, _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(top)))
    }
}

/// Four runs of 16 bytes in one register.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn join<T>(runs: [&[T; 16]; 4]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: all are references to 16 elements, which are bytes, as was just checked.
    let [a, b, c, d] = unsafe {
        [
            _mm_loadu_si128(runs[0].as_ptr().cast()),
            _mm_loadu_si128(runs[1].as_ptr().cast()),
            _mm_loadu_si128(runs[2].as_ptr().cast()),
            _mm_loadu_si128(runs[3].as_ptr().cast()),
        ]
    };
    let low = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(low, c), d)
}
