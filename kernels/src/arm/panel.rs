//! The product with many columns, for quantised weights: some rows at a time are unpacked into scratch, in the order in
//! which a tier's instructions want them, and multiplied with every column, four of which are brought into such an order
//! as well. Generic in the tier; only what unpacks is compiled for each format, and what multiplies for each kind of them.
//! Invariant: a few panels and four columns are read from end to end, and stay in the caches meanwhile.

use core::arch::aarch64::*;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::arm::hint;
use crate::arm::narrow::store;
use crate::arm::runs;
use crate::arm::unpack::{Factors, Unpack, map2, map4, zero};
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
    /// Bytes of the scales of a whole group of four rows, as [`Engine::write_scales`] writes them.
    const SCALE_BYTES: usize = 16 * Self::VECTORS;
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
        panels: (*const u8, usize),
        columns: (usize, *const u8),
        out: &mut TileMut<'_>,
        c: usize,
    );

    /// A group of 32 values of four columns, as [`Engine::products`] wants them.
    #[inline(always)]
    fn columns(x: [[int8x16_t; 2]; COLUMNS]) -> [[int8x16_t; 2]; COLUMNS] {
        x
    }
    /// Writes the scales of a whole group of four rows, as [`Engine::add_group`] reads them.
    ///
    /// # Safety
    /// There must be room for [`Engine::SCALE_BYTES`].
    #[inline(always)]
    unsafe fn write_scales(scales: float32x4_t, to: *mut u8) {
        // SAFETY: the caller has room.
        unsafe { write::<Self>(to, scales) };
    }
    /// Adds the products of a whole group, by their factors: those of the rows, which lie behind the weights, and those of
    /// the columns. Moves on behind the weights and their factors; `LAST` are the last rows of a panel.
    ///
    /// # Safety
    /// As [`Engine::products`].
    unsafe fn add_group<const SMALL: bool, const LAST: bool>(
        sums: &mut [float32x4_t; 4],
        weights: &mut *const u8,
        x: &[[int8x16_t; 2]; COLUMNS],
        scales: &mut Self::Scales,
    );
    /// What lies behind the scales of the columns at `at`, of which these were used for all rows.
    #[inline(always)]
    fn behind(_scales: Self::Scales, at: *const u8) -> *const u8 {
        hint::opaque(at.wrapping_add(16 * Self::VECTORS))
    }
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

/// Bytes of scratch: the panels, and four columns. Longer rows never want less.
pub(crate) fn bytes(k: usize) -> usize {
    // At most two scales and two minima per group, in two vectors each, or what a tier makes of one scale.
    let panel = k.div_ceil(32) * ROWS_MAX / 4 * (QUAD_BYTES + 4 * 2 * 16);
    (CACHED.1 * panel).min(CACHED.0.max(panel)) + k.div_ceil(32) * COLUMN_BYTES
}

/// How a tier multiplies many columns with a format.
pub(crate) struct Panels {
    /// Rows of a panel.
    rows: usize,
    /// Bytes of a group of all of them.
    group: usize,
    /// Weights and bytes of a block.
    block: (usize, usize),
    unpack: unsafe fn(*const u8, usize, usize, *mut u8),
    pack: unsafe fn(&Columns<'_>, usize, *mut u8),
    multiply: unsafe fn((*const u8, usize), (usize, *const u8), &mut TileMut<'_>, usize),
}

impl Panels {
    pub(crate) const fn new<B: Unpack, E: Engine>() -> Panels {
        Panels {
            rows: E::ROWS,
            group: E::ROWS / 4 * (minima_bytes::<B, E>() + weights_bytes::<B, E>()),
            block: (B::LEN, size_of::<B>()),
            unpack: unpack::<B, E>,
            pack: match (B::MINIMA, B::SCALES) {
                (false, _) => pack::<E, 0>,
                (true, 1) => pack::<E, 1>,
                (true, _) => pack::<E, 2>,
            },
            multiply: match (B::SCALES, B::MINIMA, B::SMALL) {
                (1, false, true) => E::multiply::<1, false, true>,
                (1, false, false) => E::multiply::<1, false, false>,
                (1, true, _) => E::multiply::<1, true, true>,
                (_, false, _) => E::multiply::<2, false, true>,
                (_, true, _) => E::multiply::<2, true, true>,
            },
        }
    }
}

/// Bytes of the minima of a group of four rows.
const fn minima_bytes<B: Unpack, E: Engine>() -> usize {
    if B::MINIMA { B::SCALES * E::VECTORS * 16 } else { 0 }
}

/// Bytes of the weights of a group of four rows, and of their scales.
const fn weights_bytes<B: Unpack, E: Engine>() -> usize {
    QUAD_BYTES + if B::SCALES == 1 { E::SCALE_BYTES } else { 2 * E::VECTORS * 16 }
}

/// The product of every row with every column.
///
/// # Safety
/// The lengths must be those of [`crate::Backend::matmul`], `scratch` be [`bytes`] long, and the CPU have what the tier uses.
pub(crate) unsafe fn matmul(
    product: &Panels,
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    let (rows, row_bytes) = (out.rows(), x.k / product.block.0 * product.block.1);
    let panel = x.k / 32 * product.group;
    // Panels that share four columns.
    let most = (CACHED.0 / panel.max(1)).clamp(1, CACHED.1);
    let (panels, columns) = scratch.split_at_mut(most * panel);
    for first in (0..rows).step_by(most * product.rows) {
        let mut out = out.rows_range(first, rows.min(first + most * product.rows));
        // SAFETY: the lengths and the CPU are the caller's promise, and scratch has room for so many panels.
        unsafe {
            for (r, at) in (0..out.rows()).step_by(product.rows).zip((0..).step_by(panel.max(1))) {
                let weights = weights.as_ptr().add((first + r) * row_bytes);
                let rows = product.rows.min(out.rows() - r);
                (product.unpack)(weights, rows, x.k, panels.as_mut_ptr().add(at));
            }
            for c in (0..x.n).step_by(COLUMNS) {
                (product.pack)(x, c, columns.as_mut_ptr());
                (product.multiply)((panels.as_ptr(), panel), (x.k / 32, columns.as_ptr()), &mut out, c);
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
///
/// # Safety
/// There must be so many rows of `k` weights, and room for a panel.
unsafe fn unpack<B: Unpack, E: Engine>(weights: *const u8, rows: usize, k: usize, panel: *mut u8) {
    let blocks = k / B::LEN;
    let (quads, minima_bytes) = (E::ROWS / 4, minima_bytes::<B, E>());
    let group_bytes = quads * (minima_bytes + weights_bytes::<B, E>());
    for q in 0..hint::unknown(quads) {
        // SAFETY: the rows exist, and each is so many blocks long; a group is no longer than what `bytes` counts for it.
        unsafe {
            let row = |i: usize| weights.cast::<B>().add((4 * q + i).min(rows - 1) * blocks);
            let mut quad = map4([0, 1, 2, 3], row);
            let mut minima = panel.add(q * minima_bytes);
            let mut to = panel.add(quads * minima_bytes + q * weights_bytes::<B, E>());
            for _ in 0..blocks {
                let block = map4(quad, |row| &*row);
                let head = B::head(block);
                let mut first = 0;
                // Not unrolled farther than the groups that share their bytes.
                let groups = if B::LEN == 32 { 1 } else { hint::unknown(B::LEN / 32) };
                while first < groups {
                    for g in first..first + B::STEP {
                        if B::MINIMA {
                            let mut minima = minima;
                            for part in 0..B::SCALES {
                                minima = write::<E>(minima, head.minimum(g * B::SCALES + part));
                            }
                        }
                        let scales = unpack_quad::<B, E>(block, &head, g, to);
                        if B::SCALES == 1 {
                            E::write_scales(head.scale(g), scales);
                        } else {
                            let last = write::<E>(scales, head.scale(2 * g));
                            write::<E>(last, head.scale(2 * g + 1));
                        }
                        (to, minima) = (to.add(group_bytes), minima.add(group_bytes));
                    }
                    first += B::STEP;
                }
                quad = map4(quad, |row| row.add(1));
            }
        }
    }
}

/// Writes the weights of one group of four rows, and returns where the scales begin.
///
/// # Safety
/// There must be room for the group.
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
///
/// # Safety
/// There must be room for it.
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
///     sums    [part]  one vector or two, if the format has minima        part: the whole group, or each 16; there are `SUMS`
///     values  128 bytes, in the order of the tier
///     scales  one vector or two
/// ```
///
/// # Safety
/// There must be that column, and room for four.
unsafe fn pack<E: Engine, const SUMS: usize>(x: &Columns<'_>, c: usize, columns: *mut u8) {
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
            if SUMS > 0 {
                let sums = column_sums(s, SUMS);
                for part in 0..SUMS {
                    to = write(to, sums[part]);
                }
                s = map4(s, |s| hint::opaque(s.add(2)));
            }
            let values = E::columns(map4(q, |q| [vld1q_s8(q), vld1q_s8(q.add(16))]));
            q = map4(q, |q| hint::opaque(q.add(32)));
            for (i, vector) in values.as_flattened().iter().enumerate() {
                vst1q_s8(to.add(16 * i).cast(), *vector);
            }
            to = write(to.add(COLUMNS * 32), gather(d));
            d = map4(d, |d| hint::opaque(d.add(1)));
        }
    }
}

/// The outputs of all rows of some panels, and of four columns from `c` on, as far as there are so many. The panels are
/// where the first lies and how far they are apart; the columns are their groups and what [`pack`] wrote.
///
/// # Safety
/// The panels must be what [`unpack`] wrote for such a format, of rows as long as the columns, and the CPU have what `E`
/// uses.
#[inline(always)]
pub(crate) unsafe fn multiply<
    E: Engine,
    const QUADS: usize,
    const SCALES: usize,
    const MINIMA: bool,
    const SMALL: bool,
>(
    (panels, stride): (*const u8, usize),
    (groups, columns): (usize, *const u8),
    out: &mut TileMut<'_>,
    c: usize,
) {
    const { assert!(4 * QUADS == E::ROWS) };
    let (rows, cols) = (out.rows(), COLUMNS.min(out.cols() - c));
    for (r, at) in (0..rows).step_by(E::ROWS).zip((0..).step_by(stride.max(1))) {
        let mut sums = [[zero(); 4]; QUADS];
        // SAFETY: unpack wrote this panel, and it and pack wrote so many groups.
        unsafe {
            let (mut panel, mut columns) = (panels.add(at), columns);
            // Two groups a round, unless registers are short anyway.
            let (pairs, rest) = if QUADS == 4 { (groups / 2, groups % 2) } else { (0, groups) };
            for _ in 0..pairs {
                multiply_group::<E, QUADS, SCALES, MINIMA, SMALL>(&mut sums, &mut panel, &mut columns);
                multiply_group::<E, QUADS, SCALES, MINIMA, SMALL>(&mut sums, &mut panel, &mut columns);
            }
            for _ in 0..rest {
                multiply_group::<E, QUADS, SCALES, MINIMA, SMALL>(&mut sums, &mut panel, &mut columns);
            }
        }
        // Written out as below, lest the compiler keeps the sums in memory.
        if r + E::ROWS <= rows && cols == COLUMNS {
            // SAFETY: the columns have so many rows, and the tile is borrowed exclusively.
            unsafe {
                let stride = out.stride();
                let to = out.as_mut_ptr().add(c * stride + r);
                if QUADS > 2 {
                    let last = E::by_column(sums[QUADS - 1]);
                    let quads = [E::by_column(sums[0]), E::by_column(sums[1]), E::by_column(sums[2]), last];
                    write_four(to, map4(quads, |[four, ..]| four));
                    write_four(to.add(stride), map4(quads, |[_, four, ..]| four));
                    write_four(to.add(2 * stride), map4(quads, |[.., four, _]| four));
                    write_four(to.add(3 * stride), map4(quads, |[.., four]| four));
                } else {
                    let quads = [E::by_column(sums[0]), E::by_column(sums[1])];
                    write_two(to, map2(quads, |[four, ..]| four));
                    write_two(to.add(stride), map2(quads, |[_, four, ..]| four));
                    write_two(to.add(2 * stride), map2(quads, |[.., four, _]| four));
                    write_two(to.add(3 * stride), map2(quads, |[.., four]| four));
                }
            }
        } else {
            let mut quads = [[zero(); COLUMNS]; QUADS];
            quads[0] = E::by_column(sums[0]);
            quads[1] = E::by_column(sums[1]);
            if QUADS > 2 {
                quads[2] = E::by_column(sums[2]);
                quads[QUADS - 1] = E::by_column(sums[QUADS - 1]);
            }
            write_edge(&quads, out, r, c);
        }
    }
}

/// Writes eight rows of a column.
///
/// # Safety
/// There must be room for them.
#[inline(always)]
unsafe fn write_two(to: *mut f32, [a, b]: [float32x4_t; 2]) {
    // SAFETY: the caller has room for them; NEON is baseline.
    unsafe {
        vst1q_f32(to, a);
        vst1q_f32(to.add(4), b);
    }
}

/// Writes sixteen rows of a column.
///
/// # Safety
/// There must be room for them.
#[inline(always)]
unsafe fn write_four(to: *mut f32, [a, b, c, d]: [float32x4_t; 4]) {
    // SAFETY: the caller has room for them.
    unsafe {
        write_two(to, [a, b]);
        write_two(to.add(8), [c, d]);
    }
}

/// Writes those outputs of a panel that the tile has: `[quad][column]`, a lane per row.
#[inline(never)]
fn write_edge(quads: &[[float32x4_t; COLUMNS]], out: &mut TileMut<'_>, r: usize, c: usize) {
    for (quad, columns) in quads.iter().enumerate() {
        for (i, &four) in columns.iter().enumerate().take(out.cols() - c) {
            store(out, r + 4 * quad, c + i, four);
        }
    }
}

/// Adds the products of one group, and moves on behind it.
///
/// # Safety
/// The group must be there, as [`unpack`] and [`pack`] wrote it, and the CPU have what `E` uses.
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
            *columns = hint::opaque(columns.add(SCALES * factor));
            *panel = hint::opaque(panel.add(QUADS * SCALES * factor));
            // Before the values are loaded, which want these registers.
            hint::settle(sums.as_flattened_mut());
            compiler_fence(Ordering::SeqCst);
        }
        let x = runs::next_values(columns);
        let d = *columns;
        let mut scales = E::scales(d);
        // Written out, lest the compiler makes it a loop, and keeps the outputs in memory.
        multiply_quad::<E, SCALES, SMALL, false>(&mut sums[0], panel, &x, d, &mut scales);
        if QUADS > 2 {
            multiply_quad::<E, SCALES, SMALL, false>(&mut sums[1], panel, &x, d, &mut scales);
            multiply_quad::<E, SCALES, SMALL, false>(&mut sums[2], panel, &x, d, &mut scales);
        }
        multiply_quad::<E, SCALES, SMALL, true>(&mut sums[QUADS - 1], panel, &x, d, &mut scales);
        *columns = if SCALES == 1 { E::behind(scales, d) } else { hint::opaque(d.add(factor)) };
    }
}

/// Adds the products of one group of four rows, and moves the panel on behind it. The scales of the columns lie at
/// `d`, and are `scales`.
///
/// # Safety
/// The group must be there, as [`unpack`] and [`pack`] wrote it, and the CPU have what `E` uses.
#[inline(always)]
unsafe fn multiply_quad<E: Engine, const SCALES: usize, const SMALL: bool, const LAST: bool>(
    sums: &mut [float32x4_t; 4],
    panel: &mut *const u8,
    x: &[[int8x16_t; 2]; COLUMNS],
    d: *const u8,
    scales: &mut E::Scales,
) {
    // Keeps the loads of two quads apart: both at once would not fit the registers.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the caller has this group; the CPU is its promise.
    unsafe {
        if SCALES == 1 {
            E::add_group::<SMALL, LAST>(sums, panel, x, scales);
        } else {
            let scales = panel.add(QUAD_BYTES);
            let first = map4(E::products::<0, 1, SMALL>(panel, x), |products| vcvtq_f32_s32(products));
            E::add_by_columns(sums, E::by_rows(first, load::<E>(scales)), load::<E>(d));
            let last = map4(E::products::<1, 2, SMALL>(panel, x), |products| vcvtq_f32_s32(products));
            E::add_by_columns(sums, E::by_rows(last, load::<E>(scales.add(E::VECTORS * 16))), load::<E>(d));
            *panel = hint::opaque(scales.add(2 * E::VECTORS * 16));
        }
        hint::settle(sums);
    }
}

/// The factor of four rows or columns that lies here.
///
/// # Safety
/// It must be there.
#[inline(always)]
unsafe fn load<E: Engine>(factor: *const u8) -> Spread {
    // SAFETY: the caller has one; NEON is baseline.
    unsafe {
        let first = vld1q_f32(factor.cast());
        [first, if E::VECTORS == 2 { vld1q_f32(factor.add(16).cast()) } else { first }]
    }
}

/// One value of each column.
///
/// # Safety
/// There must be a value at each place.
#[inline(always)]
unsafe fn gather([a, b, c, d]: [*const f32; 4]) -> float32x4_t {
    // SAFETY: the caller has one value at each place; NEON is baseline.
    unsafe {
        let ab = vld1q_lane_f32::<1>(b, vld1q_dup_f32(a));
        vld1q_lane_f32::<3>(d, vld1q_lane_f32::<2>(c, ab))
    }
}

/// The sums of a group of each column: of its two halves, or of both together.
///
/// # Safety
/// There must be two values at each place.
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
