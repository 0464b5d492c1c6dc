//! Unpacks the formats whose block is one run of 32 weights.

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
        let chunk = &mut chunks[0];
        chunk.d[0][strip] = halves(rows.map(|row| row.d));
        let low = transpose(rows.map(|row| part(&row.qs, 0)));
        let high = transpose(rows.map(|row| part(&row.qs, 16)));
        for i in 0..4 {
            chunk.w[i][strip] = low[i];
            chunk.w[4 + i][strip] = high[i];
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
        nibbles(rows.map(|row| &row.qs), &mut chunks[0], strip);
    }
}

impl Unpack for BlockQ4_1 {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize) {
        let (d, m) = half_pairs(rows.map(|row| [row.d, row.m]));
        chunks[0].d[0][strip] = d;
        chunks[0].m[0][strip] = m;
        nibbles(rows.map(|row| &row.qs), &mut chunks[0], strip);
    }
}

/// Splits 16 bytes of each row: low nibbles are the first half of the chunk, high nibbles the second.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles<const S: usize>(rows: [&[u8; 16]; STRIP], chunk: &mut Chunk<S>, strip: usize) {
    let mask = _mm256_set1_epi8(15);
    let bytes = transpose(rows);
    for i in 0..4 {
        chunk.w[i][strip] = _mm256_and_si256(bytes[i], mask);
        chunk.w[4 + i][strip] = _mm256_and_si256(_mm256_srli_epi16(bytes[i], 4), mask);
    }
}
