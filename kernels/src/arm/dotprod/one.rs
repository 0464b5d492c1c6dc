//! The product with one column, for formats whose block is 32 weights: what decoding does most.
//!
//! A tile is some quads of rows. Each row has a register of four running sums, which a block adds to; four rows' registers
//! are then added up to one, a lane per row, whose growth is the block's product. The sums start as [`START`], so that they
//! are floats without a conversion.
//! Invariant: the float operations of an output are those of [`crate::arm::product`], in the same order.

use core::arch::aarch64::*;

use crate::arm::hint;
use crate::arm::insn;
use crate::arm::narrow::store;
use crate::arm::product::Few;
use crate::arm::runs::{self, START};
use crate::arm::unpack::{Factors, FifthBits, Unpack, pairs, zero};
use crate::blocks::*;
use crate::columns::Columns;
use crate::tile::TileMut;

/// A block of 32 weights that is read by instructions chosen by hand, of four rows at a time.
trait Quad: Unpack {
    /// Quads of rows of a tile: as many as leave registers for the rest.
    const QUADS: usize = 3;
    /// How many blocks' products surely add up to less than 2^22; a multiple of four.
    const EXACT: usize = 64;
    /// What every block needs in registers.
    type Constants: Copy;

    /// Those.
    fn constants() -> Self::Constants;

    /// Adds the products of one block of each row to its sums, and moves the rows on behind it. Returns their factors.
    ///
    /// # Safety
    /// The blocks must be there, and the CPU must have dot products.
    unsafe fn add(
        rows: &mut [*const u8; 4],
        sums: &mut [int32x4_t; 4],
        x: [int8x16_t; 2],
        constants: Self::Constants,
    ) -> Self::Head;
}

impl Quad for BlockQ4_0 {
    type Constants = uint8x16_t;

    #[inline(always)]
    fn constants() -> uint8x16_t {
        hint::kept([15; 16])
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn add(
        rows: &mut [*const u8; 4],
        sums: &mut [int32x4_t; 4],
        x: [int8x16_t; 2],
        low: uint8x16_t,
    ) -> float32x4_t {
        // SAFETY: the caller has these blocks and dot products.
        unsafe {
            let d = runs::next_halves(rows);
            runs::sdot_nibbles(sums, rows, x, low);
            insn::f16_low_to_f32(d)
        }
    }
}

impl Quad for BlockQ4_1 {
    const QUADS: usize = 2;
    type Constants = uint8x16_t;

    #[inline(always)]
    fn constants() -> uint8x16_t {
        hint::kept([15; 16])
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn add(
        rows: &mut [*const u8; 4],
        sums: &mut [int32x4_t; 4],
        x: [int8x16_t; 2],
        low: uint8x16_t,
    ) -> [float32x4_t; 2] {
        // SAFETY: the caller has these blocks and dot products.
        unsafe {
            let dm = runs::next_words(rows);
            runs::sdot_nibbles(sums, rows, x, low);
            pairs(dm)
        }
    }
}

impl Quad for BlockQ5_0 {
    const QUADS: usize = 2;
    type Constants = ([[uint8x16_t; 2]; 2], uint8x16_t);

    #[inline(always)]
    fn constants() -> Self::Constants {
        FifthBits::<2>::constants()
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn add(
        rows: &mut [*const u8; 4],
        sums: &mut [int32x4_t; 4],
        x: [int8x16_t; 2],
        (byte, bit): Self::Constants,
    ) -> FifthBits<2> {
        // SAFETY: the caller has these blocks and dot products.
        unsafe {
            let head = runs::next_heads::<6>(rows);
            runs::sdot_five_bits(sums, rows, x, head, byte, bit);
            FifthBits(head)
        }
    }
}

impl Quad for BlockQ5_1 {
    const QUADS: usize = 2;
    type Constants = ([[uint8x16_t; 2]; 2], uint8x16_t);

    #[inline(always)]
    fn constants() -> Self::Constants {
        FifthBits::<4>::constants()
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn add(
        rows: &mut [*const u8; 4],
        sums: &mut [int32x4_t; 4],
        x: [int8x16_t; 2],
        (byte, bit): Self::Constants,
    ) -> FifthBits<4> {
        // SAFETY: the caller has these blocks and dot products.
        unsafe {
            let head = runs::next_heads::<8>(rows);
            runs::sdot_five_bits(sums, rows, x, head, byte, bit);
            FifthBits(head)
        }
    }
}

impl Quad for BlockQ8_0 {
    const EXACT: usize = 8;
    type Constants = ();

    #[inline(always)]
    fn constants() {}

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn add(
        rows: &mut [*const u8; 4],
        sums: &mut [int32x4_t; 4],
        x: [int8x16_t; 2],
        _: (),
    ) -> float32x4_t {
        // SAFETY: the caller has these blocks and dot products.
        unsafe {
            let d = runs::next_halves(rows);
            runs::sdot_bytes(sums, rows, x);
            insn::f16_low_to_f32(d)
        }
    }
}

/// The product with one column of a format that is multiplied here.
pub(super) const fn product_of(format: Format) -> Option<Few> {
    match format {
        Format::Q8_0 => Some(matmul::<BlockQ8_0>),
        Format::Q4_0 => Some(matmul::<BlockQ4_0>),
        Format::Q4_1 => Some(matmul::<BlockQ4_1>),
        Format::Q5_0 => Some(matmul::<BlockQ5_0>),
        Format::Q5_1 => Some(matmul::<BlockQ5_1>),
        _ => None,
    }
}

/// The product of every row with the only column, whose terms are those of [`crate::arm::product`].
///
/// # Safety
/// The lengths must be those of [`crate::Backend::matmul`] for one column, and the CPU must have dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn matmul<B: Quad>(weights: &[u8], x: &Columns<'_>, terms: &[f32], out: &mut TileMut<'_>) {
    let rows = out.rows();
    let whole = rows - rows % (4 * B::QUADS);
    // SAFETY: the tiles start inside the output; the rest is the caller's promise.
    unsafe {
        for r in (0..whole).step_by(4 * B::QUADS) {
            match B::QUADS {
                2 => tile::<B, 2>(weights, x, terms, out, r),
                _ => tile::<B, 3>(weights, x, terms, out, r),
            }
        }
        for r in (whole..rows).step_by(4) {
            tile::<B, 1>(weights, x, terms, out, r);
        }
    }
}

/// Where the next block of each row lies, and what was summed.
struct Tile<const QUADS: usize> {
    rows: [[*const u8; 4]; QUADS],
    /// Per row, four integers whose total is the bits of [`START`] and the products since.
    running: [[int32x4_t; 4]; QUADS],
    /// That total before the next block, a lane per row.
    before: [float32x4_t; QUADS],
    /// The output, a lane per row.
    out: [float32x4_t; QUADS],
}

/// The outputs of `4 * QUADS` rows from `r` on. They all exist, unless it is one quad.
///
/// # Safety
/// As [`matmul`]; row `r` must exist, and unless it is one quad all rows of the tile.
#[inline(always)]
unsafe fn tile<B: Quad, const QUADS: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    terms: &[f32],
    out: &mut TileMut<'_>,
    r: usize,
) {
    let blocks = x.k / 32;
    let row_bytes = blocks * size_of::<B>();
    // SAFETY: rows past the last are replaced by it, so that every block that is read is inside the weights, whose length
    // Backend::matmul checked with that of the column; the caller has dot products.
    unsafe {
        let first = weights.as_ptr().add(r * row_bytes);
        let last = out.rows() - 1 - r;
        let start = vsetq_lane_s32::<0>(START.to_bits() as i32, vdupq_n_s32(0));
        let mut tile = Tile {
            rows: [[first; 4]; QUADS],
            running: [[start; 4]; QUADS],
            before: [vdupq_n_f32(START); QUADS],
            out: [zero(); QUADS],
        };
        for (i, row) in tile.rows.as_flattened_mut().iter_mut().enumerate() {
            let i = if QUADS == 1 { i.min(last) } else { i };
            *row = first.wrapping_add(i * row_bytes);
        }
        let constants = B::constants();
        let (mut q, mut d, mut terms) = (x.q.as_ptr(), x.d.as_ptr(), terms.as_ptr());
        let mut left = blocks;
        while left > 0 {
            tile.running = [[start; 4]; QUADS];
            tile.before = [vdupq_n_f32(START); QUADS];
            let now = left.min(B::EXACT);
            for _ in 0..now / 4 {
                let d4 = vld1q_f32(d);
                let terms4 = if has_terms::<B>() { vld1q_f32(terms) } else { d4 };
                block::<B, QUADS, 0>(&mut tile, values(q), d4, terms4, constants);
                block::<B, QUADS, 1>(&mut tile, values(q.add(32)), d4, terms4, constants);
                block::<B, QUADS, 2>(&mut tile, values(q.add(64)), d4, terms4, constants);
                block::<B, QUADS, 3>(&mut tile, values(q.add(96)), d4, terms4, constants);
                (q, d) = (hint::opaque(q.add(128)), hint::opaque(d.add(4)));
                if has_terms::<B>() {
                    terms = hint::opaque(terms.add(4));
                }
            }
            if now % 4 >= 2 {
                let d2 = vcombine_f32(vld1_f32(d), vdup_n_f32(0.0));
                let terms2 =
                    if has_terms::<B>() { vcombine_f32(vld1_f32(terms), vdup_n_f32(0.0)) } else { d2 };
                block::<B, QUADS, 0>(&mut tile, values(q), d2, terms2, constants);
                block::<B, QUADS, 1>(&mut tile, values(q.add(32)), d2, terms2, constants);
                (q, d) = (q.add(64), d.add(2));
                if has_terms::<B>() {
                    terms = terms.add(2);
                }
            }
            if now % 2 == 1 {
                let d1 = vld1q_dup_f32(d);
                let terms1 = if has_terms::<B>() { vld1q_dup_f32(terms) } else { d1 };
                block::<B, QUADS, 0>(&mut tile, values(q), d1, terms1, constants);
            }
            left -= now;
        }
        for quad in 0..QUADS {
            if QUADS == 1 {
                store(out, r, 0, tile.out[quad]);
            } else {
                vst1q_f32(out.as_mut_ptr().add(r + 4 * quad), tile.out[quad]);
            }
        }
    }
}

/// The values of a group.
///
/// # Safety
/// There must be 32.
#[inline(always)]
unsafe fn values(q: *const i8) -> [int8x16_t; 2] {
    // SAFETY: the caller has 32.
    unsafe { [vld1q_s8(q), vld1q_s8(q.add(16))] }
}

/// Whether the format has minima or an offset.
const fn has_terms<B: Quad>() -> bool {
    B::MINIMA || B::OFFSET != 0
}

/// Adds the products of one block of each row; the column's scale and term are in lane `LANE`.
///
/// # Safety
/// The block of each row must be there, the running sums not be full, and the CPU have dot products.
#[inline(always)]
unsafe fn block<B: Quad, const QUADS: usize, const LANE: i32>(
    tile: &mut Tile<QUADS>,
    x: [int8x16_t; 2],
    d: float32x4_t,
    terms: float32x4_t,
    constants: B::Constants,
) {
    for quad in 0..QUADS {
        // SAFETY: the caller has this block of each row, and dot products.
        unsafe {
            let head = B::add(&mut tile.rows[quad], &mut tile.running[quad], x, constants);
            let [a, b, c, e] = tile.running[quad];
            let total = vreinterpretq_f32_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, e)));
            let mut sum = vsubq_f32(total, tile.before[quad]);
            tile.before[quad] = total;
            let out = &mut tile.out[quad];
            if B::OFFSET != 0 {
                sum = vfmsq_laneq_f32::<LANE>(sum, vdupq_n_f32(f32::from(B::OFFSET)), terms);
            } else if B::MINIMA {
                *out = vfmaq_laneq_f32::<LANE>(*out, head.minimum(0), terms);
            }
            *out = vfmaq_laneq_f32::<LANE>(*out, vmulq_f32(sum, head.scale(0)), d);
        }
    }
    hint::settle(&mut tile.out);
}
