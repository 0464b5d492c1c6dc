//! The kernels on vectors that are faster with sixteen lanes.

use core::arch::x86_64::*;

use crate::columns::{ColumnsMut, Q8_BLOCK, Scales};
use crate::scan::SpreadMut;
use crate::x86::avx2;
use crate::x86::avx2::registers::reduce_magnitudes;
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
            let denominator = one.add(x.neg().exp());
            _mm512_div_ps(x, denominator).mul(Floats::load(up)).store(gate);
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

/// See [`crate::Backend::quantize_q8`]: the operations of AVX2's.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn quantize_q8(x: &[f32], scales: Scales, out: &mut ColumnsMut<'_>) {
    let blocks = x.as_chunks::<Q8_BLOCK>().0.iter().zip(out.q.as_chunks_mut::<Q8_BLOCK>().0);
    for (((x, q), d), s) in blocks.zip(out.d.iter_mut()).zip(out.s.as_chunks_mut::<2>().0) {
        // SAFETY: a block has two registers of floats, and q 32 bytes; the caller has promised the CPU's features.
        unsafe {
            let [a, b] = [0, 16].map(|at| _mm512_loadu_ps(x.as_ptr().add(at)));
            let magnitude = |x| _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MAX));
            let greatest = _mm512_max_epi32(magnitude(a), magnitude(b));
            let upper = _mm512_extracti64x4_epi64::<1>(greatest);
            let greatest = _mm256_max_epi32(_mm512_castsi512_si256(greatest), upper);
            let (scale, inverse) = scales.of(reduce_magnitudes(greatest));
            let inverse = _mm512_set1_ps(inverse);
            let round = |x| _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)));
            let bytes = _mm256_max_epi8(_mm256_set_m128i(round(b), round(a)), _mm256_set1_epi8(-127));
            _mm256_storeu_si256(q.as_mut_ptr().cast(), bytes);
            // Sums of four in each lane, the first 16 values in the lower half.
            let sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
            let sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32::<0b01_00_11_10>(sums));
            let sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32::<0b10_11_00_01>(sums));
            *d = scale;
            *s =
                [_mm256_extract_epi32::<0>(sums), _mm256_extract_epi32::<4>(sums)].map(|sum| *d * sum as f32);
        }
    }
}
