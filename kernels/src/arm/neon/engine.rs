//! Panels for plain NEON: rows as they are, a lane per row, a vector per column.

use core::arch::aarch64::*;

use super::Smull;
use crate::arm::hint;
use crate::arm::panel::{self, Engine};
use crate::arm::unpack::map4;
use crate::tile::TileMut;

/// ```text
/// weights of four rows:   [row]  32 bytes
/// ```
impl Engine for Smull {
    const ROWS: usize = 8;
    type Scales = float32x4_t;

    #[inline(always)]
    unsafe fn scales(at: *const u8) -> float32x4_t {
        // SAFETY: the caller has them; NEON is baseline.
        unsafe { vld1q_f32(at.cast()) }
    }

    #[inline(always)]
    unsafe fn pack(rows: [[int8x16_t; 2]; 4], to: *mut u8) {
        for (i, half) in rows.as_flattened().iter().enumerate() {
            // SAFETY: NEON is baseline, and the caller has room.
            unsafe { vst1q_s8(to.add(16 * i).cast(), *half) }
        }
    }

    #[inline(always)]
    unsafe fn products<const FROM: usize, const TO: usize, const SMALL: bool>(
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; 4],
    ) -> [int32x4_t; 4] {
        // SAFETY: NEON is baseline, and the caller's weights are four rows.
        unsafe {
            let rows = map4([0, 1, 2, 3], |i| {
                let row = weights.add(32 * i).cast();
                [vld1q_s8(row), vld1q_s8(row.add(16))]
            });
            // Both halves lie together: the first leaves all of them to the second.
            if TO == 2 {
                *weights = weights.add(128);
            }
            map4(*x, |x| {
                let [a, b, c, d] = map4(rows, |w| match (FROM, TO) {
                    (0, 2) => dot32::<SMALL>(w, x),
                    _ => dot16(w[FROM], x[FROM]),
                });
                vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
            })
        }
    }

    #[inline(always)]
    unsafe fn add_group<const SMALL: bool, const LAST: bool>(
        sums: &mut [float32x4_t; 4],
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; 4],
        scales: &mut float32x4_t,
    ) {
        // SAFETY: NEON is baseline, and the caller's weights are four rows and their factors.
        unsafe {
            let products =
                map4(Self::products::<0, 2, SMALL>(weights, x), |products| vcvtq_f32_s32(products));
            let rows = vld1q_f32(weights.cast());
            *weights = hint::opaque(weights.add(16));
            Self::add_by_columns(sums, Self::by_rows(products, [rows; 2]), [*scales; 2]);
        }
    }

    #[target_feature(enable = "neon")]
    unsafe fn multiply<const SCALES: usize, const MINIMA: bool, const SMALL: bool>(
        panels: (*const u8, usize),
        columns: (usize, *const u8),
        out: &mut TileMut<'_>,
        c: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe { panel::multiply::<Self, 2, SCALES, MINIMA, SMALL>(panels, columns, out, c) }
    }
}

/// Four sums whose total is the dot product of 16 weights and values. Two products fit 16 bits.
#[inline(always)]
fn dot16(w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: NEON is baseline.
    unsafe { vpaddlq_s16(vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x)) }
}

/// Four sums whose total is the dot product of 32 weights and values. Four products fit 16 bits if the weights are small.
#[inline(always)]
fn dot32<const SMALL: bool>(w: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t {
    // SAFETY: NEON is baseline.
    unsafe {
        let first = vmlal_high_s8(vmull_s8(vget_low_s8(w[0]), vget_low_s8(x[0])), w[0], x[0]);
        if SMALL {
            let low = vmlal_s8(first, vget_low_s8(w[1]), vget_low_s8(x[1]));
            return vpaddlq_s16(vmlal_high_s8(low, w[1], x[1]));
        }
        let second = vmlal_high_s8(vmull_s8(vget_low_s8(w[1]), vget_low_s8(x[1])), w[1], x[1]);
        vpadalq_s16(vpaddlq_s16(first), second)
    }
}
