//! The product with few columns, for quantised weights: several rows per pass, their weights unpacked once and used
//! against up to three columns. Generic in the format and in how bytes are multiplied.
//! Invariant: integers are summed exactly, and the float operations of one output are those of [`super::product`].

use core::arch::aarch64::*;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::arm::hint;
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

/// The product of every row with `C` columns, whose terms are those of [`super::product`].
///
/// # Safety
/// The lengths must be those of [`crate::Backend::matmul`] for so many columns, and the CPU must have what `D` uses.
#[inline(always)]
pub(crate) unsafe fn matmul<B: Unpack, D: Dot, const C: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    terms: &[f32],
    out: &mut TileMut<'_>,
) {
    let blocks = as_blocks::<B>(weights);
    // SAFETY: every tile starts inside the output; the rest is the caller's promise.
    unsafe {
        // One column leaves registers for eight rows.
        if C == 1 && B::LIGHT {
            for r in (0..out.rows()).step_by(8) {
                tile::<B, D, 2, C>(blocks, x, terms, out, r);
            }
        } else {
            for r in (0..out.rows()).step_by(4) {
                tile::<B, D, 1, C>(blocks, x, terms, out, r);
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

/// Where the next block of each column lies: its values, its scales and its terms.
struct Cursor<const C: usize> {
    q: [*const i8; C],
    d: [*const f32; C],
    terms: [*const f32; C],
}

/// Of one group of each column: its scale, and the term of each part.
#[derive(Clone, Copy)]
struct Group<const C: usize> {
    d: [f32; C],
    terms: [[f32; 2]; C],
}

impl<const C: usize> Cursor<C> {
    /// What belongs to groups `g` and `g + 1`, which share the loads.
    ///
    /// # Safety
    /// Both groups must be there.
    #[inline(always)]
    unsafe fn two_groups<B: Unpack>(&self, g: usize) -> [Group<C>; 2] {
        let mut groups = [Group { d: [0.0; C], terms: [[0.0; 2]; C] }; 2];
        for c in 0..C {
            // SAFETY: as in tile, whose loops stay inside the columns.
            unsafe {
                let d = two(self.d[c].add(g));
                (groups[0].d[c], groups[1].d[c]) = (vgetq_lane_f32::<0>(d), vgetq_lane_f32::<1>(d));
                if B::OFFSET == 0 && !B::MINIMA {
                    continue;
                }
                if B::SCALES == 1 {
                    let terms = two(self.terms[c].add(g));
                    groups[0].terms[c] = [vgetq_lane_f32::<0>(terms); 2];
                    groups[1].terms[c] = [vgetq_lane_f32::<1>(terms); 2];
                } else {
                    let terms = hint::whole(vld1q_f32(self.terms[c].add(2 * g)));
                    groups[0].terms[c] = [vgetq_lane_f32::<0>(terms), vgetq_lane_f32::<1>(terms)];
                    groups[1].terms[c] = [vgetq_lane_f32::<2>(terms), vgetq_lane_f32::<3>(terms)];
                }
            }
        }
        groups
    }

    /// What belongs to a last group that has no other behind it, of a format that has one scale for it.
    ///
    /// # Safety
    /// The group must be there.
    #[inline(always)]
    unsafe fn last_group<B: Unpack>(&self) -> Group<C> {
        let mut group = Group { d: [0.0; C], terms: [[0.0; 2]; C] };
        for c in 0..C {
            // SAFETY: as in tile, whose loops stay inside the columns.
            unsafe {
                group.d[c] = *self.d[c];
                if B::OFFSET != 0 || B::MINIMA {
                    group.terms[c] = [*self.terms[c]; 2];
                }
            }
        }
        group
    }

    /// Moves on behind so many values.
    ///
    /// # Safety
    /// As many values must be there, or be the last.
    #[inline(always)]
    unsafe fn move_on<B: Unpack>(&mut self, values: usize) {
        for c in 0..C {
            // SAFETY: as in tile, whose loops stay inside the columns, or end with them.
            unsafe {
                self.q[c] = hint::opaque(self.q[c].add(values));
                self.d[c] = hint::opaque(self.d[c].add(values / 32));
                if B::OFFSET != 0 || B::MINIMA {
                    self.terms[c] = hint::opaque(self.terms[c].add(values / 32 * B::SCALES));
                }
            }
        }
    }
}

/// Two floats, which stay in one register.
///
/// # Safety
/// There must be two.
#[inline(always)]
unsafe fn two(floats: *const f32) -> float32x4_t {
    // SAFETY: the caller has two; NEON is baseline.
    hint::whole(unsafe { vcombine_f32(vld1_f32(floats), vdup_n_f32(0.0)) })
}

/// The outputs of `4 * QUADS` rows from `r` on and of all `C` columns.
///
/// # Safety
/// As [`matmul`]; row `r` must exist.
#[inline(always)]
unsafe fn tile<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
    blocks: &[B],
    x: &Columns<'_>,
    terms: &[f32],
    out: &mut TileMut<'_>,
    r: usize,
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
        let (q, d, terms) = (x.q.as_ptr(), x.d.as_ptr(), terms.as_ptr());
        let mut at = Cursor { q: [q; C], d: [d; C], terms: [terms; C] };
        for c in 0..C {
            at.q[c] = q.add(c * x.k);
            at.d[c] = d.add(c * (x.k / 32));
            at.terms[c] = terms.wrapping_add(c * (x.k / 32 * B::SCALES));
        }
        if B::LEN > 32 {
            for _ in 0..row_blocks {
                super_block::<B, D, QUADS, C>(&mut row, &mut at, &mut sums);
            }
        } else {
            for _ in 0..row_blocks / 2 {
                let factors = at.two_groups::<B>(0);
                block::<B, D, QUADS, C>(&mut row, &at, 0, &factors[0], &mut sums);
                block::<B, D, QUADS, C>(&mut row, &at, 1, &factors[1], &mut sums);
                at.move_on::<B>(64);
            }
            if row_blocks % 2 == 1 {
                let factors = at.last_group::<B>();
                block::<B, D, QUADS, C>(&mut row, &at, 0, &factors, &mut sums);
            }
        }
        for q in 0..QUADS {
            for i in 0..C {
                store(out, r + 4 * q, i, sums.out[q][i]);
            }
        }
    }
}

/// Adds the products of one block of 32 of each row with group `g` of the columns, and moves the rows on behind it.
///
/// # Safety
/// The block of each row and the group of each column must be there, and the CPU have what `D` uses.
#[inline(always)]
unsafe fn block<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
    row: &mut [[*const B; 4]; QUADS],
    x: &Cursor<C>,
    g: usize,
    factors: &Group<C>,
    sums: &mut Sums<QUADS, C>,
) {
    // SAFETY: as in tile, whose loops stay inside the rows.
    unsafe {
        let head = heads(row);
        // A load moves its pointer on by its own length, or by what a register holds.
        let head_bytes = if B::HEAD.is_power_of_two() { B::HEAD } else { hint::unknown(B::HEAD) };
        for row in row.as_flattened_mut() {
            *row = hint::opaque(row.byte_add(head_bytes)).byte_sub(B::HEAD);
        }
        group::<B, D, QUADS, C>(row, &head, 0, x.q, g, factors, sums);
        for row in row.as_flattened_mut() {
            *row = hint::opaque(row.add(1));
        }
    }
}

/// Adds the products of one super-block of each row, and moves rows and columns on behind it.
///
/// # Safety
/// The block of each row and its groups of each column must be there, and the CPU have what `D` uses.
#[inline(always)]
unsafe fn super_block<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
    row: &mut [[*const B; 4]; QUADS],
    x: &mut Cursor<C>,
    sums: &mut Sums<QUADS, C>,
) {
    // SAFETY: as in tile, whose loops stay inside the rows.
    unsafe {
        let head = heads(row);
        let step = B::STEP.max(2);
        for g in (0..B::LEN / 32).step_by(step) {
            two_groups::<B, D, QUADS, C>(row, &head, g, x, sums);
            if step > 2 {
                two_groups::<B, D, QUADS, C>(row, &head, g + 2, x, sums);
            }
        }
        for row in row.as_flattened_mut() {
            *row = hint::opaque(row.add(1));
        }
        x.move_on::<B>(B::LEN);
    }
}

/// Adds the products of groups `g` and `g + 1` of a super-block of each row.
///
/// # Safety
/// The block of each row and both groups of each column must be there, and the CPU have what `D` uses.
#[inline(always)]
unsafe fn two_groups<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
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
    // SAFETY: as in tile, whose loops stay inside the rows and columns.
    unsafe {
        let factors = x.two_groups::<B>(g);
        group::<B, D, QUADS, C>(row, head, g, x.q, g, &factors[0], sums);
        if B::STEP > 2 {
            compiler_fence(Ordering::SeqCst);
        }
        group::<B, D, QUADS, C>(row, head, g + 1, x.q, g + 1, &factors[1], sums);
    }
}

/// The heads of the blocks that the rows have come to.
///
/// # Safety
/// The block of each row must be there.
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

/// Adds the products of group `g` of the block with group `at` of the columns.
///
/// # Safety
/// The block of each row and the group of each column must be there, and the CPU have what `D` uses.
#[inline(always)]
unsafe fn group<B: Unpack, D: Dot, const QUADS: usize, const C: usize>(
    row: &[[*const B; 4]; QUADS],
    head: &[B::Head; QUADS],
    g: usize,
    q: [*const i8; C],
    at: usize,
    factors: &Group<C>,
    sums: &mut Sums<QUADS, C>,
) {
    // SAFETY: as in tile, whose loops stay inside the columns.
    unsafe {
        let mut xq = [[vdupq_n_s8(0); 2]; C];
        for c in 0..C {
            let q = q[c].add(32 * at);
            xq[c] = [vld1q_s8(q), vld1q_s8(q.add(16))];
        }
        // Written out, lest the compiler makes it a loop, and keeps the sums in memory.
        add_four_rows::<B, D, C>(&row[0], &head[0], g, &xq, &mut sums.running[0]);
        if QUADS > 1 {
            let last = QUADS - 1;
            add_four_rows::<B, D, C>(&row[last], &head[last], g, &xq, &mut sums.running[last]);
        }
        for c in 0..C {
            let (d, terms) = (factors.d[c], &factors.terms[c]);
            for quad in 0..QUADS {
                let out = &mut sums.out[quad][c];
                if B::MINIMA {
                    for part in 0..B::SCALES {
                        *out = vfmaq_n_f32(*out, head[quad].minimum(g * B::SCALES + part), terms[part]);
                    }
                }
                for part in 0..B::SCALES {
                    let [a, b, c_, d_] = sums.running[quad][c][part];
                    let total = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c_, d_));
                    let mut sum = vcvtq_f32_s32(vsubq_s32(total, sums.before[quad][c][part]));
                    sums.before[quad][c][part] = total;
                    if B::OFFSET != 0 {
                        sum = vfmsq_n_f32(sum, vdupq_n_f32(f32::from(B::OFFSET)), terms[part]);
                    }
                    let scale = head[quad].scale(g * B::SCALES + part);
                    *out = vfmaq_n_f32(*out, vmulq_f32(sum, scale), d);
                }
            }
        }
    }
}

/// Adds the products of group `g` of four rows with the columns.
///
/// # Safety
/// The block of each row must be there, and the CPU have what `D` uses.
#[inline(always)]
unsafe fn add_four_rows<B: Unpack, D: Dot, const C: usize>(
    row: &[*const B; 4],
    head: &B::Head,
    g: usize,
    x: &[[int8x16_t; 2]; C],
    running: &mut [[[int32x4_t; 4]; 2]; C],
) {
    // SAFETY: as in tile, whose loops stay inside the rows.
    unsafe {
        add_row::<B, D, C, 0>(row, head, g, x, running);
        add_row::<B, D, C, 1>(row, head, g, x, running);
        add_row::<B, D, C, 2>(row, head, g, x, running);
        add_row::<B, D, C, 3>(row, head, g, x, running);
    }
}

/// Adds the products of group `g` of one of four rows with the columns.
///
/// # Safety
/// The block of each row must be there, and the CPU have what `D` uses.
#[inline(always)]
unsafe fn add_row<B: Unpack, D: Dot, const C: usize, const ROW: usize>(
    row: &[*const B; 4],
    head: &B::Head,
    g: usize,
    x: &[[int8x16_t; 2]; C],
    running: &mut [[[int32x4_t; 4]; 2]; C],
) {
    if B::CROWDED {
        // The loads of several rows would not fit the registers beside what unpacks them.
        compiler_fence(Ordering::SeqCst);
    }
    // SAFETY: as in tile, whose loops stay inside the rows.
    unsafe {
        let w = (*row[ROW]).weights(head, ROW, g);
        for c in 0..C {
            let [first, second] = &mut running[c];
            if B::SCALES == 2 {
                first[ROW] = D::dot16(first[ROW], w[0], x[c][0]);
                second[ROW] = D::dot16(second[ROW], w[1], x[c][1]);
            } else if B::SMALL {
                first[ROW] = D::dot32::<true>(first[ROW], w, x[c]);
            } else {
                first[ROW] = D::dot32::<false>(first[ROW], w, x[c]);
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
