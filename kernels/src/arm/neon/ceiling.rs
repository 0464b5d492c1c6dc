//! The limits of NEON: loads of 16 bytes, and `smull` and `smlal2` on 16 pairs of bytes with `sadalp` behind them.

use core::arch::aarch64::*;
use core::arch::asm;

use crate::ceiling::{Ceiling, READ};

pub(in crate::arm) const CEILING: Ceiling = Ceiling { read, multiply, products: 16 * SUMS };

/// Sums that do not wait for each other.
const SUMS: usize = 8;

#[target_feature(enable = "neon")]
pub(in crate::arm) fn read(bytes: &[u8]) -> u64 {
    let mut all = [vdupq_n_u8(0); 8];
    let (parts, _) = bytes.as_chunks::<READ>();
    for part in parts {
        let (lines, _) = part.as_chunks::<16>();
        for (i, line) in lines.iter().enumerate() {
            // SAFETY: `line` is 16 bytes.
            all[i % 8] = veorq_u8(all[i % 8], unsafe { vld1q_u8(line.as_ptr()) });
        }
    }
    let all = vreinterpretq_u64_u8(all.into_iter().fold(vdupq_n_u8(0), |a, b| veorq_u8(a, b)));
    vgetq_lane_u64::<0>(all) ^ vgetq_lane_u64::<1>(all)
}

#[target_feature(enable = "neon")]
fn multiply(rounds: usize) {
    let (mut w, x) = (vdupq_n_s8(3), vdupq_n_s8(5));
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            w = unknown(w);
            let products = vmull_s8(vget_low_s8(w), vget_low_s8(x));
            *sum = vpadalq_s16(*sum, vmlal_high_s8(products, w, x));
        }
    }
    for sum in sums {
        unknown(vreinterpretq_s8_s32(sum));
    }
}

/// The same value, which the compiler may not assume: it can neither leave a product out nor do one for two.
#[inline]
#[target_feature(enable = "neon")]
pub(in crate::arm) fn unknown(mut value: int8x16_t) -> int8x16_t {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0:v} */", inout(vreg) value, options(nomem, nostack, preserves_flags)) }
    value
}
