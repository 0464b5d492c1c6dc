//! Single instructions that `core::arch` does not offer on stable Rust: conversions of halves, and dot products.
//! Invariant: each wrapper is exactly its instruction, so that the compiler may move, merge or drop it like an intrinsic.
//! Conversions may set sticky bits of the floating-point status, so they do not promise to preserve the flags.

use core::arch::aarch64::*;
use core::arch::asm;

/// The lower four of eight halves as floats.
#[inline(always)]
pub(crate) fn f16_low_to_f32(halves: uint16x8_t) -> float32x4_t {
    let out;
    // SAFETY: FCVTL is baseline AArch64 and touches only its registers.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) out, in(vreg) halves,
            options(pure, nomem, nostack));
    }
    out
}

/// The upper four of eight halves as floats.
#[inline(always)]
pub(crate) fn f16_high_to_f32(halves: uint16x8_t) -> float32x4_t {
    let out;
    // SAFETY: FCVTL2 is baseline AArch64 and touches only its registers.
    unsafe {
        asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) out, in(vreg) halves,
            options(pure, nomem, nostack));
    }
    out
}

/// Four halves as floats.
#[inline(always)]
pub(crate) fn f16_to_f32(halves: uint16x4_t) -> float32x4_t {
    let out;
    // SAFETY: FCVTL is baseline AArch64 and touches only its registers.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) out, in(vreg) halves,
            options(pure, nomem, nostack));
    }
    out
}

/// Four floats as halves, rounded to nearest and even.
#[inline(always)]
pub(crate) fn f32_to_f16(floats: float32x4_t) -> uint16x4_t {
    let out;
    // SAFETY: FCVTN is baseline AArch64 and touches only its registers.
    unsafe {
        asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) out, in(vreg) floats,
            options(pure, nomem, nostack));
    }
    out
}

/// Adds to each of four sums the dot product of four bytes: `sum[i] += a[4i..4i+4] . b[4i..4i+4]`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut out = sum;
    // SAFETY: the caller's CPU has SDOT, which touches only its registers.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) out, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    out
}

/// As [`sdot`], all four with the same four bytes of `b`: `sum[i] += a[4i..4i+4] . b[4 LANE..4 LANE+4]`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn sdot_lane<const LANE: usize>(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut out = sum;
    // SAFETY: the caller's CPU has SDOT, which touches only its registers.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{lane}]", inout(vreg) out, in(vreg) a, in(vreg) b,
            lane = const LANE, options(pure, nomem, nostack, preserves_flags));
    }
    out
}

/// The same pointer, of unknown origin. Pointers that a loop moves on through this stay in registers of their own,
/// where the compiler would add one counter to all of them in every round.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block, reason = "the pointer is passed on, not followed")]
pub(crate) fn opaque<T>(pointer: *const T) -> *const T {
    let mut out = pointer;
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0} */", inout(reg) out, options(pure, nomem, nostack, preserves_flags)) }
    out
}
