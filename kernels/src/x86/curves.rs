//! Gates and caps of values, written once for registers of any width. Like every elementwise kernel they give a value the
//! bits that depend on it alone, but for a rest that fills no register, which is the scalar kernels'.

use super::register::Floats;
use crate::scalar::{self, GELU};

/// See [`crate::Backend::gelu_mul`].
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
pub(super) unsafe fn gelu_mul<F: Floats<N>, const N: usize>(gate: &mut [f32], up: &[f32]) {
    let (gates, last_gates) = gate.as_chunks_mut::<N>();
    let (ups, last_ups) = up.as_chunks::<N>();
    for (gate, up) in gates.iter_mut().zip(ups) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let x = F::load(gate);
            let factor = x.mul(x).mul_add(F::splat(GELU[1]), F::splat(GELU[0]));
            let denominator = x.mul(factor).exp().add(F::splat(1.0));
            x.div(denominator).mul(F::load(up)).store(gate);
        }
    }
    scalar::gelu_mul(last_gates, last_ups);
}

/// See [`crate::Backend::soft_cap`].
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
pub(super) unsafe fn soft_cap<F: Floats<N>, const N: usize>(x: &mut [f32], scale: f32, cap: f32) {
    let (xs, rest) = x.as_chunks_mut::<N>();
    for x in xs {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe { capped::<F, N>(F::load(x), scale, cap).store(x) }
    }
    scalar::soft_cap(rest, scale, cap);
}

/// `cap * tanh(x * scale / cap)`
///
/// # Safety
/// The CPU must have the features of `F`.
#[inline(always)]
pub(super) unsafe fn capped<F: Floats<N>, const N: usize>(x: F, scale: f32, cap: f32) -> F {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let denominator = x.mul(F::splat(2.0 * scale / cap)).exp().add(F::splat(1.0));
        F::splat(cap).sub(F::splat(2.0 * cap).div(denominator))
    }
}
