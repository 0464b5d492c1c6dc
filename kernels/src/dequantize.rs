//! The exact weights of a block, for every format. A value is computed by the same floating-point operations
//! in the same order as ggml's reference, so that it is the same number bit for bit. Written as the formulas of
//! [`crate::blocks`] read; how a super-block's fields are taken apart lies at the end.

#![forbid(unsafe_code)]

use crate::blocks::*;

/// A block that can write out its exact weights.
pub trait Weights: Block {
    /// Writes the block's weights.
    ///
    /// # Panics
    /// If `out` is longer than [`Block::LEN`].
    fn write(&self, out: &mut [f32]);
}

impl Weights for BlockF32 {
    fn write(&self, out: &mut [f32]) {
        out.fill(self.to_f32());
    }
}

impl Weights for BlockF16 {
    fn write(&self, out: &mut [f32]) {
        out.fill(self.0.to_f32());
    }
}

impl Weights for BlockBF16 {
    fn write(&self, out: &mut [f32]) {
        out.fill(self.to_f32());
    }
}

impl Weights for BlockQ8_0 {
    fn write(&self, out: &mut [f32]) {
        let d = self.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(self.qs[i]);
        }
    }
}

impl Weights for BlockQ4_0 {
    fn write(&self, out: &mut [f32]) {
        let d = self.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * (f32::from(nibble(&self.qs, i)) - 8.0);
        }
    }
}

impl Weights for BlockQ4_1 {
    fn write(&self, out: &mut [f32]) {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(nibble(&self.qs, i)) + m;
        }
    }
}

impl Weights for BlockQ5_0 {
    fn write(&self, out: &mut [f32]) {
        let d = self.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            let q = nibble(&self.qs, i) | fifth_bit(&self.qh, i) << 4;
            *out = d * (f32::from(q) - 16.0);
        }
    }
}

impl Weights for BlockQ5_1 {
    fn write(&self, out: &mut [f32]) {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        for (i, out) in out.iter_mut().enumerate() {
            let q = nibble(&self.qs, i) | fifth_bit(&self.qh, i) << 4;
            *out = d * f32::from(q) + m;
        }
    }
}

impl Weights for BlockQ2K {
    fn write(&self, out: &mut [f32]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        for (i, out) in out.iter_mut().enumerate() {
            let (scale, min) = (self.scales[i / 16] & 15, self.scales[i / 16] >> 4);
            *out = d * f32::from(scale) * f32::from(crumb(&self.qs, i)) - dmin * f32::from(min);
        }
    }
}

impl Weights for BlockQ3K {
    fn write(&self, out: &mut [f32]) {
        let d = self.d.to_f32();
        let scales = scales_q3_k(&self.scales);
        for (i, out) in out.iter_mut().enumerate() {
            let q = crumb(&self.qs, i) | (self.hmask[i % 32] >> (i / 32) & 1) << 2;
            *out = d * f32::from(scales[i / 16]) * (f32::from(q) - 4.0);
        }
    }
}

impl Weights for BlockQ4K {
    fn write(&self, out: &mut [f32]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        let (scales, mins) = scales_q4_k(&self.scales);
        for (i, out) in out.iter_mut().enumerate() {
            let q = nibble_of_64(&self.qs, i);
            *out = d * f32::from(scales[i / 32]) * f32::from(q) - dmin * f32::from(mins[i / 32]);
        }
    }
}

impl Weights for BlockQ5K {
    fn write(&self, out: &mut [f32]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        let (scales, mins) = scales_q4_k(&self.scales);
        for (i, out) in out.iter_mut().enumerate() {
            let q = nibble_of_64(&self.qs, i) | (self.qh[i % 32] >> (i / 32) & 1) << 4;
            *out = d * f32::from(scales[i / 32]) * f32::from(q) - dmin * f32::from(mins[i / 32]);
        }
    }
}

impl Weights for BlockQ6K {
    fn write(&self, out: &mut [f32]) {
        let d = self.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            let low = self.ql[64 * (i / 128) + i % 64] >> (i / 64 % 2 * 4) & 15;
            let q = low | crumb(&self.qh, i) << 4;
            *out = d * f32::from(self.scales[i / 16]) * (f32::from(q) - 32.0);
        }
    }
}

impl Weights for BlockIQ4NL {
    fn write(&self, out: &mut [f32]) {
        let d = self.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(IQ4_VALUES[usize::from(nibble(&self.qs, i))]);
        }
    }
}

impl Weights for BlockIQ4XS {
    fn write(&self, out: &mut [f32]) {
        let d = self.d.to_f32();
        let scales = scales_iq4_xs(self);
        for (i, out) in out.iter_mut().enumerate() {
            let q = self.qs[16 * (i / 32) + i % 16] >> (i / 16 % 2 * 4) & 15;
            *out = d * f32::from(scales[i / 32]) * f32::from(IQ4_VALUES[usize::from(q)]);
        }
    }
}

impl Weights for BlockMXFP4 {
    fn write(&self, out: &mut [f32]) {
        let d = self.scale();
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(FP4_VALUES[usize::from(nibble(&self.qs, i))]);
        }
    }
}

/// The 4-bit number `i` of a block of 32: the first half lies in the low nibbles.
fn nibble(qs: &[u8; 16], i: usize) -> u8 {
    qs[i % 16] >> (i / 16 * 4) & 15
}

/// Bit `i` of a little-endian word.
fn fifth_bit(qh: &[u8; 4], i: usize) -> u8 {
    qh[i / 8] >> (i % 8) & 1
}

/// The 4-bit number `i` of a super-block: of each 64, the first 32 lie in the low nibbles.
fn nibble_of_64(qs: &[u8; 128], i: usize) -> u8 {
    qs[32 * (i / 64) + i % 32] >> (i / 32 % 2 * 4) & 15
}

/// The 2-bit number `i` of a super-block: of each 128, four runs of 32 lie on top of each other, the first lowest.
fn crumb(qs: &[u8; 64], i: usize) -> u8 {
    qs[32 * (i / 128) + i % 32] >> (i / 32 % 4 * 2) & 3
}

/// The word made of bytes `at..at + 4`, lowest first.
#[inline(always)]
fn word(bytes: &[u8; 12], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The eight scales and the eight minima, each `0..64`, of [`BlockQ4K`] and [`BlockQ5K`].
#[inline(always)]
fn scales_q4_k(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (scales, mins, low) = (word(packed, 0), word(packed, 4), word(packed, 8));
    // The top two bits of a byte, moved to bits 4 and 5 in its place.
    let high = |word: u32| word >> 2 & 0x3030_3030;
    let join = |first: u32, second: u32| u64::from(first & 0x3f3f_3f3f) | u64::from(second) << 32;
    (
        join(scales, low & 0x0f0f_0f0f | high(scales)).to_le_bytes(),
        join(mins, low >> 4 & 0x0f0f_0f0f | high(mins)).to_le_bytes(),
    )
}

/// The sixteen scales, each `-32..32`, of [`BlockQ3K`].
#[inline(always)]
fn scales_q3_k(packed: &[u8; 12]) -> [i8; 16] {
    let (a, b, high) = (word(packed, 0), word(packed, 4), word(packed, 8));
    let mut scales = [0; 16];
    for (t, scales) in scales.chunks_exact_mut(4).enumerate() {
        let low = if t % 2 == 0 { a } else { b } >> (t / 2 * 4);
        let word = low & 0x0f0f_0f0f | (high >> (2 * t) & 0x0303_0303) << 4;
        for (scale, byte) in scales.iter_mut().zip(word.to_le_bytes()) {
            *scale = byte as i8 - 32;
        }
    }
    scales
}

/// The eight scales, each `-32..32`, of [`BlockIQ4XS`].
#[inline(always)]
fn scales_iq4_xs(block: &BlockIQ4XS) -> [i8; 8] {
    let high = u16::from_le_bytes(block.scales_h);
    core::array::from_fn(|s| {
        let low = block.scales_l[s / 2] >> (s % 2 * 4) & 15;
        (low | ((high >> (2 * s) & 3) as u8) << 4) as i8 - 32
    })
}
