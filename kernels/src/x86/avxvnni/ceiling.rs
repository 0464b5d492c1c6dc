//! The limit of AVX-VNNI: `vpdpbusd` on 32 pairs of bytes. It reads as AVX2 does.

use core::arch::x86_64::*;

use crate::ceiling::Ceiling;
use crate::x86::avx2::ceiling::{self as avx2, unknown};

pub(super) const CEILING: Ceiling = Ceiling { multiply, products: 32 * SUMS, ..avx2::CEILING };

/// Sums that do not wait for each other: more than the instruction's latency times what starts in a cycle.
const SUMS: usize = 12;

#[target_feature(enable = "avx2,avxvnni")]
fn multiply(rounds: usize) {
    let (mut w, x) = (_mm256_set1_epi8(3), _mm256_set1_epi8(5));
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            w = unknown(w);
            *sum = _mm256_dpbusd_avx_epi32(*sum, w, x);
        }
    }
    for sum in sums {
        unknown(sum);
    }
}
