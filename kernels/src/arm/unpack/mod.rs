//! How NEON reads the weights of a block: bytes for the integer product, and the factors of four rows at a time.
//! Every kernel of every Arm tier reads quantised weights through [`Unpack`]; nothing here needs more than NEON,
//! which every AArch64 target has.

use core::arch::aarch64::*;

use crate::arm::insn;
use crate::blocks::{Block, F16};

mod single;
mod supers;

pub(crate) use single::FifthBits;

/// A block whose weights are `scale[i] * (q - OFFSET) + minimum[i]`, in groups of 32.
pub(crate) trait Unpack: Block {
    /// Groups that share the bytes they are loaded from: kernels unroll so many.
    const STEP: usize = 1;
    /// Scales (and minima) per group: 1, or 2 where each 16 weights have their own.
    const SCALES: usize = 1;
    /// What is subtracted from every weight.
    const OFFSET: i8 = 0;
    /// Whether there are minima.
    const MINIMA: bool = false;
    /// Whether four products with activations always fit 16 bits: `4 * |q| * 127 <= 32767`. Two always do.
    const SMALL: bool = true;

    /// Whether products of two columns and of three are compiled for it, and not left to panels: each costs size, so
    /// formats have them in which models have much of their weights.
    const COMMON: bool = false;
    /// Whether few registers are enough to unpack weights, so that eight rows can be read at once.
    const LIGHT: bool = false;
    /// Whether unpacking takes so many registers that rows go one after the other.
    const CROWDED: bool = false;
    /// Bytes of the head, where it lies before the weights.
    const HEAD: usize = 0;

    /// What the factors of four rows' blocks are computed from.
    type Head: Factors;

    /// Reads the heads of four rows' blocks.
    fn head(blocks: [&Self; 4]) -> Self::Head;
    /// The heads of eight rows' blocks.
    #[inline(always)]
    fn heads(blocks: [[&Self; 4]; 2]) -> [Self::Head; 2] {
        map2(blocks, Self::head)
    }
    /// The weights of group `g`, in order: `q` before the offset. This is the block of one of the four rows of `head`.
    fn weights(&self, head: &Self::Head, row: usize, g: usize) -> [int8x16_t; 2];
}

/// The factors of four rows' blocks, a lane per row.
pub(crate) trait Factors: Copy {
    /// Scale `i` of the block.
    fn scale(&self, i: usize) -> float32x4_t;
    /// Minimum `i` of the block, where the format has minima.
    fn minimum(&self, i: usize) -> float32x4_t;
}

/// One scale.
impl Factors for float32x4_t {
    #[inline(always)]
    fn scale(&self, _i: usize) -> float32x4_t {
        *self
    }

    #[inline(always)]
    fn minimum(&self, _i: usize) -> float32x4_t {
        zero()
    }
}

/// One scale and one minimum.
impl Factors for [float32x4_t; 2] {
    #[inline(always)]
    fn scale(&self, _i: usize) -> float32x4_t {
        self[0]
    }

    #[inline(always)]
    fn minimum(&self, _i: usize) -> float32x4_t {
        self[1]
    }
}

/// `array.map`, which is not sure to be inlined, for two.
#[inline(always)]
pub(crate) fn map2<T, U>([a, b]: [T; 2], f: impl Fn(T) -> U) -> [U; 2] {
    [f(a), f(b)]
}

/// `array.map`, which is not sure to be inlined, for four.
#[inline(always)]
pub(crate) fn map4<T, U>([a, b, c, d]: [T; 4], f: impl Fn(T) -> U) -> [U; 4] {
    [f(a), f(b), f(c), f(d)]
}

/// Four zeroes.
#[inline(always)]
pub(crate) fn zero() -> float32x4_t {
    // SAFETY: NEON is baseline.
    unsafe { vdupq_n_f32(0.0) }
}

/// Sixteen bytes.
#[inline(always)]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array is as long as the load.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// The halves of four rows as floats.
#[inline(always)]
fn halves(d: [F16; 4]) -> float32x4_t {
    let d = map4(d, |d| u16::from_le_bytes(d.0));
    // SAFETY: the array is as long as the load.
    insn::f16_to_f32(unsafe { vld1_u16(d.as_ptr()) })
}

/// The halves of eight rows as floats.
#[inline(always)]
fn halves8([[a, b, c, d], [e, f, g, h]]: [[F16; 4]; 2]) -> [float32x4_t; 2] {
    let half = |d: F16| u16::from_le_bytes(d.0);
    // Lane by lane behind a first that fills them all: a load each, and no detour through other registers.
    // SAFETY: NEON is baseline.
    let halves = unsafe {
        let first = vsetq_lane_u16::<1>(half(b), vdupq_n_u16(half(a)));
        let first = vsetq_lane_u16::<3>(half(d), vsetq_lane_u16::<2>(half(c), first));
        let second = vsetq_lane_u16::<5>(half(f), vsetq_lane_u16::<4>(half(e), first));
        vsetq_lane_u16::<7>(half(h), vsetq_lane_u16::<6>(half(g), second))
    };
    [insn::f16_low_to_f32(halves), insn::f16_high_to_f32(halves)]
}

/// The pairs of halves (scale, minimum) of four rows, a word each.
#[inline(always)]
fn words(pairs: [(F16, F16); 4]) -> uint32x4_t {
    // Seen as floats they are loaded where they are wanted, and not through other registers.
    let word = |(d, m): (F16, F16)| f32::from_le_bytes([d.0[0], d.0[1], m.0[0], m.0[1]]);
    let [a, b, c, d] = map4(pairs, word);
    // SAFETY: NEON is baseline.
    unsafe {
        let first = vsetq_lane_f32::<1>(b, vdupq_n_f32(a));
        vreinterpretq_u32_f32(vsetq_lane_f32::<3>(d, vsetq_lane_f32::<2>(c, first)))
    }
}

/// The pairs of halves (scale, minimum) of four rows as floats.
#[inline(always)]
fn pairs_of_halves(pairs_of_rows: [(F16, F16); 4]) -> [float32x4_t; 2] {
    pairs(words(pairs_of_rows))
}

/// The low halves of four words, and the high ones, as floats.
#[inline(always)]
pub(crate) fn pairs(words: uint32x4_t) -> [float32x4_t; 2] {
    // SAFETY: NEON is baseline.
    unsafe { [insn::f16_to_f32(vmovn_u32(words)), insn::f16_to_f32(vshrn_n_u32::<16>(words))] }
}

/// The pairs of halves (scale, minimum) of eight rows as floats, taken apart together.
#[inline(always)]
fn pairs_of_halves8(pairs: [[(F16, F16); 4]; 2]) -> [[float32x4_t; 2]; 2] {
    let [a, b] = map2(pairs, words);
    // SAFETY: NEON is baseline.
    let [d, m] = unsafe {
        let (a, b) = (vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
        [vuzp1q_u16(a, b), vuzp2q_u16(a, b)]
    };
    [[insn::f16_low_to_f32(d), insn::f16_low_to_f32(m)], [insn::f16_high_to_f32(d), insn::f16_high_to_f32(m)]]
}

/// The low and the high nibbles of sixteen bytes.
#[inline(always)]
fn nibbles(bytes: uint8x16_t) -> [int8x16_t; 2] {
    // SAFETY: NEON is baseline.
    unsafe {
        [vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), vreinterpretq_s8_u8(vshrq_n_u8::<4>(bytes))]
    }
}

/// The levels of a table that the low and the high nibbles of sixteen bytes name.
#[inline(always)]
fn levels(bytes: uint8x16_t, table: &[i8; 16]) -> [int8x16_t; 2] {
    // SAFETY: the table is as long as the load; NEON is baseline.
    map2(nibbles(bytes), |index| unsafe { vqtbl1q_s8(vld1q_s8(table.as_ptr()), vreinterpretq_u8_s8(index)) })
}
