//! The limits of AVX2: loads of 32 bytes, and `vpmaddubsw` on 32 pairs of bytes with `vpaddw` behind it. Widening the sums
//! to 32 bits is left out: how often that must be depends on the weights' bits.

use core::arch::asm;
use core::arch::x86_64::*;

use crate::ceiling::{Ceiling, READ};

pub(in crate::x86) const CEILING: Ceiling = Ceiling { read, multiply, products: 32 * SUMS };

/// Sums that do not wait for each other.
const SUMS: usize = 8;

#[target_feature(enable = "avx2")]
fn read(bytes: &[u8]) -> u64 {
    let mut all = [_mm256_setzero_si256(); 8];
    let (parts, _) = bytes.as_chunks::<READ>();
    for part in parts {
        let (lines, _) = part.as_chunks::<32>();
        for (i, line) in lines.iter().enumerate() {
            // SAFETY: `line` is 32 bytes.
            let line = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
            all[i % 8] = _mm256_xor_si256(all[i % 8], line);
        }
    }
    let all = all.into_iter().fold(_mm256_setzero_si256(), |a, b| _mm256_xor_si256(a, b));
    let half = _mm_xor_si128(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    (_mm_extract_epi64::<0>(half) ^ _mm_extract_epi64::<1>(half)) as u64
}

#[target_feature(enable = "avx2")]
fn multiply(rounds: usize) {
    let (mut w, x) = (_mm256_set1_epi8(3), _mm256_set1_epi8(5));
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            w = unknown(w);
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(w, x));
        }
    }
    for sum in sums {
        unknown(sum);
    }
}

/// The same value, which the compiler may not assume: it can neither leave a product out nor do one for two.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::x86) fn unknown(mut value: __m256i) -> __m256i {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) value, options(nomem, nostack, preserves_flags)) }
    value
}
