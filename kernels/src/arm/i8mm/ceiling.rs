//! The limit of the matrix product instructions: `smmla` on 32 pairs of bytes. It reads as NEON does.

use core::arch::aarch64::*;

use crate::arm::insn::smmla;
use crate::arm::neon::ceiling::{self as neon, unknown};
use crate::ceiling::Ceiling;

pub(super) const CEILING: Ceiling = Ceiling { multiply, products: 32 * SUMS, ..neon::CEILING };

/// Sums that do not wait for each other: more than the instruction's latency times what starts in a cycle.
const SUMS: usize = 16;

#[target_feature(enable = "neon,i8mm")]
fn multiply(rounds: usize) {
    let (mut w, x) = (vdupq_n_s8(3), vdupq_n_s8(5));
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            w = unknown(w);
            *sum = smmla(*sum, w, x);
        }
    }
    for sum in sums {
        unknown(vreinterpretq_s8_s32(sum));
    }
}
