//! How NEON reads the weights of a block: bytes for the integer product, and the factors of four rows at a time.
//! Every kernel of every Arm tier reads quantised weights through [`Unpack`]; nothing here needs more than NEON,
//! which every AArch64 target has.

use core::arch::aarch64::*;

use crate::arm::insn;
use crate::blocks::*;

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

    /// Bytes of the head, where it lies before the weights.
    const HEAD: usize = 0;

    /// What the factors of four rows' blocks are computed from.
    type Head: Copy;

    /// Reads the head of the same block of four rows.
    fn head(blocks: [&Self; 4]) -> Self::Head;
    /// Scale `i` of the block, one lane per row.
    fn scale(head: &Self::Head, i: usize) -> float32x4_t;
    /// Minimum `i` of the block, one lane per row.
    fn minimum(_head: &Self::Head, _i: usize) -> float32x4_t {
        zero()
    }
    /// The weights of group `g`, in order: `q` before the offset.
    fn weights(&self, g: usize) -> [int8x16_t; 2];
}

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
    let d = d.map(|d| u16::from_le_bytes(d.0));
    // SAFETY: the array is as long as the load.
    insn::f16_to_f32(unsafe { vld1_u16(d.as_ptr()) })
}

/// The pairs of halves (scale, minimum) of four rows as floats.
#[inline(always)]
fn pairs_of_halves(pairs: [(F16, F16); 4]) -> [float32x4_t; 2] {
    let words = pairs.map(|(d, m)| u32::from_le_bytes([d.0[0], d.0[1], m.0[0], m.0[1]]));
    // SAFETY: the array is as long as the load.
    let words = unsafe { vld1q_u32(words.as_ptr()) };
    // SAFETY: NEON is baseline.
    unsafe { [insn::f16_to_f32(vmovn_u32(words)), insn::f16_to_f32(vshrn_n_u32::<16>(words))] }
}

/// The low and the high nibbles of sixteen bytes.
#[inline(always)]
fn nibbles(bytes: uint8x16_t) -> [int8x16_t; 2] {
    // SAFETY: NEON is baseline.
    unsafe {
        [vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), vreinterpretq_s8_u8(vshrq_n_u8::<4>(bytes))]
    }
}

impl Unpack for BlockQ8_0 {
    const SMALL: bool = false;
    const HEAD: usize = 2;
    type Head = float32x4_t;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> float32x4_t {
        halves(blocks.map(|block| block.d))
    }

    #[inline(always)]
    fn scale(head: &float32x4_t, _i: usize) -> float32x4_t {
        *head
    }

    #[inline(always)]
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        // SAFETY: the block has 32 weights.
        unsafe { [vld1q_s8(self.qs.as_ptr()), vld1q_s8(self.qs.as_ptr().add(16))] }
    }
}

impl Unpack for BlockQ4_0 {
    const OFFSET: i8 = 8;
    const HEAD: usize = 2;
    type Head = float32x4_t;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> float32x4_t {
        halves(blocks.map(|block| block.d))
    }

    #[inline(always)]
    fn scale(head: &float32x4_t, _i: usize) -> float32x4_t {
        *head
    }

    #[inline(always)]
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        nibbles(load(&self.qs))
    }
}

impl Unpack for BlockQ4_1 {
    const MINIMA: bool = true;
    const HEAD: usize = 4;
    type Head = [float32x4_t; 2];

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Self::Head {
        pairs_of_halves(blocks.map(|block| (block.d, block.m)))
    }

    #[inline(always)]
    fn scale(head: &Self::Head, _i: usize) -> float32x4_t {
        head[0]
    }

    #[inline(always)]
    fn minimum(head: &Self::Head, _i: usize) -> float32x4_t {
        head[1]
    }

    #[inline(always)]
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        nibbles(load(&self.qs))
    }
}
