//! The formats whose block is eight groups of 32 with scales of their own.

use core::arch::aarch64::*;

use super::{Factors, Unpack, halves, levels, load, map2, map4, nibbles, pairs_of_halves};
use crate::blocks::*;

/// The factors of four rows' blocks, `N` of each kind; a format without minima leaves those out.
#[derive(Clone, Copy)]
pub(crate) struct Head<const N: usize> {
    /// Scale of the scales, and of the minima.
    d: [float32x4_t; 2],
    /// `scale[i][row]`
    scale: [[i8; 4]; N],
    /// `minimum[i][row]`
    minimum: [[i8; 4]; N],
}

/// Four small integers as floats.
#[inline(always)]
fn floats(bytes: [i8; 4]) -> float32x4_t {
    // SAFETY: NEON is baseline.
    unsafe {
        let bytes = vcreate_s8(u64::from(u32::from_le_bytes(map4(bytes, |byte| byte as u8))));
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
    }
}

impl<const N: usize> Factors for Head<N> {
    #[inline(always)]
    fn scale(&self, i: usize) -> float32x4_t {
        // SAFETY: NEON is baseline.
        unsafe { vmulq_f32(self.d[0], floats(self.scale[i])) }
    }

    #[inline(always)]
    fn minimum(&self, i: usize) -> float32x4_t {
        // SAFETY: NEON is baseline.
        unsafe { vnegq_f32(vmulq_f32(self.d[1], floats(self.minimum[i]))) }
    }
}

/// Eight bytes of each of four rows, by byte and then by row.
#[inline(always)]
fn interleave8(rows: [u64; 4]) -> [[i8; 4]; 8] {
    let mut out = [[0; 4]; 8];
    // SAFETY: the array is as long as the store.
    unsafe {
        let [a, b, c, d] = map4(rows, |row| vcreate_s8(row));
        vst4_s8(out.as_mut_ptr().cast(), int8x8x4_t(a, b, c, d));
    }
    out
}

/// Sixteen bytes of each of four rows, by byte and then by row.
#[inline(always)]
fn interleave16(rows: [int8x16_t; 4]) -> [[i8; 4]; 16] {
    let mut out = [[0; 4]; 16];
    let [a, b, c, d] = rows;
    // SAFETY: the array is as long as the store.
    unsafe { vst4q_s8(out.as_mut_ptr().cast(), int8x16x4_t(a, b, c, d)) }
    out
}

/// The byte in each of eight places.
const fn bytes(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The eight scales and the eight minima, of six bits, of [`BlockQ4K`] and [`BlockQ5K`], a byte each. That is what the reference
/// does with arrays, of which the compiler would call a function here.
#[inline(always)]
fn scales_and_minima(packed: &[u8; 12]) -> [u64; 2] {
    let word = |at: usize| u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]]);
    let (scale, minimum, low) = (word(0), word(4), word(8));
    // The first four lie whole in their word; of the others, the low four bits lie in the third.
    let six = |whole: u32, low: u32| {
        let last = (low & 0x0f0f_0f0f) | (whole >> 2 & 0x3030_3030);
        u64::from(whole & 0x3f3f_3f3f) | u64::from(last) << 32
    };
    [six(scale, low), six(minimum, low >> 4)]
}

/// Thirty-two bytes.
#[inline(always)]
fn load32(bytes: &[u8], at: usize) -> [uint8x16_t; 2] {
    let bytes = &bytes[at..at + 32];
    // SAFETY: the slice is as long as the loads.
    unsafe { [vld1q_u8(bytes.as_ptr()), vld1q_u8(bytes.as_ptr().add(16))] }
}

/// The low nibbles of 32 bytes, or the high ones.
#[inline(always)]
fn low_or_high(bytes: [uint8x16_t; 2], high: bool) -> [uint8x16_t; 2] {
    // SAFETY: NEON is baseline.
    map2(bytes, |bytes| unsafe {
        if high { vshrq_n_u8::<4>(bytes) } else { vandq_u8(bytes, vdupq_n_u8(15)) }
    })
}

#[inline(always)]
fn signed(bytes: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: NEON is baseline.
    map2(bytes, |bytes| unsafe { vreinterpretq_s8_u8(bytes) })
}

/// Bits `2j` and `2j + 1` of each byte, at the bottom; above them is what was above.
#[inline(always)]
fn crumbs(bytes: uint8x16_t, j: usize) -> uint8x16_t {
    // SAFETY: NEON is baseline.
    unsafe {
        match j {
            0 => bytes,
            1 => vshrq_n_u8::<2>(bytes),
            2 => vshrq_n_u8::<4>(bytes),
            _ => vshrq_n_u8::<6>(bytes),
        }
    }
}

impl Unpack for BlockQ4K {
    const COMMON: bool = true;
    const STEP: usize = 2;
    const MINIMA: bool = true;
    const LIGHT: bool = true;
    type Head = Head<8>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Head<8> {
        let factors = map4(blocks, |block| scales_and_minima(&block.scales));
        Head {
            d: pairs_of_halves(map4(blocks, |block| (block.d, block.dmin))),
            scale: interleave8(map4(factors, |row| row[0])),
            minimum: interleave8(map4(factors, |row| row[1])),
        }
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, g: usize) -> [int8x16_t; 2] {
        signed(low_or_high(load32(&self.qs, g / 2 * 32), g % 2 == 1))
    }
}

impl Unpack for BlockQ5K {
    const STEP: usize = 2;
    const MINIMA: bool = true;
    type Head = Head<8>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Head<8> {
        let factors = map4(blocks, |block| scales_and_minima(&block.scales));
        Head {
            d: pairs_of_halves(map4(blocks, |block| (block.d, block.dmin))),
            scale: interleave8(map4(factors, |row| row[0])),
            minimum: interleave8(map4(factors, |row| row[1])),
        }
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, g: usize) -> [int8x16_t; 2] {
        let low = low_or_high(load32(&self.qs, g / 2 * 32), g % 2 == 1);
        let fifth = load32(&self.qh, 0);
        // SAFETY: NEON is baseline.
        signed(map2([0, 1], |half| unsafe {
            // Bit g is moved to bit 4, and only that is taken.
            let moved = vshlq_u8(fifth[half], vdupq_n_s8(4 - g as i8));
            vbslq_u8(vdupq_n_u8(1 << 4), moved, low[half])
        }))
    }
}

impl Unpack for BlockQ6K {
    const COMMON: bool = true;
    const STEP: usize = 4;
    const SCALES: usize = 2;
    const OFFSET: i8 = 32;
    type Head = Head<16>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Head<16> {
        let d = halves(map4(blocks, |block| block.d));
        // SAFETY: the block has 16 scales.
        let scales = map4(blocks, |block| unsafe { vld1q_s8(block.scales.as_ptr()) });
        Head { d: [d; 2], scale: interleave16(scales), minimum: [[0; 4]; 16] }
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, g: usize) -> [int8x16_t; 2] {
        let (h, j) = (g / 4, g % 4);
        let low = load32(&self.ql, 64 * h + 32 * (j % 2));
        let high = load32(&self.qh, 32 * h);
        // SAFETY: NEON is baseline.
        signed(map2([0, 1], |half| unsafe {
            let low = if j < 2 { low[half] } else { vshrq_n_u8::<4>(low[half]) };
            let high = vandq_u8(crumbs(high[half], j), vdupq_n_u8(3));
            // Shift-left-and-insert keeps just the low four bits of its first operand.
            vsliq_n_u8::<4>(low, high)
        }))
    }
}

impl Unpack for BlockQ2K {
    const STEP: usize = 4;
    const SCALES: usize = 2;
    const MINIMA: bool = true;
    type Head = Head<16>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Head<16> {
        let both = map4(blocks, |block| nibbles(load(&block.scales)));
        Head {
            d: pairs_of_halves(map4(blocks, |block| (block.d, block.dmin))),
            scale: interleave16(map4(both, |row| row[0])),
            minimum: interleave16(map4(both, |row| row[1])),
        }
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, g: usize) -> [int8x16_t; 2] {
        let bytes = load32(&self.qs, g / 4 * 32);
        // SAFETY: NEON is baseline.
        signed(map2(bytes, |bytes| unsafe { vandq_u8(crumbs(bytes, g % 4), vdupq_n_u8(3)) }))
    }
}

/// The weights are read as `q - 4`.
impl Unpack for BlockQ3K {
    const STEP: usize = 4;
    const SCALES: usize = 2;
    type Head = Head<16>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Head<16> {
        let d = halves(map4(blocks, |block| block.d));
        let scales = map4(blocks, |block| {
            let [a, b, c, d, e, f, g, h, high @ ..] = block.scales;
            let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let high = u64::from(u32::from_le_bytes(high));
            // Two bits of four scales lie in each byte: those of scale t, t + 4, t + 8, t + 12.
            let first = high | high << 30;
            let last = high >> 4 | high >> 6 << 32;
            let six = |low: u64, high: u64| low & bytes(0x0f) | (high & bytes(3)) << 4;
            // SAFETY: NEON is baseline.
            unsafe {
                let scales = vcombine_s8(vcreate_s8(six(low, first)), vcreate_s8(six(low >> 4, last)));
                vsubq_s8(scales, vdupq_n_s8(32))
            }
        });
        Head { d: [d; 2], scale: interleave16(scales), minimum: [[0; 4]; 16] }
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, g: usize) -> [int8x16_t; 2] {
        let low = load32(&self.qs, g / 4 * 32);
        let third = load32(&self.hmask, 0);
        // SAFETY: NEON is baseline.
        signed(map2([0, 1], |half| unsafe {
            // All ones above the low two bits where the third is clear: q - 4 in two's complement.
            let clear = vceqzq_u8(vandq_u8(third[half], vdupq_n_u8(1 << g)));
            vsliq_n_u8::<2>(crumbs(low[half], g % 4), clear)
        }))
    }
}

impl Unpack for BlockIQ4XS {
    const SMALL: bool = false;
    const LIGHT: bool = true;
    type Head = Head<8>;

    #[inline(always)]
    fn head(blocks: [&Self; 4]) -> Head<8> {
        let d = halves(map4(blocks, |block| block.d));
        // SAFETY: the array is as long as the load; NEON is baseline.
        let scales = map4(blocks, |block| unsafe {
            let low = vreinterpret_u8_u32(vdup_n_u32(u32::from_le_bytes(block.scales_l)));
            let low = vzip1_u8(low, vshr_n_u8::<4>(low));
            let right = vld1q_s16([0, -2, -4, -6, -8, -10, -12, -14].as_ptr());
            let high = vshlq_u16(vdupq_n_u16(u16::from_le_bytes(block.scales_h)), right);
            let six = vsli_n_u8::<4>(low, vand_u8(vmovn_u16(high), vdup_n_u8(3)));
            vget_lane_u64::<0>(vreinterpret_u64_u8(vsub_u8(six, vdup_n_u8(32))))
        });
        Head { d: [d; 2], scale: interleave8(scales), minimum: [[0; 4]; 8] }
    }

    #[inline(always)]
    fn weights(&self, _head: &Self::Head, _row: usize, g: usize) -> [int8x16_t; 2] {
        let (groups, _) = self.qs.as_chunks();
        levels(load(&groups[g]), &IQ4_VALUES)
    }
}
