//! Weights as the dot products of AVX2 want them: [`Chunk`]; and what unpacks a format's blocks into it: [`Unpack`].

use core::arch::x86_64::*;

use crate::blocks::{Block, F16, IQ4_VALUES};

/// Weights along `k` in a chunk: as many as share one scale of the activations.
pub(crate) const CHUNK: usize = 32;
/// Rows of a strip: the lanes of a register.
pub(crate) const STRIP: usize = 8;
/// Steps of a chunk: a step is the 4 bytes along `k` that one lane of a dot instruction multiplies.
pub(crate) const STEPS: usize = CHUNK / 4;

/// 32 weights of each row of `S` strips of eight rows.
///
/// ```text
///              strip 0                              strip 1 ..
/// w[0]    | row 0: k 0 1 2 3 | row 1: k 0 1 2 3 | .. row 7 | row 8: ..          one byte per weight
/// w[1]    | row 0: k 4 5 6 7 | row 1: k 4 5 6 7 | ..
///   ..
/// w[7]    | row 0: k 28 .. 31 | ..
/// d[g]    | row 0 | row 1 | ..                        scale of group g, one f32 per row
/// m[g]    | row 0 | row 1 | ..                        minimum of group g, for formats that have one
/// ```
/// A group is the whole chunk, or half of it where a format has a scale per 16 weights.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Chunk<const S: usize> {
    pub(crate) w: [[__m256i; S]; STEPS],
    pub(crate) d: [[__m256; S]; 2],
    pub(crate) m: [[__m256; S]; 2],
}

impl<const S: usize> Chunk<S> {
    /// All weights 0.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn zero() -> Chunk<S> {
        let (w, d) = (_mm256_setzero_si256(), _mm256_setzero_ps());
        Chunk { w: [[w; S]; STEPS], d: [[d; S]; 2], m: [[d; S]; 2] }
    }
}

/// What is added to the scaled sum of products of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    /// `w = d q + m`: the minimum times the sum of the activations.
    Minimum,
    /// `w = d (q - offset)`: the offset times the sum of the activations is taken off the integer sum.
    Offset(i32),
}

/// A block that can be unpacked into chunks.
pub(crate) trait Unpack: Block {
    /// Bits of an unpacked weight: `q` is in `0..1 << BITS`, or any signed byte where this is 8.
    const BITS: u32;
    /// Groups of a chunk, that is scales per 32 weights: 1 or 2.
    const GROUPS: usize;
    /// How `w` follows from `q`.
    const TERM: Term;

    /// Unpacks one block of each row of a strip into `LEN / 32` chunks.
    ///
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C.
    unsafe fn unpack<const S: usize>(rows: [&Self; STRIP], chunks: &mut [Chunk<S>], strip: usize);
}

/// Loads 16 bytes of each of eight rows, transposed: lane `r` of register `i` has bytes `4 i .. 4 i + 4` of row `r`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn transpose<T>(rows: [&[T; 16]; STRIP]) -> [__m256i; 4] {
    const { assert!(size_of::<T>() == 1) };
    // Each holds | row j, words 0 1 2 3 | row j + 4, words 0 1 2 3 |.
    let r0 = join(rows[0], rows[4]);
    let r1 = join(rows[1], rows[5]);
    let r2 = join(rows[2], rows[6]);
    let r3 = join(rows[3], rows[7]);
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

/// Loads 32 bytes of each of eight rows, transposed.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn transpose_32<T>(rows: [&[T; 32]; STRIP]) -> [__m256i; STEPS] {
    let [a, b, c, d] = transpose(rows.map(|row| part(row, 0)));
    let [e, f, g, h] = transpose(rows.map(|row| part(row, 16)));
    [a, b, c, d, e, f, g, h]
}

/// Splits 16 bytes of each of eight rows: the first half of a chunk lies in the low nibbles, the second in the high.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn nibbles(rows: [&[u8; 16]; STRIP]) -> [__m256i; STEPS] {
    let [a, b, c, d] = transpose(rows);
    let (low, high) = (|v| bits(v, 0, 15), |v| bits(v, 4, 15));
    [low(a), low(b), low(c), low(d), high(a), high(b), high(c), high(d)]
}

/// The bits of `mask` of each byte shifted right by `shift`: a mask that fits into the bits that are left of a byte.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn bits(bytes: __m256i, shift: usize, mask: i8) -> __m256i {
    let shifted = if shift == 0 { bytes } else { _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift as i32)) };
    _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
}

/// The levels of the non-linear 4-bit formats, by index.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn iq4_values(indices: __m256i) -> __m256i {
    _mm256_shuffle_epi8(join(&IQ4_VALUES, &IQ4_VALUES), indices)
}

/// Some bytes of a block.
#[inline(always)]
pub(crate) fn part<T, const N: usize, const M: usize>(bytes: &[T; N], at: usize) -> &[T; M] {
    bytes[at..].first_chunk().expect("blocks are longer")
}

/// One little-endian word per lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn words(rows: [[u8; 4]; STRIP]) -> __m256i {
    let word = |r: usize| i32::from_le_bytes(rows[r]);
    _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7))
}

/// One half per lane, as floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn halves(rows: [F16; STRIP]) -> __m256 {
    let h = |r: usize| i16::from_le_bytes(rows[r].0);
    _mm256_cvtph_ps(_mm_set_epi16(h(7), h(6), h(5), h(4), h(3), h(2), h(1), h(0)))
}

/// Two halves that lie together per lane, as floats: the first of each, and the second of each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn half_pairs(rows: [[F16; 2]; STRIP]) -> (__m256, __m256) {
    let pair = |r: usize| {
        let [F16([a, b]), F16([c, d])] = rows[r];
        i32::from_le_bytes([a, b, c, d])
    };
    let low = _mm_set_epi32(pair(3), pair(2), pair(1), pair(0));
    let high = _mm_set_epi32(pair(7), pair(6), pair(5), pair(4));
    // | first of four rows | second of four rows |
    let order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    let (low, high) = (_mm_shuffle_epi8(low, order), _mm_shuffle_epi8(high, order));
    (_mm256_cvtph_ps(_mm_unpacklo_epi64(low, high)), _mm256_cvtph_ps(_mm_unpackhi_epi64(low, high)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn join<T>(low: &[T; 16], high: &[T; 16]) -> __m256i {
    // SAFETY: both are references to 16 elements, which transpose checked to be bytes.
    unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
}
