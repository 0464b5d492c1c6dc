//! The product with many columns, for quantised weights and dot products: eight rows at a time are unpacked into
//! scratch, in the order in which the dot instruction wants them, and multiplied with every column.
//! Invariant: the panel of eight rows stays in the first-level cache while the columns stream by.

use core::arch::aarch64::*;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::arm::insn::sdot_lane;
use crate::arm::narrow::store;
use crate::arm::unpack::{Factors, Unpack, map2, map4, zero};
use crate::blocks::as_blocks;
use crate::columns::Columns;
use crate::tile::TileMut;

/// Rows of a panel: two quads, one vector of 32-bit lanes each.
const ROWS: usize = 8;
/// Columns that are multiplied at once.
const COLUMNS: usize = 4;
/// Bytes of the weights of one group of 32.
const WEIGHT_BYTES: usize = 32 * ROWS;
/// Bytes of one scale (or minimum) of every row.
const FACTOR_BYTES: usize = 4 * ROWS;

/// Bytes of the panel of rows of `k` weights: at most two scales and two minima per group.
pub(crate) fn bytes(k: usize) -> usize {
    k.div_ceil(32) * (WEIGHT_BYTES + 4 * FACTOR_BYTES)
}

/// The product of every row with every column.
///
/// # Safety
/// The lengths must be those of [`crate::Backend::matmul`], and `scratch` be [`bytes`] long.
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn matmul<B: Unpack>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    let blocks = as_blocks::<B>(weights);
    for r in (0..out.rows()).step_by(ROWS) {
        let mut rows = out.rows_range(r, out.rows().min(r + ROWS));
        // SAFETY: the lengths are the caller's promise, and the rows are inside the output.
        unsafe {
            unpack::<B>(&blocks[r * (x.k / B::LEN)..], rows.rows(), x.k, scratch.as_mut_ptr());
            for c in (0..x.n).step_by(COLUMNS) {
                match (B::SCALES, B::MINIMA) {
                    (1, false) => multiply::<1, false>(scratch.as_ptr(), x, &mut rows, c),
                    (1, true) => multiply::<1, true>(scratch.as_ptr(), x, &mut rows, c),
                    (_, false) => multiply::<2, false>(scratch.as_ptr(), x, &mut rows, c),
                    (_, true) => multiply::<2, true>(scratch.as_ptr(), x, &mut rows, c),
                }
            }
        }
    }
}

/// Writes the panel of some rows; where they are fewer than eight, the last stands in for the others.
///
/// ```text
/// of each group of 32:   scales   [part][quad]  4 floats: one per row          part: the whole group, or each 16
///                        minima   [part][quad]  4 floats, if the format has minima
///                        weights  [step][quad]  16 bytes: weights 4 step .. 4 step + 4 of row 0, of row 1, ..
/// ```
#[inline(always)]
unsafe fn unpack<B: Unpack>(blocks: &[B], rows: usize, k: usize, panel: *mut u8) {
    let mut to = panel;
    let row_blocks = k / B::LEN;
    for b in 0..row_blocks {
        // SAFETY: the caller's blocks are so many rows, and each row is row_blocks long.
        let block = |row: usize| unsafe { blocks.get_unchecked(row.min(rows - 1) * row_blocks + b) };
        let quads = [[block(0), block(1), block(2), block(3)], [block(4), block(5), block(6), block(7)]];
        let heads = [B::head(quads[0]), B::head(quads[1])];
        for step in 0..B::LEN / 32 / B::STEP {
            for g in step * B::STEP..(step + 1) * B::STEP {
                // SAFETY: a group is no longer than what `bytes` counts for it.
                unsafe {
                    to = unpack_group(&quads, &heads, g, to);
                }
            }
        }
    }
}

/// Writes one group, and returns where the next begins.
#[inline(always)]
unsafe fn unpack_group<B: Unpack>(
    quads: &[[&B; 4]; 2],
    heads: &[B::Head; 2],
    g: usize,
    panel: *mut u8,
) -> *mut u8 {
    let mut to = panel;
    // SAFETY: the caller's panel has room for a group; NEON is baseline.
    unsafe {
        for part in 0..B::SCALES {
            for head in heads {
                vst1q_f32(to.cast(), head.scale(g * B::SCALES + part));
                to = to.add(16);
            }
        }
        if B::MINIMA {
            for part in 0..B::SCALES {
                for head in heads {
                    vst1q_f32(to.cast(), head.minimum(g * B::SCALES + part));
                    to = to.add(16);
                }
            }
        }
        for q in 0..2 {
            let [a, b, c, d] = map4(quads[q], |block| {
                map2(block.weights(g), |w| {
                    let w = if B::OFFSET == 0 { w } else { vsubq_s8(w, vdupq_n_s8(B::OFFSET)) };
                    vreinterpretq_s32_s8(w)
                })
            });
            for half in 0..2 {
                let steps = transpose([a[half], b[half], c[half], d[half]]);
                for i in 0..4 {
                    vst1q_s32(to.add(32 * (4 * half + i) + 16 * q).cast(), steps[i]);
                }
            }
        }
        to.add(WEIGHT_BYTES)
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

/// The outputs of a panel's rows and four columns from `c` on; columns past the last repeat it.
#[target_feature(enable = "neon,dotprod")]
unsafe fn multiply<const SCALES: usize, const MINIMA: bool>(
    panel: *const u8,
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    c: usize,
) {
    let mut sums = [[zero(); COLUMNS]; 2];
    // SAFETY: unpack wrote as many groups as a column has, and columns are clamped to the last.
    unsafe {
        let column = map4([0, 1, 2, 3], |i| (c + i).min(x.n - 1));
        let mut at = Groups {
            panel,
            q: map4(column, |c| x.q.as_ptr().add(c * x.k)),
            d: map4(column, |c| x.d.as_ptr().add(c * (x.k / 32))),
            s: map4(column, |c| x.s.as_ptr().add(c * (x.k / 16))),
        };
        // Two groups at a time share the loads of their sums.
        for _ in 0..x.k / 64 {
            let [a, b, c, d] = map4(at.s, |s| lanes(vld1q_f32(s)));
            let first = [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]]];
            let second = [[a[2], b[2], c[2], d[2]], [a[3], b[3], c[3], d[3]]];
            if SCALES == 2 {
                multiply_group::<SCALES, MINIMA>(&mut sums, &mut at, first);
                multiply_group::<SCALES, MINIMA>(&mut sums, &mut at, second);
            } else {
                let ab = lanes(vpaddq_f32(vld1q_f32(at.s[0]), vld1q_f32(at.s[1])));
                let cd = lanes(vpaddq_f32(vld1q_f32(at.s[2]), vld1q_f32(at.s[3])));
                let first = [ab[0], ab[2], cd[0], cd[2]];
                let second = [ab[1], ab[3], cd[1], cd[3]];
                multiply_group::<SCALES, MINIMA>(&mut sums, &mut at, [first; 2]);
                multiply_group::<SCALES, MINIMA>(&mut sums, &mut at, [second; 2]);
            }
            at.s = map4(at.s, |s| s.add(4));
        }
        if x.k / 32 % 2 == 1 {
            let [first, second] = [map4(at.s, |s| *s), map4(at.s, |s| *s.add(1))];
            let whole = map4([0, 1, 2, 3], |i| first[i] + second[i]);
            let s = if SCALES == 2 { [first, second] } else { [whole; 2] };
            multiply_group::<SCALES, MINIMA>(&mut sums, &mut at, s);
        }
    }
    for i in 0..COLUMNS.min(x.n - c) {
        store(out, 0, c + i, sums[0][i]);
        store(out, 4, c + i, sums[1][i]);
    }
}

/// Where the next group lies: in the panel, and in each column's values, scales and sums.
struct Groups {
    panel: *const u8,
    q: [*const i8; COLUMNS],
    d: [*const f32; COLUMNS],
    s: [*const f32; COLUMNS],
}

/// Adds the products of one group, and moves on behind it; `s` are each part's sums of the columns.
#[inline(always)]
unsafe fn multiply_group<const SCALES: usize, const MINIMA: bool>(
    sums: &mut [[float32x4_t; COLUMNS]; 2],
    at: &mut Groups,
    s: [[f32; COLUMNS]; 2],
) {
    // Keeps the loads of two groups apart: both at once would not fit the registers.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the caller has this group, and its CPU has dot products.
    unsafe {
        let scales = at.panel;
        let minima = scales.add(SCALES * FACTOR_BYTES);
        let weights = if MINIMA { minima.add(SCALES * FACTOR_BYTES) } else { minima };
        for part in 0..SCALES {
            let mut products = [[vdupq_n_s32(0); COLUMNS]; 2];
            for half in part * 2 / SCALES..(part + 1) * 2 / SCALES {
                let x = map4(at.q, |q| vld1q_s8(q.add(16 * half)));
                let w = weights.add(half * WEIGHT_BYTES / 2);
                step::<0>(&mut products, w, &x);
                step::<1>(&mut products, w, &x);
                step::<2>(&mut products, w, &x);
                step::<3>(&mut products, w, &x);
            }
            for quad in 0..2 {
                let factor = part * FACTOR_BYTES + 16 * quad;
                let scale = vld1q_f32(scales.add(factor).cast());
                for c in 0..COLUMNS {
                    let sum = &mut sums[quad][c];
                    let scale = vmulq_n_f32(scale, *at.d[c]);
                    *sum = vfmaq_f32(*sum, vcvtq_f32_s32(products[quad][c]), scale);
                    if MINIMA {
                        *sum = vfmaq_n_f32(*sum, vld1q_f32(minima.add(factor).cast()), s[part][c]);
                    }
                }
            }
        }
        at.panel = weights.add(WEIGHT_BYTES);
        at.q = map4(at.q, |q| q.add(32));
        at.d = map4(at.d, |d| d.add(1));
    }
}

/// Adds the products of four weights of every row, at `weights` and `LANE` steps on, with each column's.
#[inline(always)]
unsafe fn step<const LANE: usize>(
    products: &mut [[int32x4_t; COLUMNS]; 2],
    weights: *const u8,
    x: &[int8x16_t; COLUMNS],
) {
    for quad in 0..2 {
        // SAFETY: the caller's group has this step, and its CPU has dot products.
        unsafe {
            let w = vld1q_s8(weights.add(32 * LANE + 16 * quad).cast());
            for c in 0..COLUMNS {
                products[quad][c] = sdot_lane::<LANE>(products[quad][c], w, x[c]);
            }
        }
    }
}

/// The four lanes of a vector.
#[inline(always)]
fn lanes(v: float32x4_t) -> [f32; 4] {
    // SAFETY: NEON is baseline.
    unsafe {
        [vgetq_lane_f32::<0>(v), vgetq_lane_f32::<1>(v), vgetq_lane_f32::<2>(v), vgetq_lane_f32::<3>(v)]
    }
}
