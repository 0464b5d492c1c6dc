//! Panels for `smmla`, which multiplies two rows with two columns: a lane per pair of a row and a column.

use core::arch::aarch64::*;

use super::Smmla;
use crate::arm::panel::{self, Engine, Spread};
use crate::arm::runs::{self, smmla_step};
use crate::arm::unpack::map4;
use crate::tile::TileMut;

/// ```text
/// weights of four rows:   [step][pair]  16 bytes: weights 8 step .. 8 step + 8 of each row of the pair    step: 0..4
/// columns:                [step][pair]  values 8 step .. 8 step + 8 of each column of the pair
/// output:                 [row pair][column pair]  (column 0, row 0), (0, 1), (1, 0), (1, 1)
/// ```
impl Engine for Smmla {
    const ROWS: usize = 16;
    const VECTORS: usize = 2;
    const SCALE_BYTES: usize = 96;
    /// There are no registers for them.
    type Scales = *const u8;

    #[inline(always)]
    unsafe fn scales(at: *const u8) -> *const u8 {
        at
    }

    #[inline(always)]
    fn behind(scales: *const u8, _at: *const u8) -> *const u8 {
        scales
    }

    #[inline(always)]
    unsafe fn pack(rows: [[int8x16_t; 2]; 4], to: *mut u8) {
        for half in 0..2 {
            let [a, b, c, d] = map4(rows, |row| row[half]);
            // SAFETY: NEON is baseline, and the caller has room.
            unsafe {
                for (i, vector) in [low(a, b), low(c, d), high(a, b), high(c, d)].into_iter().enumerate() {
                    vst1q_s8(to.add(16 * (4 * half + i)).cast(), vector);
                }
            }
        }
    }

    #[inline(always)]
    fn columns([a, b, c, d]: [[int8x16_t; 2]; 4]) -> [[int8x16_t; 2]; 4] {
        [
            [low(a[0], b[0]), low(c[0], d[0])],
            [high(a[0], b[0]), high(c[0], d[0])],
            [low(a[1], b[1]), low(c[1], d[1])],
            [high(a[1], b[1]), high(c[1], d[1])],
        ]
    }

    #[inline(always)]
    unsafe fn write_scales(scales: float32x4_t, to: *mut u8) {
        // SAFETY: the caller has room for six vectors; NEON is baseline.
        unsafe {
            for (i, scale) in Self::row_factors(scales).into_iter().enumerate() {
                let start = vmulq_n_f32(scale, -runs::START);
                for (j, vector) in [scale, start, start].into_iter().enumerate() {
                    vst1q_f32(to.add(16 * (3 * i + j)).cast(), vector);
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "neon,i8mm")]
    unsafe fn add_group<const SMALL: bool, const LAST: bool>(
        sums: &mut [float32x4_t; 4],
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; 4],
        scales: &mut *const u8,
    ) {
        // SAFETY: the caller has the weights of a group, and their factors.
        unsafe { runs::smmla_quad::<LAST>(sums, weights, x, scales) }
    }

    #[inline(always)]
    fn row_factors(rows: float32x4_t) -> Spread {
        let rows = doubles(rows);
        // SAFETY: NEON is baseline.
        unsafe {
            [
                vreinterpretq_f32_f64(vdupq_laneq_f64::<0>(rows)),
                vreinterpretq_f32_f64(vdupq_laneq_f64::<1>(rows)),
            ]
        }
    }

    #[inline(always)]
    fn column_factors(columns: float32x4_t) -> Spread {
        // SAFETY: NEON is baseline.
        unsafe { [vzip1q_f32(columns, columns), vzip2q_f32(columns, columns)] }
    }

    #[inline]
    #[target_feature(enable = "neon,i8mm")]
    unsafe fn products<const FROM: usize, const TO: usize, const SMALL: bool>(
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; 4],
    ) -> [int32x4_t; 4] {
        let mut products = [vdupq_n_s32(0); 4];
        // SAFETY: the caller's weights have so many steps.
        unsafe {
            if FROM == 0 {
                products = smmla_step(products, weights, x[0]);
                products = smmla_step(products, weights, x[1]);
            }
            if TO == 2 {
                products = smmla_step(products, weights, x[2]);
                products = smmla_step(products, weights, x[3]);
            }
        }
        products
    }

    #[inline(always)]
    fn by_rows([a, b, c, d]: [float32x4_t; 4], rows: Spread) -> [float32x4_t; 4] {
        // SAFETY: NEON is baseline.
        unsafe {
            [vmulq_f32(a, rows[0]), vmulq_f32(b, rows[0]), vmulq_f32(c, rows[1]), vmulq_f32(d, rows[1])]
        }
    }

    #[inline(always)]
    fn add_by_columns(out: &mut [float32x4_t; 4], [a, b, c, d]: [float32x4_t; 4], columns: Spread) {
        // SAFETY: NEON is baseline.
        unsafe {
            out[0] = vfmaq_f32(out[0], a, columns[0]);
            out[1] = vfmaq_f32(out[1], b, columns[1]);
            out[2] = vfmaq_f32(out[2], c, columns[0]);
            out[3] = vfmaq_f32(out[3], d, columns[1]);
        }
    }

    #[inline(always)]
    fn add_outer(out: &mut [float32x4_t; 4], rows: Spread, columns: Spread) {
        // SAFETY: NEON is baseline.
        unsafe {
            out[0] = vfmaq_f32(out[0], rows[0], columns[0]);
            out[1] = vfmaq_f32(out[1], rows[0], columns[1]);
            out[2] = vfmaq_f32(out[2], rows[1], columns[0]);
            out[3] = vfmaq_f32(out[3], rows[1], columns[1]);
        }
    }

    #[inline(always)]
    fn by_column(out: [float32x4_t; 4]) -> [float32x4_t; 4] {
        let [a, b, c, d] = map4(out, |v| doubles(v));
        // SAFETY: NEON is baseline.
        unsafe {
            map4([vzip1q_f64(a, c), vzip2q_f64(a, c), vzip1q_f64(b, d), vzip2q_f64(b, d)], |v| {
                vreinterpretq_f32_f64(v)
            })
        }
    }

    #[target_feature(enable = "neon,dotprod,i8mm")]
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

/// Four floats as two of twice the width.
#[inline(always)]
fn doubles(v: float32x4_t) -> float64x2_t {
    // SAFETY: NEON is baseline.
    unsafe { vreinterpretq_f64_f32(v) }
}

/// The first eight bytes of each.
#[inline(always)]
fn low(a: int8x16_t, b: int8x16_t) -> int8x16_t {
    // SAFETY: NEON is baseline.
    unsafe { vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b))) }
}

/// The last eight bytes of each.
#[inline(always)]
fn high(a: int8x16_t, b: int8x16_t) -> int8x16_t {
    // SAFETY: NEON is baseline.
    unsafe { vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b))) }
}
