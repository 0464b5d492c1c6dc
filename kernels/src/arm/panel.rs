//! The product with many columns, for quantised weights: some rows at a time are unpacked into scratch, in the order in
//! which a tier's instructions want them, and multiplied with every column, four of which are brought into such an order
//! as well. Generic in the format and in the tier.
//! Invariant: a few panels and four columns are read from end to end, and stay in the caches meanwhile.

use core::arch::aarch64::*;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::arm::insn;
use crate::arm::narrow::store;
use crate::arm::unpack::{Factors, Unpack, map2, map4, zero};
use crate::blocks::as_blocks;
use crate::columns::Columns;
use crate::tile::TileMut;

/// Columns that are multiplied at once.
const COLUMNS: usize = 4;
/// The most rows of a panel.
const ROWS_MAX: usize = 16;
/// Bytes that panels should not exceed, lest they leave the caches, and the most panels that share four columns.
const CACHED: (usize, usize) = (192 << 10, 8);
/// Bytes of a group of four columns, at most: values, and a scale and two sums in two vectors each.
const COLUMN_BYTES: usize = COLUMNS * 32 + 3 * 2 * 16;
/// Bytes of the weights of one group of 32 of four rows.
const QUAD_BYTES: usize = 4 * 32;

/// A factor of four rows or of four columns, in the order in which a tier wants it: one vector or two.
pub(crate) type Spread = [float32x4_t; 2];

/// How a tier multiplies four rows with four columns. It chooses which of the sixteen outputs each lane holds: a lane per
/// row and a vector per column, unless it says otherwise.
pub(crate) trait Engine: Sized {
    /// Rows of a panel: as many as leave registers for the rest, a multiple of four.
    const ROWS: usize;
    /// Vectors that hold a factor of four rows.
    const VECTORS: usize = 1;
    /// What [`Engine::add_group`] takes as the scales of the columns: themselves, or where they lie.
    type Scales: Copy;

    /// The scales of the columns that lie here.
    ///
    /// # Safety
    /// They must lie here.
    unsafe fn scales(at: *const u8) -> Self::Scales;

    /// Writes a group of 32 weights of four rows: [`QUAD_BYTES`], of which the first half of the group has one half.
    ///
    /// # Safety
    /// There must be room.
    unsafe fn pack(rows: [[int8x16_t; 2]; 4], to: *mut u8);
    /// The products of four rows with four columns, of half a group or of both halves, from `weights` on, which moves on
    /// behind them. `SMALL` is [`Unpack::SMALL`].
    ///
    /// # Safety
    /// `weights` must be what `pack` wrote, and the CPU have the tier's instructions.
    unsafe fn products<const FROM: usize, const TO: usize, const SMALL: bool>(
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; COLUMNS],
    ) -> [int32x4_t; 4];
    /// [`multiply`], compiled for the tier's instructions.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn multiply<const SCALES: usize, const MINIMA: bool, const SMALL: bool>(
        panel: *const u8,
        columns: (usize, *const u8),
        out: &mut TileMut<'_>,
        c: usize,
    );

    /// A group of 32 values of four columns, as [`Engine::products`] wants them.
    #[inline(always)]
    fn columns(x: [[int8x16_t; 2]; COLUMNS]) -> [[int8x16_t; 2]; COLUMNS] {
        x
    }
    /// Writes the scales of a whole group of four rows, as [`Engine::add_group`] reads them; returns where they end.
    ///
    /// # Safety
    /// There must be room for six vectors.
    #[inline(always)]
    unsafe fn write_scales(scales: float32x4_t, to: *mut u8) -> *mut u8 {
        // SAFETY: the caller has room.
        unsafe { write::<Self>(to, scales) }
    }
    /// Adds the products of a whole group, by their factors: those of the rows, which lie behind the weights, and those of
    /// the columns. Moves on behind the weights and their factors.
    ///
    /// # Safety
    /// As [`Engine::products`].
    unsafe fn add_group<const SMALL: bool>(
        sums: &mut [float32x4_t; 4],
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; COLUMNS],
        scales: Self::Scales,
    );
    /// Factors of four rows, as they lie beside the lanes of the output.
    #[inline(always)]
    fn row_factors(rows: float32x4_t) -> Spread {
        [rows; 2]
    }
    /// Factors of four columns, as they lie beside the lanes of the output.
    #[inline(always)]
    fn column_factors(columns: float32x4_t) -> Spread {
        [columns; 2]
    }
    /// Outputs, each by its row's factor.
    #[inline(always)]
    fn by_rows(values: [float32x4_t; 4], rows: Spread) -> [float32x4_t; 4] {
        // SAFETY: NEON is baseline.
        map4(values, |values| unsafe { vmulq_f32(values, rows[0]) })
    }
    /// Adds values, each by its column's factor.
    #[inline(always)]
    fn add_by_columns(out: &mut [float32x4_t; 4], [a, b, c, d]: [float32x4_t; 4], columns: Spread) {
        // SAFETY: NEON is baseline.
        unsafe {
            out[0] = vfmaq_laneq_f32::<0>(out[0], a, columns[0]);
            out[1] = vfmaq_laneq_f32::<1>(out[1], b, columns[0]);
            out[2] = vfmaq_laneq_f32::<2>(out[2], c, columns[0]);
            out[3] = vfmaq_laneq_f32::<3>(out[3], d, columns[0]);
        }
    }
    /// Adds the product of each row's factor and each column's.
    #[inline(always)]
    fn add_outer(out: &mut [float32x4_t; 4], rows: Spread, columns: Spread) {
        Self::add_by_columns(out, [rows[0]; 4], columns);
    }
    /// Brings outputs into their final order: a lane per row, a vector per column.
    #[inline(always)]
    fn by_column(out: [float32x4_t; 4]) -> [float32x4_t; COLUMNS] {
        out
    }
}

/// Bytes of the panel of rows of `k` weights: at most two scales and two minima per group, in two vectors each, or what a
/// tier makes of one scale.
fn panel_bytes(k: usize) -> usize {
    k.div_ceil(32) * ROWS_MAX / 4 * (QUAD_BYTES + 4 * 2 * 16)
}

/// Panels of rows of `k` weights that share four columns.
fn panels(k: usize) -> usize {
    (CACHED.0 / panel_bytes(k).max(1)).clamp(1, CACHED.1)
}

/// Bytes of scratch: the panels, and four columns. Longer rows never want less.
pub(crate) fn bytes(k: usize) -> usize {
    let panel = panel_bytes(k);
    (CACHED.1 * panel).min(CACHED.0.max(panel)) + k.div_ceil(32) * COLUMN_BYTES
}

/// The product of every row with every column.
///
/// # Safety
/// The lengths must be those of [`crate::Backend::matmul`], `scratch` be [`bytes`] long, and the CPU have what `E` uses.
#[inline(always)]
pub(crate) unsafe fn matmul<B: Unpack, E: Engine>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    let blocks = as_blocks::<B>(weights);
    let (row_blocks, rows) = (x.k / B::LEN, out.rows());
    let (panels, columns) = scratch.split_at_mut(panels(x.k) * panel_bytes(x.k));
    let shared = self::panels(x.k) * E::ROWS;
    for first in (0..rows).step_by(shared) {
        let mut out = out.rows_range(first, rows.min(first + shared));
        // SAFETY: the lengths and the CPU are the caller's promise, and scratch has room for so many panels.
        unsafe {
            for (r, at) in (0..out.rows()).step_by(E::ROWS).zip((0..).step_by(panel_bytes(x.k))) {
                let blocks = &blocks[(first + r) * row_blocks..];
                unpack::<B, E>(blocks, E::ROWS.min(out.rows() - r), x.k, panels.as_mut_ptr().add(at));
            }
            let panels = panels.as_ptr();
            for c in (0..x.n).step_by(COLUMNS) {
                pack::<B, E>(x, c, columns.as_mut_ptr());
                let columns = (x.k, columns.as_ptr());
                match (B::SCALES, B::MINIMA, B::SMALL) {
                    (1, false, true) => E::multiply::<1, false, true>(panels, columns, &mut out, c),
                    (1, false, false) => E::multiply::<1, false, false>(panels, columns, &mut out, c),
                    (1, true, _) => E::multiply::<1, true, true>(panels, columns, &mut out, c),
                    (_, false, _) => E::multiply::<2, false, true>(panels, columns, &mut out, c),
                    (_, true, _) => E::multiply::<2, true, true>(panels, columns, &mut out, c),
                }
            }
        }
    }
}

/// Writes the panel of some rows; where they are fewer than a panel has, the last stands in for the others.
///
/// ```text
/// of each group of 32:
///     of each quad of rows, if the format has minima:
///         minima   [part]  one vector or two                part: the whole group, or each 16
///     of each quad of rows:
///         weights  128 bytes, in the order of the tier
///         scales   [part]  one vector or two; of the whole group, as the tier wants them
/// ```
#[inline(always)]
unsafe fn unpack<B: Unpack, E: Engine>(blocks: &[B], rows: usize, k: usize, panel: *mut u8) {
    let mut to = panel;
    let row_blocks = k / B::LEN;
    for b in 0..row_blocks {
        // SAFETY: the caller's blocks are so many rows, and each row is row_blocks long.
        let block = |row: usize| unsafe { blocks.get_unchecked(row.min(rows - 1) * row_blocks + b) };
        // A panel of fewer rows leaves the rest of these out.
        let quad = |q: usize| map4([0, 1, 2, 3], |i| block(4 * q % E::ROWS + i));
        let quads = map4([0, 1, 2, 3], quad);
        let heads = map4(quads, B::head);
        for g in 0..B::LEN / 32 {
            // SAFETY: a group is no longer than what `bytes` counts for it.
            unsafe {
                if B::MINIMA {
                    for q in 0..E::ROWS / 4 {
                        for part in 0..B::SCALES {
                            to = write::<E>(to, heads[q].minimum(g * B::SCALES + part));
                        }
                    }
                }
                for q in 0..E::ROWS / 4 {
                    to = unpack_quad::<B, E>(quads[q], &heads[q], g, to);
                    if B::SCALES == 1 {
                        to = E::write_scales(heads[q].scale(g), to);
                    } else {
                        to = write::<E>(to, heads[q].scale(2 * g));
                        to = write::<E>(to, heads[q].scale(2 * g + 1));
                    }
                }
            }
        }
    }
}

/// Writes the weights of one group of four rows, and returns where the scales begin.
#[inline(always)]
unsafe fn unpack_quad<B: Unpack, E: Engine>(
    quad: [&B; 4],
    head: &B::Head,
    g: usize,
    panel: *mut u8,
) -> *mut u8 {
    // SAFETY: the caller's panel has room for a group; NEON is baseline.
    unsafe {
        let rows = map4([0, 1, 2, 3], |row| {
            let less = |w| if B::OFFSET == 0 { w } else { vsubq_s8(w, vdupq_n_s8(B::OFFSET)) };
            map2(quad[row].weights(head, row, g), less)
        });
        E::pack(rows, panel);
        panel.add(QUAD_BYTES)
    }
}

/// Writes a factor of four rows, and returns where the next begins.
#[inline(always)]
unsafe fn write<E: Engine>(mut to: *mut u8, factor: float32x4_t) -> *mut u8 {
    for vector in &E::row_factors(factor)[..E::VECTORS] {
        // SAFETY: the caller has room for it; NEON is baseline.
        unsafe {
            vst1q_f32(to.cast(), *vector);
            to = to.add(16);
        }
    }
    to
}

/// Writes four columns from `c` on; those past the last repeat it.
///
/// ```text
/// of each group of 32:
///     sums    [part]  one vector or two, if the format has minima        part: the whole group, or each 16
///     values  128 bytes, in the order of the tier
///     scales  one vector or two
/// ```
#[inline(always)]
unsafe fn pack<B: Unpack, E: Engine>(x: &Columns<'_>, c: usize, columns: *mut u8) {
    let write = |mut to: *mut u8, factor: float32x4_t| {
        for vector in &E::column_factors(factor)[..E::VECTORS] {
            // SAFETY: COLUMN_BYTES counts this vector; NEON is baseline.
            unsafe {
                vst1q_f32(to.cast(), *vector);
                to = to.add(16);
            }
        }
        to
    };
    let mut to = columns;
    let column = map4([0, 1, 2, 3], |i| (c + i).min(x.n - 1));
    // SAFETY: the columns exist and have these groups, and the caller has room for them; NEON is baseline.
    unsafe {
        let mut q = map4(column, |c| x.q.as_ptr().add(c * x.k));
        let mut d = map4(column, |c| x.d.as_ptr().add(c * (x.k / 32)));
        let mut s = map4(column, |c| x.s.as_ptr().add(c * (x.k / 16)));
        for _ in 0..x.k / 32 {
            if B::MINIMA {
                let sums = column_sums(s, B::SCALES);
                for part in 0..B::SCALES {
                    to = write(to, sums[part]);
                }
                s = map4(s, |s| insn::opaque(s.add(2)));
            }
            let values = E::columns(map4(q, |q| [vld1q_s8(q), vld1q_s8(q.add(16))]));
            q = map4(q, |q| insn::opaque(q.add(32)));
            for (i, vector) in values.as_flattened().iter().enumerate() {
                vst1q_s8(to.add(16 * i).cast(), *vector);
            }
            to = write(to.add(COLUMNS * 32), gather(d));
            d = map4(d, |d| insn::opaque(d.add(1)));
        }
    }
}

/// The outputs of all rows of some panels, and of four columns from `c` on, as far as there are so many. The columns are
/// their length and what [`pack`] wrote.
///
/// # Safety
/// The panels must be what [`unpack`] wrote for such a format, [`panel_bytes`] apart, of rows as long as the columns, and
/// the CPU have what `E` uses.
#[inline(always)]
pub(crate) unsafe fn multiply<
    E: Engine,
    const QUADS: usize,
    const SCALES: usize,
    const MINIMA: bool,
    const SMALL: bool,
>(
    panels: *const u8,
    (k, columns): (usize, *const u8),
    out: &mut TileMut<'_>,
    c: usize,
) {
    const { assert!(4 * QUADS == E::ROWS) };
    let (rows, cols) = (out.rows(), COLUMNS.min(out.cols() - c));
    for (r, at) in (0..rows).step_by(E::ROWS).zip((0..).step_by(panel_bytes(k))) {
        let mut sums = [[zero(); 4]; QUADS];
        // SAFETY: unpack wrote this panel, and it and pack wrote so many groups.
        unsafe {
            let (mut panel, mut columns) = (panels.add(at), columns);
            // Two groups a round, unless registers are short anyway.
            let (pairs, rest) = if QUADS == 4 { (k / 64, k / 32 % 2) } else { (0, k / 32) };
            for _ in 0..pairs {
                multiply_group::<E, QUADS, SCALES, MINIMA, SMALL>(&mut sums, &mut panel, &mut columns);
                multiply_group::<E, QUADS, SCALES, MINIMA, SMALL>(&mut sums, &mut panel, &mut columns);
            }
            for _ in 0..rest {
                multiply_group::<E, QUADS, SCALES, MINIMA, SMALL>(&mut sums, &mut panel, &mut columns);
            }
        }
        let sums = sums.map(E::by_column);
        if r + E::ROWS <= rows && cols == COLUMNS {
            for i in 0..COLUMNS {
                // SAFETY: the column has so many rows, and the tile is borrowed exclusively; NEON is baseline.
                unsafe {
                    let column = out.as_mut_ptr().add((c + i) * out.stride() + r);
                    for quad in 0..QUADS {
                        vst1q_f32(column.add(4 * quad), sums[quad][i]);
                    }
                }
            }
            continue;
        }
        for quad in 0..QUADS {
            for i in 0..cols {
                store(out, r + 4 * quad, c + i, sums[quad][i]);
            }
        }
    }
}

/// Adds the products of one group, and moves on behind it.
#[inline(always)]
unsafe fn multiply_group<
    E: Engine,
    const QUADS: usize,
    const SCALES: usize,
    const MINIMA: bool,
    const SMALL: bool,
>(
    sums: &mut [[float32x4_t; 4]; QUADS],
    panel: &mut *const u8,
    columns: &mut *const u8,
) {
    // SAFETY: the caller has this group; the CPU is its promise.
    unsafe {
        let factor = E::VECTORS * 16;
        if MINIMA {
            for part in 0..SCALES {
                let s = load::<E>(columns.add(part * factor));
                for quad in 0..QUADS {
                    let minima = load::<E>(panel.add((quad * SCALES + part) * factor));
                    E::add_outer(&mut sums[quad], minima, s);
                }
            }
            *columns = insn::opaque(columns.add(SCALES * factor));
            *panel = insn::opaque(panel.add(QUADS * SCALES * factor));
            // Before the values are loaded, which want these registers.
            insn::settle(sums.as_flattened_mut());
            compiler_fence(Ordering::SeqCst);
        }
        let x = insn::next_values(columns);
        let d = *columns;
        let scales = E::scales(d);
        *columns = insn::opaque(d.add(factor));
        // Written out, lest the compiler makes it a loop, and keeps the outputs in memory.
        multiply_quad::<E, SCALES, SMALL>(&mut sums[0], panel, &x, d, scales);
        multiply_quad::<E, SCALES, SMALL>(&mut sums[1], panel, &x, d, scales);
        if QUADS > 2 {
            multiply_quad::<E, SCALES, SMALL>(&mut sums[2], panel, &x, d, scales);
            multiply_quad::<E, SCALES, SMALL>(&mut sums[QUADS - 1], panel, &x, d, scales);
        }
    }
}

/// Adds the products of one group of four rows, and moves the panel on behind it; The scales of the columns lie at
/// `d`, and are `scales`.
#[inline(always)]
unsafe fn multiply_quad<E: Engine, const SCALES: usize, const SMALL: bool>(
    sums: &mut [float32x4_t; 4],
    panel: &mut *const u8,
    x: &[[int8x16_t; 2]; COLUMNS],
    d: *const u8,
    scales: E::Scales,
) {
    // Keeps the loads of two quads apart: both at once would not fit the registers.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the caller has this group; the CPU is its promise.
    unsafe {
        if SCALES == 1 {
            E::add_group::<SMALL>(sums, panel, x, scales);
        } else {
            let scales = panel.add(QUAD_BYTES);
            let first = map4(E::products::<0, 1, SMALL>(panel, x), |products| vcvtq_f32_s32(products));
            E::add_by_columns(sums, E::by_rows(first, load::<E>(scales)), load::<E>(d));
            let last = map4(E::products::<1, 2, SMALL>(panel, x), |products| vcvtq_f32_s32(products));
            E::add_by_columns(sums, E::by_rows(last, load::<E>(scales.add(E::VECTORS * 16))), load::<E>(d));
            *panel = insn::opaque(scales.add(2 * E::VECTORS * 16));
        }
        insn::settle(sums);
    }
}

/// The factor of four rows or columns that lies here.
#[inline(always)]
unsafe fn load<E: Engine>(factor: *const u8) -> Spread {
    // SAFETY: the caller has one; NEON is baseline.
    unsafe {
        let first = vld1q_f32(factor.cast());
        [first, if E::VECTORS == 2 { vld1q_f32(factor.add(16).cast()) } else { first }]
    }
}

/// One value of each column.
#[inline(always)]
unsafe fn gather([a, b, c, d]: [*const f32; 4]) -> float32x4_t {
    // SAFETY: the caller has one value at each place; NEON is baseline.
    unsafe {
        let ab = vld1q_lane_f32::<1>(b, vld1q_dup_f32(a));
        vld1q_lane_f32::<3>(d, vld1q_lane_f32::<2>(c, ab))
    }
}

/// The sums of a group of each column: of its two halves, or of both together.
#[inline(always)]
unsafe fn column_sums(s: [*const f32; 4], parts: usize) -> [float32x4_t; 2] {
    // SAFETY: the caller has two values at each place; NEON is baseline.
    unsafe {
        // A column of an odd number of floats lies at no multiple of eight bytes. Seen as floats of eight bytes, pairs are
        // loaded where they are wanted, and not through other registers.
        let [a, b, c, d] = map4(s, |s| s.cast::<f64>().read_unaligned());
        let ab = vreinterpretq_f32_f64(vsetq_lane_f64::<1>(b, vdupq_n_f64(a)));
        let cd = vreinterpretq_f32_f64(vsetq_lane_f64::<1>(d, vdupq_n_f64(c)));
        if parts == 1 { [vpaddq_f32(ab, cd); 2] } else { [vuzp1q_f32(ab, cd), vuzp2q_f32(ab, cd)] }
    }
}
