//! What the compiler is told so that values stay in the registers they belong in. Invariant: there is no instruction behind
//! any of it, but the load of what is to be kept.

use core::arch::aarch64::*;
use core::arch::asm;

/// Has the vectors computed before whatever block stands behind: what comes later needs their registers.
#[inline(always)]
pub(crate) fn settle(vectors: &mut [float32x4_t]) {
    for vector in vectors {
        // SAFETY: there is no instruction.
        unsafe { asm!("/* {0:v} */", inout(vreg) * vector, options(nomem, nostack, preserves_flags)) }
    }
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

/// The same number, of unknown origin: the compiler would not keep it in a register, by which loads move pointers on.
#[inline(always)]
pub(crate) fn unknown(number: usize) -> usize {
    let mut out = number;
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0} */", inout(reg) out, options(pure, nomem, nostack, preserves_flags)) }
    out
}

/// The same bytes, kept in a register where the compiler would make or load them again.
#[inline(always)]
pub(crate) fn kept(bytes: [u8; 16]) -> uint8x16_t {
    // SAFETY: the array is as long as the load, and there is no instruction.
    unsafe {
        let mut out = vld1q_u8(bytes.as_ptr());
        asm!("/* {0:v} */", inout(vreg) out, options(pure, nomem, nostack, preserves_flags));
        out
    }
}
