//! Unpacks the formats whose block is one run of 32 weights, drawn in [`crate::blocks`].

use core::arch::x86_64::*;

use super::chunk::*;
use crate::blocks::*;

impl Unpack for BlockQ8_0 {
    const BITS: u32 = 8;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(0);

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        chunks[0].d[0][strip] = halves(rows.map(|row| row.d));
        let low = transpose(rows.map(|row| part(&row.qs, 0)));
        let high = transpose(rows.map(|row| part(&row.qs, 16)));
        for i in 0..4 {
            chunks[0].w[i][strip] = low[i];
            chunks[0].w[4 + i][strip] = high[i];
        }
    }
}

impl Unpack for BlockQ4_0 {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(8);

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        chunks[0].d[0][strip] = halves(rows.map(|row| row.d));
        let w = nibbles(rows.map(|row| &row.qs));
        for i in 0..STEPS {
            chunks[0].w[i][strip] = w[i];
        }
    }
}

impl Unpack for BlockQ4_1 {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        (chunks[0].d[0][strip], chunks[0].m[0][strip]) = half_pairs(rows.map(|row| [row.d, row.m]));
        let w = nibbles(rows.map(|row| &row.qs));
        for i in 0..STEPS {
            chunks[0].w[i][strip] = w[i];
        }
    }
}

impl Unpack for BlockQ5_0 {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(16);

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        chunks[0].d[0][strip] = halves(rows.map(|row| row.d));
        let (w, high) = (nibbles(rows.map(|row| &row.qs)), words(rows.map(|row| row.qh)));
        for i in 0..STEPS {
            chunks[0].w[i][strip] = _mm256_or_si256(w[i], fifth_bits(high, i));
        }
    }
}

impl Unpack for BlockQ5_1 {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        (chunks[0].d[0][strip], chunks[0].m[0][strip]) = half_pairs(rows.map(|row| [row.d, row.m]));
        let (w, high) = (nibbles(rows.map(|row| &row.qs)), words(rows.map(|row| row.qh)));
        for i in 0..STEPS {
            chunks[0].w[i][strip] = _mm256_or_si256(w[i], fifth_bits(high, i));
        }
    }
}

impl Unpack for BlockIQ4NL {
    const BITS: u32 = 8;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(0);

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        chunks[0].d[0][strip] = halves(rows.map(|row| row.d));
        let w = nibbles(rows.map(|row| &row.qs));
        for i in 0..STEPS {
            chunks[0].w[i][strip] = iq4_values(w[i]);
        }
    }
}

/// Bit 4 of each weight of a step, in place: bits `4 i .. 4 i + 4` of the lane's word spread over its four bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn fifth_bits(words: __m256i, step: usize) -> __m256i {
    // The byte of the word that holds the step's bits, in all four bytes of its lane.
    let first =
        _mm256_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c, 0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c);
    let byte = _mm256_shuffle_epi8(words, _mm256_add_epi8(first, _mm256_set1_epi8(step as i8 / 2)));
    let bit = _mm256_set1_epi32((0x0804_0201u32 << (step % 2 * 4)) as i32);
    _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit), _mm256_set1_epi8(16))
}
