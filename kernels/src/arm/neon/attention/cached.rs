//! How a cached head becomes floats, for each way to keep keys and values.

use core::arch::aarch64::*;

use super::wide::transpose;
use crate::arm::insn;
use crate::attention::KvFormat;
use crate::blocks::{Block, BlockF16, BlockQ4_0, BlockQ8_0, F16};

/// The blocks of a cached head.
pub(super) trait Cached: Block {
    /// The way of keeping.
    const KEPT: KvFormat;

    /// Values `i .. i + 8` of the head that begins here, `i` being a multiple of 8.
    ///
    /// # Safety
    /// They must be there.
    unsafe fn eight(head: *const Self, i: usize) -> [float32x4_t; 2];

    /// Values `i .. i + 16`: register `l` has those from `i + l` on that are 4 apart. `i` is a multiple of 16.
    ///
    /// # Safety
    /// They must be there.
    #[inline(always)]
    unsafe fn sixteen_apart(head: *const Self, i: usize) -> [float32x4_t; 4] {
        // SAFETY: the caller has them; NEON is baseline.
        unsafe {
            let ([a, b], [c, d]) = (Self::eight(head, i), Self::eight(head, i + 8));
            transpose([a, b, c, d])
        }
    }

    /// Value `i` of the head that begins here.
    ///
    /// # Safety
    /// It must be there.
    unsafe fn one(head: *const Self, i: usize) -> f32;
}

impl Cached for BlockF16 {
    const KEPT: KvFormat = KvFormat::F16;

    #[inline(always)]
    unsafe fn eight(head: *const Self, i: usize) -> [float32x4_t; 2] {
        // SAFETY: the caller has eight halves, and a load of bytes may come from anywhere.
        let halves = unsafe { vreinterpretq_u16_u8(vld1q_u8(head.add(i).cast())) };
        [insn::f16_low_to_f32(halves), insn::f16_high_to_f32(halves)]
    }

    #[inline(always)]
    unsafe fn sixteen_apart(head: *const Self, i: usize) -> [float32x4_t; 4] {
        // SAFETY: the caller has sixteen halves, at any address; NEON is baseline.
        unsafe {
            let uint16x4x4_t(a, b, c, d) = vld4_u16(head.add(i).cast());
            [insn::f16_to_f32(a), insn::f16_to_f32(b), insn::f16_to_f32(c), insn::f16_to_f32(d)]
        }
    }

    #[inline(always)]
    unsafe fn one(head: *const Self, i: usize) -> f32 {
        // SAFETY: the caller has this half.
        unsafe { (*head.add(i)).0.to_f32() }
    }
}

impl Cached for BlockQ8_0 {
    const KEPT: KvFormat = KvFormat::Q8_0;

    #[inline(always)]
    unsafe fn eight(head: *const Self, i: usize) -> [float32x4_t; 2] {
        // SAFETY: the caller has the block, whose last eight values end with it.
        unsafe {
            let block = &*head.add(i / 32);
            scaled(vld1_s8(block.qs.as_ptr().add(i % 32)), block.d)
        }
    }

    #[inline(always)]
    unsafe fn one(head: *const Self, i: usize) -> f32 {
        // SAFETY: the caller has the block.
        let block = unsafe { &*head.add(i / 32) };
        block.d.to_f32() * f32::from(block.qs[i % 32])
    }
}

impl Cached for BlockQ4_0 {
    const KEPT: KvFormat = KvFormat::Q4_0;

    #[inline(always)]
    unsafe fn eight(head: *const Self, i: usize) -> [float32x4_t; 2] {
        // SAFETY: the caller has the block; eight values are the low or the high nibbles of eight bytes.
        unsafe {
            let block = &*head.add(i / 32);
            let bytes = vld1_u8(block.qs.as_ptr().add(i % 16));
            let right = vdup_n_s8(if i % 32 < 16 { 0 } else { -4 });
            let nibbles = vand_u8(vshl_u8(bytes, right), vdup_n_u8(15));
            scaled(vsub_s8(vreinterpret_s8_u8(nibbles), vdup_n_s8(8)), block.d)
        }
    }

    #[inline(always)]
    unsafe fn one(head: *const Self, i: usize) -> f32 {
        // SAFETY: the caller has the block.
        let block = unsafe { &*head.add(i / 32) };
        let byte = block.qs[i % 16];
        let nibble = if i % 32 < 16 { byte & 15 } else { byte >> 4 };
        block.d.to_f32() * (f32::from(nibble) - 8.0)
    }
}

/// Eight small integers by their scale.
#[inline(always)]
fn scaled(q: int8x8_t, d: F16) -> [float32x4_t; 2] {
    // SAFETY: NEON is baseline.
    unsafe {
        let d = insn::f16_to_f32(vdup_n_u16(u16::from_le_bytes(d.0)));
        let q = vmovl_s8(q);
        let [low, high] = [vmovl_s16(vget_low_s16(q)), vmovl_high_s16(q)];
        [vmulq_f32(vcvtq_f32_s32(low), d), vmulq_f32(vcvtq_f32_s32(high), d)]
    }
}
