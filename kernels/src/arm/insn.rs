//! Single instructions that `core::arch` does not offer on stable Rust: conversions of halves, dot and matrix products.
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

/// Adds the products of two vectors of eight bytes with two others: `sum[2i + j] += a[8i..8i+8] . b[8j..8j+8]`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) fn smmla(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut out = sum;
    // SAFETY: the caller's CPU has SMMLA, which touches only its registers.
    unsafe {
        asm!("smmla {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) out, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    out
}
