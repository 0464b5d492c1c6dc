//! Gates and caps of values.

use core::arch::aarch64::*;

use super::vectors::{Exp, load, store};
use crate::scalar::{self, GELU};

/// See [`crate::Backend::gelu_mul`].
#[target_feature(enable = "neon")]
pub(super) fn gelu_mul(gate: &mut [f32], up: &[f32]) {
    let (gates, last_gates) = gate.as_chunks_mut::<4>();
    let (ups, last_ups) = up.as_chunks::<4>();
    let exp = Exp::new();
    // Of the negative of the exponent, since that is what Exp takes.
    let factors = GELU.map(|factor| vdupq_n_f32(-factor));
    for (gate, up) in gates.iter_mut().zip(ups) {
        let x = load(gate);
        let negative = vmulq_f32(x, vfmaq_f32(factors[0], vmulq_f32(x, x), factors[1]));
        let gelu = vdivq_f32(x, vaddq_f32(exp.one, exp.of_negative(exp.no_less(negative))));
        store(gate, vmulq_f32(gelu, load(up)));
    }
    scalar::gelu_mul(last_gates, last_ups);
}

/// See [`crate::Backend::soft_cap`].
#[target_feature(enable = "neon")]
pub(crate) fn soft_cap(x: &mut [f32], scale: f32, cap: f32) {
    let (xs, rest) = x.as_chunks_mut::<4>();
    let exp = Exp::new();
    let (twice, cap_of_all, factor) =
        (vdupq_n_f32(2.0 * cap), vdupq_n_f32(cap), vdupq_n_f32(-2.0 * scale / cap));
    for x in xs {
        let negative = exp.no_less(vmulq_f32(load(x), factor));
        let denominator = vaddq_f32(exp.one, exp.of_negative(negative));
        store(x, vsubq_f32(cap_of_all, vdivq_f32(twice, denominator)));
    }
    scalar::soft_cap(rest, scale, cap);
}
