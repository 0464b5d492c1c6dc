//! Chunks times columns straight as they are unpacked: a register holds sixteen weights of two rows as they lie in the file, so none
//! is moved before it is multiplied. Instead sums are moved, of which there are fewer.
//!
//! ```text
//! w[i]      | row i: k 0 .. 15  | row i + 4: k 0 .. 15  |      i = 0 .. 3
//! w[4 + i]  | row i: k 16 .. 31 | row i + 4: k 16 .. 31 |
//! ```
//! With products of two neighbours added up by `vpmaddubsw`, [`halve`] and [`join`] add what is left of four rows:
//! ```text
//! a         | a0 a1 a2 a3     | rows 4 ..     words of row 0, and of row 4 in the other half; b of rows 1 and 5 ..
//! halve     | a02 b02 a13 b13 | ..            a02 = a0 + a2
//! join      | a b c d         | ..            a lane is a row
//! ```
//! The words are two sums of 16 bits for as long as these surely fit.

use core::arch::x86_64::*;

use super::Avx2;
use super::lanes::two;
use crate::x86::activations::Column;
use crate::x86::chunk::*;
use crate::x86::matmul::Dot;

/// See the module.
pub(in crate::x86) struct Pairs;

impl Dot<8> for Pairs {
    type V = __m256i;
    const SIGNED_OFFSET: i32 = Avx2::SIGNED_OFFSET;
    const SPLITS: bool = Avx2::SPLITS;
    const BASES: bool = Avx2::BASES;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn half<T>(rows: [&[T; 16]; 8]) -> [__m256i; 4] {
        let [a, b, c, d, e, f, g, h] = rows;
        [two(a, e), two(b, f), two(c, g), two(d, h)]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn fifth_bits(words: __m256i, i: usize) -> __m256i {
        // Both bytes of a half of the row's word, each at eight weights.
        let bytes = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0, 0x0101_0101_0101_0101);
        let first = i % 4 * 4 + i / 4 * 2;
        let bits = _mm256_shuffle_epi8(words, _mm256_add_epi8(bytes, _mm256_set1_epi8(first as i8)));
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
        _mm256_and_si256(is_set, _mm256_set1_epi8(16))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn dots<K: Kind, const S: usize, const C: usize>(
        chunks: [&Chunk<__m256i, 8>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[__m256i; S]; C],
    ) {
        let ones = _mm256_set1_epi16(1);
        let halves = if K::GROUPS == 2 { g..g + 1 } else { 0..2 };
        for c in 0..C {
            let mut sums = [[_mm256_setzero_si256(); 4]; S];
            for h in halves.clone() {
                // SAFETY: there is a block `b`, promises the caller.
                let x = unsafe { columns[c].half(b, h) };
                let x = two(x, x);
                for s in 0..S {
                    for i in 0..4 {
                        let w = chunks[s].w[4 * h + i];
                        sums[s][i] = if K::SIGNED {
                            // See `Avx2`. Of these products two fill 16 bits.
                            let products = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
                            _mm256_add_epi32(sums[s][i], _mm256_madd_epi16(products, ones))
                        } else {
                            _mm256_add_epi16(sums[s][i], _mm256_maddubs_epi16(w, x))
                        };
                    }
                }
            }
            for s in 0..S {
                let [a, b, c_, d] = sums[s];
                let sum = if K::SIGNED {
                    join::<32>(halve::<32>(a, b), halve::<32>(c_, d))
                } else if K::SPLIT {
                    let [ab, cd] = [halve::<16>(a, b), halve::<16>(c_, d)];
                    join::<32>(_mm256_madd_epi16(ab, ones), _mm256_madd_epi16(cd, ones))
                } else {
                    _mm256_madd_epi16(join::<16>(halve::<16>(a, b), halve::<16>(c_, d)), ones)
                };
                dots[c][s] = _mm256_add_epi32(dots[c][s], sum);
            }
        }
    }
}

/// The words of either half of two registers, the first two added to the last two, in turns.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halve<const BITS: usize>(a: __m256i, b: __m256i) -> __m256i {
    add::<BITS>(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b))
}

/// The pairs of words of either half of two registers, the first added to the second, one behind the other.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn join<const BITS: usize>(a: __m256i, b: __m256i) -> __m256i {
    add::<BITS>(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b))
}

/// The sums of integers of so many bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add<const BITS: usize>(a: __m256i, b: __m256i) -> __m256i {
    if BITS == 16 { _mm256_add_epi16(a, b) } else { _mm256_add_epi32(a, b) }
}
