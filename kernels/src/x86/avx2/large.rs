//! Unpacks the formats whose block is a super-block of 256 weights, drawn in [`crate::blocks`].

use core::arch::x86_64::*;

use super::chunk::*;
use crate::blocks::*;
use crate::dequantize::{scales_iq4_xs, scales_q3_k};

impl Unpack for BlockQ2K {
    const BITS: u32 = 2;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Minimum;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        let (d, dmin) = half_pairs(rows.map(|row| [row.d, row.dmin]));
        let dmin = _mm256_sub_ps(_mm256_setzero_ps(), dmin);
        let scales = transpose(rows.map(|row| &row.scales));
        for h in 0..2 {
            let qs = transpose_32(rows.map(|row| part(&row.qs, 32 * h)));
            for j in 0..4 {
                let chunk = &mut chunks[4 * h + j];
                for i in 0..STEPS {
                    chunk.w[i][strip] = bits(qs[i], 2 * j, 3);
                }
                for g in 0..2 {
                    let at = 8 * h + 2 * j + g;
                    let scale = byte(bits(scales[at / 4], 0, 15), at % 4);
                    let min = byte(bits(scales[at / 4], 4, 15), at % 4);
                    chunk.d[g][strip] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
                    chunk.m[g][strip] = _mm256_mul_ps(dmin, _mm256_cvtepi32_ps(min));
                }
            }
        }
    }
}

impl Unpack for BlockQ3K {
    const BITS: u32 = 3;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Offset(4);

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        let d = halves(rows.map(|row| row.d));
        let scales = rows.map(|row| scales_q3_k(&row.scales));
        let scales = transpose(scales.each_ref());
        let high = transpose_32(rows.map(|row| &row.hmask));
        for h in 0..2 {
            let qs = transpose_32(rows.map(|row| part(&row.qs, 32 * h)));
            for j in 0..4 {
                let chunk = &mut chunks[4 * h + j];
                for i in 0..STEPS {
                    let third = _mm256_slli_epi16(bits(high[i], 4 * h + j, 1), 2);
                    chunk.w[i][strip] = _mm256_or_si256(bits(qs[i], 2 * j, 3), third);
                }
                for g in 0..2 {
                    let at = 8 * h + 2 * j + g;
                    let scale = signed_byte(scales[at / 4], at % 4);
                    chunk.d[g][strip] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
                }
            }
        }
    }
}

impl Unpack for BlockQ4K {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        let (d, dmin) = half_pairs(rows.map(|row| [row.d, row.dmin]));
        scales_and_mins(transpose(rows.map(head)), d, dmin, chunks, strip);
        for p in 0..4 {
            let qs = transpose_32(rows.map(|row| part(&row.qs, 32 * p)));
            for i in 0..STEPS {
                chunks[2 * p].w[i][strip] = bits(qs[i], 0, 15);
                chunks[2 * p + 1].w[i][strip] = bits(qs[i], 4, 15);
            }
        }
    }
}

impl Unpack for BlockQ5K {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        let (d, dmin) = half_pairs(rows.map(|row| [row.d, row.dmin]));
        scales_and_mins(transpose(rows.map(head)), d, dmin, chunks, strip);
        let high = transpose_32(rows.map(|row| &row.qh));
        for p in 0..4 {
            let qs = transpose_32(rows.map(|row| part(&row.qs, 32 * p)));
            for i in 0..STEPS {
                let fifth = |s| _mm256_slli_epi16(bits(high[i], s, 1), 4);
                chunks[2 * p].w[i][strip] = _mm256_or_si256(bits(qs[i], 0, 15), fifth(2 * p));
                chunks[2 * p + 1].w[i][strip] = _mm256_or_si256(bits(qs[i], 4, 15), fifth(2 * p + 1));
            }
        }
    }
}

impl Unpack for BlockQ6K {
    const BITS: u32 = 6;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Offset(32);

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        let d = halves(rows.map(|row| row.d));
        let scales = transpose(rows.map(|row| &row.scales));
        for h in 0..2 {
            let high = transpose_32(rows.map(|row| part(&row.qh, 32 * h)));
            for j in 0..4 {
                let chunk = &mut chunks[4 * h + j];
                let low = transpose_32(rows.map(|row| part(&row.ql, 64 * h + j % 2 * 32)));
                for i in 0..STEPS {
                    let top = _mm256_slli_epi16(bits(high[i], 2 * j, 3), 4);
                    chunk.w[i][strip] = _mm256_or_si256(bits(low[i], j / 2 * 4, 15), top);
                }
                for g in 0..2 {
                    let at = 8 * h + 2 * j + g;
                    let scale = signed_byte(scales[at / 4], at % 4);
                    chunk.d[g][strip] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
                }
            }
        }
    }
}

impl Unpack for BlockIQ4XS {
    const BITS: u32 = 8;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(0);

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        let d = halves(rows.map(|row| row.d));
        let scales = rows.map(scales_iq4_xs);
        let low = words(scales.map(|[a, b, c, d, ..]| [a, b, c, d].map(|scale| scale as u8)));
        let high = words(scales.map(|[.., a, b, c, d]| [a, b, c, d].map(|scale| scale as u8)));
        for s in 0..8 {
            let w = nibbles(rows.map(|row| part(&row.qs, 16 * s)));
            for i in 0..STEPS {
                chunks[s].w[i][strip] = iq4_values(w[i]);
            }
            let scale = signed_byte(if s < 4 { low } else { high }, s % 4);
            chunks[s].d[0][strip] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
        }
    }
}

/// The scales and minima of Q4_K and Q5_K, from the transposed first 16 bytes of the blocks:
/// ```text
/// head[0]   | dmin | d |
/// head[1]   | scale 7: bits 4-5 | scale 3 | .. | scale 4: bits 4-5 | scale 0 |
/// head[2]   | min 7: bits 4-5   | min 3   | .. | min 4: bits 4-5   | min 0   |
/// head[3]   | min 7: bits 0-3   | scale 7: bits 0-3 | .. | min 4: bits 0-3 | scale 4: bits 0-3 |
/// ```
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales_and_mins<const S: usize>(
    head: [__m256i; 4],
    d: __m256,
    dmin: __m256,
    chunks: &mut [Chunk<S>],
    strip: usize,
) {
    let dmin = _mm256_sub_ps(_mm256_setzero_ps(), dmin);
    let top = |word| _mm256_slli_epi16(bits(word, 6, 3), 4);
    let scales = [bits(head[1], 0, 63), _mm256_or_si256(bits(head[3], 0, 15), top(head[1]))];
    let mins = [bits(head[2], 0, 63), _mm256_or_si256(bits(head[3], 4, 15), top(head[2]))];
    for s in 0..8 {
        chunks[s].d[0][strip] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(byte(scales[s / 4], s % 4)));
        chunks[s].m[0][strip] = _mm256_mul_ps(dmin, _mm256_cvtepi32_ps(byte(mins[s / 4], s % 4)));
    }
}

/// The first 16 bytes of a block.
#[inline(always)]
fn head<B: Block>(block: &B) -> &[u8; 16] {
    const { assert!(size_of::<B>() >= 16) };
    // SAFETY: a Block has no padding, alignment 1, and, as was just checked, at least 16 bytes.
    unsafe { &*core::ptr::from_ref(block).cast() }
}

/// Byte `i` of each lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn byte(words: __m256i, i: usize) -> __m256i {
    let shift = _mm_cvtsi32_si128(8 * i as i32);
    _mm256_and_si256(_mm256_srl_epi32(words, shift), _mm256_set1_epi32(255))
}

/// Byte `i` of each lane, a signed number.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn signed_byte(words: __m256i, i: usize) -> __m256i {
    let shift = _mm_cvtsi32_si128(24 - 8 * i as i32);
    _mm256_srai_epi32::<24>(_mm256_sll_epi32(words, shift))
}
