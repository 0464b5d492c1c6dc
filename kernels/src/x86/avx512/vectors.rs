//! The kernels on vectors that are faster with sixteen lanes.

use core::arch::x86_64::*;

use crate::scan::SpreadMut;
use crate::x86::avx2;
use crate::x86::curves;
use crate::x86::register::Floats;

/// See [`crate::Backend::silu_mul`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    let (gates, last_gates) = gate.as_chunks_mut::<16>();
    let (ups, last_ups) = up.as_chunks::<16>();
    let one = _mm512_set1_ps(1.0);
    for (gate, up) in gates.iter_mut().zip(ups) {
        // SAFETY: the caller has promised the CPU's features.
        unsafe {
            let x = __m512::load(gate);
            let denominator = one.plus(x.negative().exp());
            _mm512_div_ps(x, denominator).times(Floats::load(up)).store(gate);
        }
    }
    avx2::vectors::silu_mul(last_gates, last_ups);
}

/// See [`crate::Backend::gelu_mul`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn gelu_mul(gate: &mut [f32], up: &[f32]) {
    // SAFETY: the caller has promised the CPU's features.
    unsafe { curves::gelu_mul::<__m512, 16>(gate, up) }
}

/// See [`crate::Backend::soft_cap`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn soft_cap(x: &mut [f32], scale: f32, cap: f32) {
    // SAFETY: the caller has promised the CPU's features.
    unsafe { curves::soft_cap::<__m512, 16>(x, scale, cap) }
}

/// See [`crate::Backend::scan`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn scan(x: &[f32], scale: f32, out: &mut SpreadMut<'_>) {
    crate::scan::scan(x, scale, out);
}
