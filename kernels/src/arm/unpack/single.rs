//! The formats whose block is one group of 32.

use core::arch::aarch64::*;

use super::{Unpack, halves, halves8, levels, load, map2, map4, nibbles, pairs_of_halves, pairs_of_halves8};
use crate::blocks::*;

impl Unpack for BlockQ8_0 {
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
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        // SAFETY: the block has 32 weights.
        unsafe { [vld1q_s8(self.qs.as_ptr()), vld1q_s8(self.qs.as_ptr().add(16))] }
    }
}

impl Unpack for BlockQ4_0 {
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
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        nibbles(load(&self.qs))
    }
}

impl Unpack for BlockQ4_1 {
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
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        nibbles(load(&self.qs))
    }
}

impl Unpack for BlockQ5_0 {
    const LIGHT: bool = true;
    const CROWDED: bool = true;
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
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        five_bits_less_16(self.qh, &self.qs)
    }
}

/// The weights are read as `q - 16`, so that the minimum is that of `q = 16`.
impl Unpack for BlockQ5_1 {
    const LIGHT: bool = true;
    const CROWDED: bool = true;
    const MINIMA: bool = true;
    const HEAD: usize = 4;
    type Head = [float32x4_t; 2];

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Self::Head {
        let [d, m] = pairs_of_halves(map4(blocks, |block| (block.d, block.m)));
        // SAFETY: NEON is baseline.
        [d, unsafe { vfmaq_n_f32(m, d, 16.0) }]
    }

    #[inline(always)]
    fn heads(blocks: [[&Self; 4]; 2]) -> [Self::Head; 2] {
        let heads = pairs_of_halves8(map2(blocks, |quad| map4(quad, |block| (block.d, block.m))));
        // SAFETY: NEON is baseline.
        map2(heads, |[d, m]| [d, unsafe { vfmaq_n_f32(m, d, 16.0) }])
    }

    #[inline(always)]
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        five_bits_less_16(self.qh, &self.qs)
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
    fn weights(&self, _g: usize) -> [int8x16_t; 2] {
        levels(load(&self.qs))
    }
}

/// `q - 16` of 32 weights of five bits: bit `i` of `qh` is bit 4 of `q[i]`.
///
/// ```text
/// byte i:  | 1 1 1 1 if bit i is clear : 4 | low bits of q[i] : 4 |    which is q[i] - 16 in two's complement
/// ```
#[inline(always)]
fn five_bits_less_16(qh: [u8; 4], qs: &[u8; 16]) -> [int8x16_t; 2] {
    const BYTE: [[u8; 16]; 2] =
        [[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]];
    const BIT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: NEON is baseline.
    unsafe {
        let clear = vmvnq_u8(vreinterpretq_u8_u32(vdupq_n_u32(u32::from_le_bytes(qh))));
        let low = load(qs);
        map2([0, 1], |half| {
            let clear = vtstq_u8(vqtbl1q_u8(clear, load(&BYTE[half])), load(&BIT));
            let low = if half == 0 { low } else { vshrq_n_u8::<4>(low) };
            vreinterpretq_s8_u8(vsliq_n_u8::<4>(low, clear))
        })
    }
}
