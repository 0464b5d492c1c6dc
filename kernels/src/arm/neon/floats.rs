//! The product for weights that are floats themselves: four rows by up to four columns per pass.
//! Invariant: the operations of one output are the same whatever the number of rows and columns.

use core::arch::aarch64::*;

use crate::arm::insn;
use crate::arm::narrow::store;
use crate::arm::unpack::map4;
use crate::blocks::*;
use crate::columns::Columns;
use crate::tile::TileMut;

/// A float format: how eight weights become 32-bit floats.
pub(crate) trait Float: Block {
    /// Eight consecutive weights.
    ///
    /// # Safety
    /// They must be there.
    unsafe fn load(from: *const Self) -> [float32x4_t; 2];
}

impl Float for BlockF32 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> [float32x4_t; 2] {
        // SAFETY: the caller has eight weights.
        unsafe { [vld1q_f32(from.cast()), vld1q_f32(from.add(4).cast())] }
    }
}

impl Float for BlockF16 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> [float32x4_t; 2] {
        // SAFETY: the caller has eight weights.
        let halves = unsafe { vld1q_u16(from.cast()) };
        [insn::f16_low_to_f32(halves), insn::f16_high_to_f32(halves)]
    }
}

impl Float for BlockBF16 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> [float32x4_t; 2] {
        // SAFETY: the caller has eight weights; NEON is baseline.
        unsafe {
            let upper = vld1q_u16(from.cast());
            let [low, high] = [vshll_n_u16::<16>(vget_low_u16(upper)), vshll_high_n_u16::<16>(upper)];
            [vreinterpretq_f32_u32(low), vreinterpretq_f32_u32(high)]
        }
    }
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The lengths must be what [`crate::Backend::matmul`] checks.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn matmul<B: Float>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    _scratch: &mut [u8],
) {
    let weights = as_blocks::<B>(weights);
    for r in (0..out.rows()).step_by(4) {
        for c in (0..x.n).step_by(4) {
            // SAFETY: the tile starts inside the output, and the caller checked the lengths.
            unsafe {
                match x.n - c {
                    1 => tile::<B, 1>(weights, x, out, r, c),
                    2 => tile::<B, 2>(weights, x, out, r, c),
                    3 => tile::<B, 3>(weights, x, out, r, c),
                    _ => tile::<B, 4>(weights, x, out, r, c),
                }
            }
        }
    }
}

/// The outputs of four rows from `r` on, and `C` columns from `c` on.
///
/// # Safety
/// The lengths must be what [`crate::Backend::matmul`] checks; there must be the row `r` and the columns.
#[target_feature(enable = "neon")]
unsafe fn tile<B: Float, const C: usize>(
    weights: &[B],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    r: usize,
    c: usize,
) {
    let last = out.rows() - 1;
    // Four partial sums per row and column.
    let mut sums = [[vdupq_n_f32(0.0); 4]; C];
    // SAFETY: rows are clamped to the last, so that all rows and columns that are read exist.
    unsafe {
        let row = map4([0, 1, 2, 3], |i| weights.as_ptr().add((r + i).min(last) * x.k));
        let column = x.f32.as_ptr().add(c * x.k);
        let whole = x.k - x.k % 8;
        for i in (0..whole).step_by(8) {
            add_eight(&mut sums, map4(row, |row| row.add(i)), column.add(i), x.k);
        }
        if whole < x.k {
            // The rest of each row and column, filled up with zeroes.
            let rest = x.k - whole;
            let mut columns = [[0.0f32; 8]; C];
            for i in 0..C {
                column.add(i * x.k + whole).copy_to_nonoverlapping(columns[i].as_mut_ptr(), rest);
            }
            // All formats have zeroes of zero bytes.
            let mut rows = [const { core::mem::zeroed::<[B; 8]>() }; 4];
            for i in 0..4 {
                row[i].add(whole).copy_to_nonoverlapping(rows[i].as_mut_ptr(), rest);
            }
            add_eight(&mut sums, map4([0, 1, 2, 3], |i| rows[i].as_ptr()), columns.as_ptr().cast(), 8);
        }
        for i in 0..C {
            let [a, b, c_, d] = sums[i];
            store(out, r, c + i, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c_, d)));
        }
    }
}

/// Adds the products of eight weights of four rows; the columns lie `stride` apart.
///
/// # Safety
/// There must be eight weights of each row, and eight activations of each column.
#[inline(always)]
unsafe fn add_eight<B: Float, const C: usize>(
    sums: &mut [[float32x4_t; 4]; C],
    row: [*const B; 4],
    column: *const f32,
    stride: usize,
) {
    // SAFETY: the caller has eight weights of each row, and eight activations of each column.
    unsafe {
        let mut x = [[vdupq_n_f32(0.0); 2]; C];
        for c in 0..C {
            let from = column.add(c * stride);
            x[c] = [vld1q_f32(from), vld1q_f32(from.add(4))];
        }
        for i in 0..4 {
            let w = B::load(row[i]);
            for c in 0..C {
                sums[c][i] = vfmaq_f32(vfmaq_f32(sums[c][i], w[0], x[c][0]), w[1], x[c][1]);
            }
        }
    }
}
