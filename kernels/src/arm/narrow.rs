//! The product with few columns, for quantised weights: several rows per pass, their weights unpacked once and used
//! against up to three columns. Generic in the format and in how bytes are multiplied.
//! Invariant: integers are summed exactly, and the float operations of one output are the same for every tile shape.

use core::arch::aarch64::*;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::arm::insn;
use crate::arm::unpack::{Factors, Unpack, map4, zero};
use crate::blocks::as_blocks;
use crate::columns::Columns;
use crate::tile::TileMut;

/// How a tier multiplies bytes. Each method adds to four sums whose total grows by the dot product.
pub(crate) trait Dot {
    /// The dot product of 16 weights and activations.
    ///
    /// # Safety
    /// The CPU must have the tier's instructions.
    unsafe fn dot16(sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t;

    /// The dot product of 32 weights and activations; `SMALL` as in [`Unpack::SMALL`].
    ///
    /// # Safety
    /// The CPU must have the tier's instructions.
    unsafe fn dot32<const SMALL: bool>(sums: int32x4_t, w: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t;
}

/// The product of every row with every column.
///
/// # Safety
/// The lengths must be those of [`crate::Backend::matmul`], and the CPU must have what `D` uses.
#[inline(always)]
pub(crate) unsafe fn matmul<B: Unpack, D: Dot>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>) {
    let blocks = as_blocks::<B>(weights);
    // SAFETY: every tile starts inside the output; the rest is the caller's promise.
    unsafe {
        // One column leaves registers for eight rows.
        if x.n == 1 && B::LIGHT {
            for r in (0..out.rows()).step_by(8) {
                tile::<B, D, 2, 1>(blocks, x, out, r, 0);
            }
            return;
        }
        for r in (0..out.rows()).step_by(4) {
            for c in (0..x.n).step_by(3) {
                match x.n - c {
                    1 => tile::<B, D, 1, 1>(blocks, x, out, r, c),
                    2 => tile::<B, D, 1, 2>(blocks, x, out, r, c),
                    _ => tile::<B, D, 1, 3>(blocks, x, out, r, c),
                }
            }
        }
    }
}

/// What a tile has summed: `[quad of rows][column]`, and of every group the sums of its 32, or of its two 16.
struct Sums<const QUADS: usize, const C: usize> {
    /// Per row, four integers that add up to the product of all groups so far. They run on over the groups, and may
    /// wrap; a group's own sum is the difference, which is exact.
    running: [[[[int32x4_t; 4]; 2]; C]; QUADS],
    /// The total of `running` before this group, one lane per row.
    before: [[[int32x4_t; 2]; C]; QUADS],
    /// The output, one lane per row.
    out: [[float32x4_t; C]; QUADS],
}

/// Where the next block of each column lies: its values, its scales and its sums.
struct Cursor<const C: usize> {
    q: [*const i8; C],
    d: [*const f32; C],
    s: [*const f32; C],
}

/// The outputs of `4 * QUADS` rows from `r` on and `C` columns from `c` on.
#[inline(always)]
unsafe fn tile<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
    blocks: &[B],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    r: usize,
    c: usize,
) {
    let row_blocks = x.k / B::LEN;
    let rows = out.rows();
    // SAFETY: rows past the last are replaced by it, so that every block that is read is inside the weights, whose length
    // Backend::matmul checked with that of the columns; NEON is baseline, and the caller promises what D uses.
    unsafe {
        let mut row = [[blocks.as_ptr(); 4]; QUADS];
        for (i, row) in row.as_flattened_mut().iter_mut().enumerate() {
            *row = row.wrapping_add((r + i) * row_blocks);
        }
        if r + 4 * QUADS > rows {
            // The last row stands in for those past it.
            for (i, row) in row.as_flattened_mut().iter_mut().enumerate() {
                *row = blocks.as_ptr().add((r + i).min(rows - 1) * row_blocks);
            }
        }
        let none = vdupq_n_s32(0);
        let mut sums = Sums::<QUADS, C> {
            running: [[[[none; 4]; 2]; C]; QUADS],
            before: [[[none; 2]; C]; QUADS],
            out: [[zero(); C]; QUADS],
        };
        let (q, d, s) = (x.q.as_ptr(), x.d.as_ptr(), x.s.as_ptr());
        let mut at = Cursor { q: [q; C], d: [d; C], s: [s; C] };
        for i in 0..C {
            at.q[i] = q.add((c + i) * x.k);
            at.d[i] = d.add((c + i) * (x.k / 32));
            at.s[i] = s.add((c + i) * (x.k / 16));
        }
        for _ in 0..row_blocks {
            block::<B, D, QUADS, C>(&mut row, &mut at, &mut sums);
        }
        for q in 0..QUADS {
            for i in 0..C {
                store(out, r + 4 * q, c + i, sums.out[q][i]);
            }
        }
    }
}

/// Adds the products of one block of each row, and moves rows and columns on behind it.
#[inline(always)]
unsafe fn block<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
    row: &mut [[*const B; 4]; QUADS],
    x: &mut Cursor<C>,
    sums: &mut Sums<QUADS, C>,
) {
    // SAFETY: as in tile, whose loops stay inside the rows.
    unsafe {
        let head = heads(row);
        for row in row.as_flattened_mut() {
            *row = insn::opaque(row.byte_add(B::HEAD)).byte_sub(B::HEAD);
        }
        for step in 0..B::LEN / 32 / B::STEP {
            let g = step * B::STEP;
            group::<B, D, QUADS, C>(row, &head, g, x, sums);
            if B::STEP > 1 {
                group::<B, D, QUADS, C>(row, &head, g + 1, x, sums);
            }
            if B::STEP > 2 {
                group::<B, D, QUADS, C>(row, &head, g + 2, x, sums);
                group::<B, D, QUADS, C>(row, &head, g + 3, x, sums);
            }
        }
        for row in row.as_flattened_mut() {
            *row = row.add(1);
        }
        for c in 0..C {
            x.q[c] = insn::opaque(x.q[c].add(B::LEN));
            x.d[c] = insn::opaque(x.d[c].add(B::LEN / 32));
            x.s[c] = insn::opaque(x.s[c].add(B::LEN / 16));
        }
    }
}

/// The heads of the blocks that the rows have come to.
#[inline(always)]
unsafe fn heads<B: Unpack, const QUADS: usize>(row: &[[*const B; 4]; QUADS]) -> [B::Head; QUADS] {
    // SAFETY: as in tile, whose loops stay inside the rows.
    unsafe {
        let first = map4(row[0], |row| &*row);
        if QUADS == 1 {
            return [B::head(first); QUADS];
        }
        let [a, b] = B::heads([first, map4(row[1], |row| &*row)]);
        let mut heads = [a; QUADS];
        heads[1] = b;
        heads
    }
}

/// Adds the products of group `g` of the block.
#[inline(always)]
unsafe fn group<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
    row: &[[*const B; 4]; QUADS],
    head: &[B::Head; QUADS],
    g: usize,
    x: &Cursor<C>,
    sums: &mut Sums<QUADS, C>,
) {
    if B::STEP > 2 {
        // What four groups share does not fit the registers: each loads it again, where the compiler would spill it.
        compiler_fence(Ordering::SeqCst);
    }
    // SAFETY: as in tile, whose loops stay inside the columns.
    unsafe {
        let mut xq = [[vdupq_n_s8(0); 2]; C];
        for c in 0..C {
            let q = x.q[c].add(32 * g);
            xq[c] = [vld1q_s8(q), vld1q_s8(q.add(16))];
        }
        for quad in 0..QUADS {
            for i in 0..4 {
                let w = (*row[quad][i]).weights(g);
                for c in 0..C {
                    let running = &mut sums.running[quad][c];
                    if B::SCALES == 2 {
                        running[0][i] = D::dot16(running[0][i], w[0], xq[c][0]);
                        running[1][i] = D::dot16(running[1][i], w[1], xq[c][1]);
                    } else if B::SMALL {
                        running[0][i] = D::dot32::<true>(running[0][i], w, xq[c]);
                    } else {
                        running[0][i] = D::dot32::<false>(running[0][i], w, xq[c]);
                    }
                }
            }
        }
        for c in 0..C {
            let d = *x.d[c].add(g);
            let s = [*x.s[c].add(2 * g), *x.s[c].add(2 * g + 1)];
            for part in 0..B::SCALES {
                let s = if B::SCALES == 2 { s[part] } else { s[0] + s[1] };
                let s = if B::OFFSET != 0 { s * -f32::from(B::OFFSET) } else { s };
                for quad in 0..QUADS {
                    let [a, b, c_, d_] = sums.running[quad][c][part];
                    let total = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c_, d_));
                    let sum = vcvtq_f32_s32(vsubq_s32(total, sums.before[quad][c][part]));
                    sums.before[quad][c][part] = total;
                    let scale = head[quad].scale(g * B::SCALES + part);
                    let out = &mut sums.out[quad][c];
                    *out = vfmaq_f32(*out, sum, vmulq_n_f32(scale, d));
                    if B::OFFSET != 0 {
                        *out = vfmaq_n_f32(*out, scale, s);
                    } else if B::MINIMA {
                        *out = vfmaq_n_f32(*out, head[quad].minimum(g * B::SCALES + part), s);
                    }
                }
            }
        }
    }
}

/// Writes four rows of a column from row `r` on, or those of them that the tile has.
#[inline(always)]
pub(crate) fn store(out: &mut TileMut<'_>, r: usize, c: usize, four: float32x4_t) {
    let column = out.column(c);
    let rows = column.len().saturating_sub(r).min(4);
    // SAFETY: four values fit the column or the array; NEON is baseline.
    unsafe {
        if rows == 4 {
            vst1q_f32(column.as_mut_ptr().add(r), four);
        } else if rows > 0 {
            let mut values = [0.0; 4];
            vst1q_f32(values.as_mut_ptr(), four);
            column[r..].copy_from_slice(&values[..rows]);
        }
    }
}
