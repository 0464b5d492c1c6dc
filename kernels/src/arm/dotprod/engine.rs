//! Panels for `sdot` with four bytes of a column: a lane per row, a vector per column.

use core::arch::aarch64::*;

use super::Sdot;
use crate::arm::panel::{self, Engine};
use crate::arm::runs::{self, sdot_steps};
use crate::arm::unpack::{map2, map4};
use crate::tile::TileMut;

/// ```text
/// weights of four rows:   [step]  16 bytes: weights 4 step .. 4 step + 4 of row 0, of row 1, ..      step: 0..8
/// ```
impl Engine for Sdot {
    const ROWS: usize = 16;
    const SCALE_BYTES: usize = 32;
    type Scales = float32x4_t;

    #[inline(always)]
    unsafe fn scales(at: *const u8) -> float32x4_t {
        // SAFETY: the caller has them; NEON is baseline.
        unsafe { vld1q_f32(at.cast()) }
    }

    #[inline(always)]
    unsafe fn pack(rows: [[int8x16_t; 2]; 4], to: *mut u8) {
        for half in 0..2 {
            // SAFETY: NEON is baseline, and the caller has room.
            unsafe {
                let steps = transpose(map4(rows, |row| vreinterpretq_s32_s8(row[half])));
                for i in 0..4 {
                    vst1q_s32(to.add(16 * (4 * half + i)).cast(), steps[i]);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn write_scales(scales: float32x4_t, to: *mut u8) {
        // SAFETY: the caller has room for two vectors; NEON is baseline.
        unsafe {
            vst1q_f32(to.cast(), vmulq_n_f32(scales, -runs::START));
            vst1q_f32(to.add(16).cast(), scales);
        }
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn add_group<const SMALL: bool, const LAST: bool>(
        sums: &mut [float32x4_t; 4],
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; 4],
        scales: &mut float32x4_t,
    ) {
        // SAFETY: the caller has the weights of a group, and their factors.
        unsafe { runs::sdot_quad(sums, weights, x, *scales) }
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn products<const FROM: usize, const TO: usize, const SMALL: bool>(
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; 4],
    ) -> [int32x4_t; 4] {
        let mut products = [vdupq_n_s32(0); 4];
        // SAFETY: the caller's weights have so many steps.
        unsafe {
            if FROM == 0 {
                let x = map4(*x, |x| x[0]);
                products = sdot_steps::<0>(products, weights, x);
                products = sdot_steps::<2>(products, weights, x);
            }
            if TO == 2 {
                let x = map4(*x, |x| x[1]);
                products = sdot_steps::<0>(products, weights, x);
                products = sdot_steps::<2>(products, weights, x);
            }
        }
        products
    }

    #[target_feature(enable = "neon,dotprod")]
    unsafe fn multiply<const SCALES: usize, const MINIMA: bool, const SMALL: bool>(
        panels: (*const u8, usize),
        columns: (usize, *const u8),
        out: &mut TileMut<'_>,
        c: usize,
    ) {
        // SAFETY: the caller's promise, and this function has the tier's instructions.
        unsafe { panel::multiply::<Self, 4, SCALES, MINIMA, SMALL>(panels, columns, out, c) }
    }
}

/// Lane `j` of vector `i` to lane `i` of vector `j`.
#[inline(always)]
fn transpose([a, b, c, d]: [int32x4_t; 4]) -> [int32x4_t; 4] {
    // SAFETY: NEON is baseline.
    unsafe {
        let even = map2([vtrn1q_s32(a, b), vtrn1q_s32(c, d)], |v| vreinterpretq_s64_s32(v));
        let odd = map2([vtrn2q_s32(a, b), vtrn2q_s32(c, d)], |v| vreinterpretq_s64_s32(v));
        let columns = [
            vzip1q_s64(even[0], even[1]),
            vzip1q_s64(odd[0], odd[1]),
            vzip2q_s64(even[0], even[1]),
            vzip2q_s64(odd[0], odd[1]),
        ];
        map4(columns, |v| vreinterpretq_s32_s64(v))
    }
}
