//! The limit of the dot product instructions: `sdot` on 16 pairs of bytes. It reads as NEON does.

use core::arch::aarch64::*;

use crate::arm::insn::sdot;
use crate::arm::neon::ceiling::{self as neon, unknown};
use crate::ceiling::Ceiling;

pub(super) const CEILING: Ceiling = Ceiling { multiply, products: 16 * SUMS, ..neon::CEILING };

/// Sums that do not wait for each other: more than the instruction's latency times what starts in a cycle.
const SUMS: usize = 16;

#[target_feature(enable = "neon,dotprod")]
fn multiply(rounds: usize) {
    let (mut w, x) = (vdupq_n_s8(3), vdupq_n_s8(5));
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            w = unknown(w);
            *sum = sdot(*sum, w, x);
        }
    }
    for sum in sums {
        unknown(vreinterpretq_s8_s32(sum));
    }
}
