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

/// Adds eight weights of each of four rows, the four of one step and then of the next, to the products with four columns,
/// and moves on behind the weights: `sums[c][r] += weights[16 step + 4r..][..4] . x[c][4 (FIRST + step)..][..4]`.
///
/// One block with its loads, in its place: the compiler would load far ahead, and have no registers left for it.
///
/// # Safety
/// There must be 32 bytes of weights.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn sdot_steps<const FIRST: usize>(
    [mut a, mut b, mut c, mut d]: [int32x4_t; 4],
    weights: &mut *const u8,
    x: [int8x16_t; 4],
) -> [int32x4_t; 4] {
    // SAFETY: the caller's CPU has SDOT, and the weights are there.
    unsafe {
        asm!(
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "sdot {a:v}.4s, {w0:v}.16b, {xa:v}.4b[{first}]",
            "sdot {b:v}.4s, {w0:v}.16b, {xb:v}.4b[{first}]",
            "sdot {c:v}.4s, {w0:v}.16b, {xc:v}.4b[{first}]",
            "sdot {d:v}.4s, {w0:v}.16b, {xd:v}.4b[{first}]",
            "sdot {a:v}.4s, {w1:v}.16b, {xa:v}.4b[{first} + 1]",
            "sdot {b:v}.4s, {w1:v}.16b, {xb:v}.4b[{first} + 1]",
            "sdot {c:v}.4s, {w1:v}.16b, {xc:v}.4b[{first} + 1]",
            "sdot {d:v}.4s, {w1:v}.16b, {xd:v}.4b[{first} + 1]",
            a = inout(vreg) a, b = inout(vreg) b, c = inout(vreg) c, d = inout(vreg) d,
            xa = in(vreg) x[0], xb = in(vreg) x[1], xc = in(vreg) x[2], xd = in(vreg) x[3],
            w0 = out(vreg) _, w1 = out(vreg) _, weights = inout(reg) *weights, first = const FIRST,
            options(readonly, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// Adds eight weights of each of two pairs of rows to the products with two pairs of columns, and moves on behind the
/// weights: `sums[2p + q][2j + i] += weights[16p + 8i..][..8] . x[q][8j..][..8]`.
///
/// One block with its loads, in its place, as [`sdot_steps`].
///
/// # Safety
/// There must be 32 bytes of weights.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) unsafe fn smmla_step(
    [mut a, mut b, mut c, mut d]: [int32x4_t; 4],
    weights: &mut *const u8,
    x: [int8x16_t; 2],
) -> [int32x4_t; 4] {
    // SAFETY: the caller's CPU has SMMLA, and the weights are there.
    unsafe {
        asm!(
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "smmla {a:v}.4s, {x0:v}.16b, {w0:v}.16b",
            "smmla {b:v}.4s, {x1:v}.16b, {w0:v}.16b",
            "smmla {c:v}.4s, {x0:v}.16b, {w1:v}.16b",
            "smmla {d:v}.4s, {x1:v}.16b, {w1:v}.16b",
            a = inout(vreg) a, b = inout(vreg) b, c = inout(vreg) c, d = inout(vreg) d,
            x0 = in(vreg) x[0], x1 = in(vreg) x[1],
            w0 = out(vreg) _, w1 = out(vreg) _, weights = inout(reg) *weights,
            options(readonly, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// The same vectors, computed before whatever block stands behind: what comes later needs their registers.
#[inline(always)]
pub(crate) fn settle([mut a, mut b, mut c, mut d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: there is no instruction.
    unsafe {
        asm!("/* {0:v} {1:v} {2:v} {3:v} */", inout(vreg) a, inout(vreg) b, inout(vreg) c, inout(vreg) d,
            options(nomem, nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// The same vector, of unknown origin: the compiler would split it into its lanes, a register each.
#[inline(always)]
pub(crate) fn whole(mut vector: float32x4_t) -> float32x4_t {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0:v} */", inout(vreg) vector, options(pure, nomem, nostack, preserves_flags)) }
    vector
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
