//! The limits of AVX-512 with VNNI: loads of 64 bytes, and `vpdpbusd` on 64 pairs of bytes.

use core::arch::asm;
use core::arch::x86_64::*;

use crate::ceiling::{Ceiling, READ};

pub(super) const CEILING: Ceiling = Ceiling { read, multiply, products: 64 * SUMS };

/// Sums that do not wait for each other: more than the instruction's latency times what starts in a cycle.
const SUMS: usize = 12;

#[target_feature(enable = "avx512f")]
fn read(bytes: &[u8]) -> u64 {
    let mut all = [_mm512_setzero_si512(); 8];
    let (parts, _) = bytes.as_chunks::<READ>();
    for part in parts {
        let (lines, _) = part.as_chunks::<64>();
        for (i, line) in lines.iter().enumerate() {
            // SAFETY: `line` is 64 bytes.
            let line = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
            all[i % 8] = _mm512_xor_si512(all[i % 8], line);
        }
    }
    let all = all.into_iter().fold(_mm512_setzero_si512(), |a, b| _mm512_xor_si512(a, b));
    _mm512_reduce_add_epi64(all) as u64
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply(rounds: usize) {
    let (mut w, x) = (_mm512_set1_epi8(3), _mm512_set1_epi8(5));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            w = unknown(w);
            *sum = _mm512_dpbusd_epi32(*sum, w, x);
        }
    }
    for sum in sums {
        unknown(sum);
    }
}

/// The same value, which the compiler may not assume: it can neither leave a product out nor do one for two.
#[inline]
#[target_feature(enable = "avx512f")]
fn unknown(mut value: __m512i) -> __m512i {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) value, options(nomem, nostack, preserves_flags)) }
    value
}
