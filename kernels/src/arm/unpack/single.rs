//! The formats whose block is one group of 32.

use core::arch::aarch64::*;

use super::{
    Factors, Unpack, halves, halves8, levels, load, map2, map4, nibbles, pairs_of_halves, pairs_of_halves8,
};
use crate::arm::hint;
use crate::arm::insn;
use crate::blocks::*;

impl Unpack for BlockQ8_0 {
    const COMMON: bool = true;
    const SMALL: bool = false;
    const LIGHT: bool = true;
    const HEAD: usize = 2;
    type Head = float32x4_t;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> float32x4_t {
        halves(map4(blocks, |block| block.d))
    }

    #[inline(always)]
    fn heads(blocks: [[&Self; 4]; 2]) -> [float32x4_t; 2] {
        halves8(map2(blocks, |quad| map4(quad, |block| block.d)))
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, _g: usize) -> [int8x16_t; 2] {
        // SAFETY: the block has 32 weights.
        unsafe { [vld1q_s8(self.qs.as_ptr()), vld1q_s8(self.qs.as_ptr().add(16))] }
    }
}

impl Unpack for BlockQ4_0 {
    const COMMON: bool = true;
    const OFFSET: i8 = 8;
    const LIGHT: bool = true;
    const HEAD: usize = 2;
    type Head = float32x4_t;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> float32x4_t {
        halves(map4(blocks, |block| block.d))
    }

    #[inline(always)]
    fn heads(blocks: [[&Self; 4]; 2]) -> [float32x4_t; 2] {
        halves8(map2(blocks, |quad| map4(quad, |block| block.d)))
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, _g: usize) -> [int8x16_t; 2] {
        nibbles(load(&self.qs))
    }
}

impl Unpack for BlockQ4_1 {
    const COMMON: bool = true;
    const MINIMA: bool = true;
    const LIGHT: bool = true;
    const HEAD: usize = 4;
    type Head = [float32x4_t; 2];

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Self::Head {
        pairs_of_halves(map4(blocks, |block| (block.d, block.m)))
    }

    #[inline(always)]
    fn heads(blocks: [[&Self; 4]; 2]) -> [Self::Head; 2] {
        pairs_of_halves8(map2(blocks, |quad| map4(quad, |block| (block.d, block.m))))
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, _g: usize) -> [int8x16_t; 2] {
        nibbles(load(&self.qs))
    }
}

/// The weights are read as `q - 16`.
impl Unpack for BlockQ5_0 {
    const COMMON: bool = true;
    const LIGHT: bool = true;
    const CROWDED: bool = true;
    const HEAD: usize = 6;
    type Head = FifthBits<2>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> FifthBits<2> {
        FifthBits::load(map4(blocks, |block| first_eight(block)))
    }

    #[inline(always)]
    fn weights(&self, head: &FifthBits<2>, row: usize, _g: usize) -> [int8x16_t; 2] {
        head.less_16(row, load(&self.qs))
    }
}

/// The weights are read as `q - 16`, so that the minimum is that of `q = 16`.
impl Unpack for BlockQ5_1 {
    const LIGHT: bool = true;
    const MINIMA: bool = true;
    const CROWDED: bool = true;
    const HEAD: usize = 8;
    type Head = FifthBits<4>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> FifthBits<4> {
        FifthBits::load(map4(blocks, |block| first_eight(block)))
    }

    #[inline(always)]
    fn weights(&self, head: &FifthBits<4>, row: usize, _g: usize) -> [int8x16_t; 2] {
        head.less_16(row, load(&self.qs))
    }
}

impl Unpack for BlockIQ4NL {
    const SMALL: bool = false;
    const LIGHT: bool = true;
    const HEAD: usize = 2;
    type Head = float32x4_t;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> float32x4_t {
        halves(map4(blocks, |block| block.d))
    }

    #[inline(always)]
    fn heads(blocks: [[&Self; 4]; 2]) -> [float32x4_t; 2] {
        halves8(map2(blocks, |quad| map4(quad, |block| block.d)))
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, _g: usize) -> [int8x16_t; 2] {
        levels(load(&self.qs), &IQ4_VALUES)
    }
}

impl Unpack for BlockMXFP4 {
    const LIGHT: bool = true;
    const HEAD: usize = 1;
    type Head = float32x4_t;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> float32x4_t {
        let scales = map4(blocks, BlockMXFP4::scale);
        // SAFETY: the array is as long as the load.
        unsafe { vld1q_f32(scales.as_ptr()) }
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, _g: usize) -> [int8x16_t; 2] {
        levels(load(&self.qs), &FP4_VALUES)
    }
}

/// The first eight bytes of four rows' blocks, two rows to a register. The fifth bits begin at byte `AT`, 2 or 4.
///
/// ```text
/// AT = 2:  | scale : 2 | fifth bits : 4 | weights : 2 |
/// AT = 4:  | scale : 2 | minimum : 2 | fifth bits : 4 |
/// ```
#[derive(Clone, Copy)]
pub(crate) struct FifthBits<const AT: usize>(pub(crate) [uint8x16_t; 2]);

impl<const AT: usize> FifthBits<AT> {
    #[inline(always)]
    fn load([a, b, c, d]: [f64; 4]) -> FifthBits<AT> {
        // SAFETY: NEON is baseline.
        FifthBits(map2([(a, b), (c, d)], |(first, second)| unsafe {
            vreinterpretq_u8_f64(vsetq_lane_f64::<1>(second, vdupq_n_f64(first)))
        }))
    }

    /// Which byte of two rows holds the fifth bit of each weight, `[row][half]`, and which bit of that byte it is.
    #[inline(always)]
    pub(crate) fn constants() -> ([[uint8x16_t; 2]; 2], uint8x16_t) {
        let byte = const {
            let mut byte = [[[0; 16]; 2]; 2];
            let mut i = 0;
            while i < 64 {
                byte[i / 32][i / 16 % 2][i % 16] = (i / 32 * 8 + AT + i % 32 / 8) as u8;
                i += 1;
            }
            byte
        };
        let bit = hint::kept([1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
        (map2(byte, |row| map2(row, hint::kept)), bit)
    }

    /// `q - 16` of 32 weights of five bits: bit `i` of the fifth bits is bit 4 of `q[i]`.
    ///
    /// ```text
    /// byte i:  | 1 1 1 1 if bit i is clear : 4 | low bits of q[i] : 4 |    which is q[i] - 16 in two's complement
    /// ```
    #[inline(always)]
    fn less_16(&self, row: usize, low: uint8x16_t) -> [int8x16_t; 2] {
        let (byte, bit) = Self::constants();
        // SAFETY: NEON is baseline.
        unsafe {
            let clear = vmvnq_u8(self.0[row / 2]);
            map2([0, 1], |half| {
                let clear = vtstq_u8(vqtbl1q_u8(clear, byte[row % 2][half]), bit);
                let low = if half == 0 { low } else { vshrq_n_u8::<4>(low) };
                vreinterpretq_s8_u8(vsliq_n_u8::<4>(low, clear))
            })
        }
    }

    /// The first words of the blocks: a scale, and a minimum or bits.
    #[inline(always)]
    fn words(&self) -> uint32x4_t {
        // SAFETY: NEON is baseline.
        unsafe { vuzp1q_u32(vreinterpretq_u32_u8(self.0[0]), vreinterpretq_u32_u8(self.0[1])) }
    }
}

impl<const AT: usize> Factors for FifthBits<AT> {
    #[inline(always)]
    fn scale(&self, _i: usize) -> float32x4_t {
        // SAFETY: NEON is baseline.
        insn::f16_to_f32(unsafe { vmovn_u32(self.words()) })
    }

    #[inline(always)]
    fn minimum(&self, i: usize) -> float32x4_t {
        // SAFETY: NEON is baseline.
        unsafe { vfmaq_n_f32(insn::f16_to_f32(vshrn_n_u32::<16>(self.words())), self.scale(i), 16.0) }
    }
}

/// The first eight bytes of a block. Seen as a float they are loaded where they are wanted, and not through another
/// register.
#[inline(always)]
fn first_eight<B: Block>(block: &B) -> f64 {
    const { assert!(size_of::<B>() >= 8) };
    // SAFETY: a block is bytes without padding, and there are eight.
    unsafe { (block as *const B).cast::<f64>().read_unaligned() }
}
