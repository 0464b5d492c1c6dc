//! The kernels on vectors of activations. What is left of a vector behind its last whole register is done by the same
//! formula on single values.

use core::arch::x86_64::*;

use half::f16;

use super::registers::*;
use crate::backend::RopePairs;
use crate::columns::{ColumnsMut, Q8_BLOCK, Scales};
use crate::recurrent::{self, DeltaInputs};
use crate::scan::SpreadMut;
use crate::x86::curves;
use crate::{math, scalar};

/// See [`crate::Backend::quantize_q8`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn quantize_q8(x: &[f32], scales: Scales, out: &mut ColumnsMut<'_>) {
    let blocks = x.as_chunks::<Q8_BLOCK>().0.iter().zip(out.q.as_chunks_mut::<Q8_BLOCK>().0);
    for (((x, q), d), s) in blocks.zip(out.d.iter_mut()).zip(out.s.as_chunks_mut::<2>().0) {
        let (scale, bytes) = quantize_block(x, scales);
        *d = scale;
        // SAFETY: q has 32 bytes.
        unsafe { _mm256_storeu_si256(q.as_mut_ptr().cast(), bytes) };
        // Sums of four in each lane, the first 16 values in the lower half.
        let sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
        let sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
        let sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32::<0b01_00_11_10>(sums));
        let sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32::<0b10_11_00_01>(sums));
        *s = [_mm256_extract_epi32::<0>(sums), _mm256_extract_epi32::<4>(sums)].map(|sum| *d * sum as f32);
    }
}

/// The scale and the quantised values of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn quantize_block(x: &[f32; Q8_BLOCK], scales: Scales) -> (f32, __m256i) {
    let [a, b, c, e] = [0, 8, 16, 24].map(|at| load(x[at..].first_chunk().expect("32 values")));
    let mut greatest = _mm256_setzero_si256();
    for x in [a, b, c, e] {
        let magnitude = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(i32::MAX));
        greatest = _mm256_max_epi32(greatest, magnitude);
    }
    let (scale, inverse) = scales.of(reduce_magnitudes(greatest));
    let inverse = _mm256_set1_ps(inverse);
    let round = |x| _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse));
    // Packing works within halves of registers: | a b c e | a b c e |, four bytes of each.
    let ab = _mm256_packs_epi32(round(a), round(b));
    let ce = _mm256_packs_epi32(round(c), round(e));
    let bytes = _mm256_max_epi8(_mm256_packs_epi16(ab, ce), _mm256_set1_epi8(-127));
    (scale, _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)))
}

/// See [`crate::Backend::rms_norm`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let (chunks, rest) = x.as_chunks::<8>();
    let (pairs, odd) = chunks.as_chunks::<2>();
    let (mut first, mut second) = (_mm256_setzero_ps(), _mm256_setzero_ps());
    for [a, b] in pairs {
        first = _mm256_fmadd_ps(load(a), load(a), first);
        second = _mm256_fmadd_ps(load(b), load(b), second);
    }
    for a in odd {
        first = _mm256_fmadd_ps(load(a), load(a), first);
    }
    let sum = reduce_sum(_mm256_add_ps(first, second)) + rest.iter().map(|x| x * x).sum::<f32>();
    let scale = 1.0 / math::sqrt(sum / x.len() as f32 + eps);
    let (gains, last_gains) = gain.as_chunks::<8>();
    let (outs, last_outs) = out.as_chunks_mut::<8>();
    for ((x, gain), out) in chunks.iter().zip(gains).zip(outs) {
        store(out, _mm256_mul_ps(_mm256_mul_ps(load(x), _mm256_set1_ps(scale)), load(gain)));
    }
    for ((x, gain), out) in rest.iter().zip(last_gains).zip(last_outs) {
        *out = x * scale * gain;
    }
}

/// See [`crate::Backend::rope`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rope(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], pairs: RopePairs) {
    let turned = 2 * cos.len();
    for head in x.chunks_exact_mut(head_dim) {
        match pairs {
            RopePairs::Adjacent => turn_adjacent(&mut head[..turned], cos, sin),
            RopePairs::Halves => {
                let (a, b) = head[..turned].split_at_mut(turned / 2);
                turn_halves(a, b, cos, sin);
            }
        }
    }
}

/// Turns the pairs `(x[2 i], x[2 i + 1])`.
#[target_feature(enable = "avx2,fma,f16c")]
fn turn_adjacent(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (chunks, rest) = x.as_chunks_mut::<8>();
    let (coses, last_cos) = cos.as_chunks::<4>();
    let (sines, last_sin) = sin.as_chunks::<4>();
    for ((x, cos), sin) in chunks.iter_mut().zip(coses).zip(sines) {
        let (v, cos, sin) = (load(x), twice(cos), twice(sin));
        let swapped = _mm256_permute_ps::<0b10_11_00_01>(v);
        // Even lanes: a cos - b sin; odd lanes: b cos + a sin.
        store(x, _mm256_fmaddsub_ps(v, cos, _mm256_mul_ps(swapped, sin)));
    }
    for ((pair, cos), sin) in rest.as_chunks_mut::<2>().0.iter_mut().zip(last_cos).zip(last_sin) {
        let [a, b] = *pair;
        *pair = [a * cos - b * sin, a * sin + b * cos];
    }
}

/// Turns the pairs `(a[i], b[i])`.
#[target_feature(enable = "avx2,fma,f16c")]
fn turn_halves(a: &mut [f32], b: &mut [f32], cos: &[f32], sin: &[f32]) {
    let ((a, last_a), (b, last_b)) = (a.as_chunks_mut::<8>(), b.as_chunks_mut::<8>());
    let ((coses, last_cos), (sines, last_sin)) = (cos.as_chunks::<8>(), sin.as_chunks::<8>());
    for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(coses).zip(sines) {
        let (va, vb, cos, sin) = (load(a), load(b), load(cos), load(sin));
        store(a, _mm256_fmsub_ps(va, cos, _mm256_mul_ps(vb, sin)));
        store(b, _mm256_fmadd_ps(va, sin, _mm256_mul_ps(vb, cos)));
    }
    for (((a, b), cos), sin) in last_a.iter_mut().zip(last_b).zip(last_cos).zip(last_sin) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

/// See [`crate::Backend::silu_mul`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    let (gates, last_gates) = gate.as_chunks_mut::<8>();
    let (ups, last_ups) = up.as_chunks::<8>();
    let one = _mm256_set1_ps(1.0);
    for (gate, up) in gates.iter_mut().zip(ups) {
        let x = load(gate);
        let denominator = _mm256_add_ps(one, exp(_mm256_sub_ps(_mm256_setzero_ps(), x)));
        store(gate, _mm256_mul_ps(_mm256_div_ps(x, denominator), load(up)));
    }
    scalar::silu_mul(last_gates, last_ups);
}

/// See [`crate::Backend::gelu_mul`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gelu_mul(gate: &mut [f32], up: &[f32]) {
    // SAFETY: the caller has promised the CPU's features.
    unsafe { curves::gelu_mul::<__m256, 8>(gate, up) }
}

/// See [`crate::Backend::soft_cap`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn soft_cap(x: &mut [f32], scale: f32, cap: f32) {
    // SAFETY: the caller has promised the CPU's features.
    unsafe { curves::soft_cap::<__m256, 8>(x, scale, cap) }
}

/// See [`crate::Backend::scan`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn scan(x: &[f32], scale: f32, out: &mut SpreadMut<'_>) {
    crate::scan::scan(x, scale, out);
}

/// See [`crate::Backend::add`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    // The compiler makes the best of this by itself, given the instruction set.
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// See [`crate::Backend::store_kv`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_f16(x: &[f32], out: &mut [u8]) {
    let ((chunks, rest), (outs, last_outs)) = (x.as_chunks::<8>(), out.as_chunks_mut::<16>());
    for (x, out) in chunks.iter().zip(outs) {
        let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(load(x));
        // SAFETY: out has eight halves.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), halves) };
    }
    scalar::store_f16(rest, last_outs);
}

/// See [`crate::Backend::store_kv`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_q8_0(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<34>().0) {
        let (d, bytes) = quantize_block(x, Scales::Least);
        let (scale, q) = out.split_first_chunk_mut().expect("a block begins with its scale");
        *scale = f16::from_f32(d).to_le_bytes();
        // SAFETY: q has 32 bytes.
        unsafe { _mm256_storeu_si256(q.as_mut_ptr().cast(), bytes) };
    }
}

/// See [`crate::Backend::store_kv`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_q4_0(x: &[f32], out: &mut [u8]) {
    // The compiler makes the best of this by itself, given the instruction set.
    scalar::store_q4_0(x, out);
}

/// Four values, each in two neighbouring lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn twice(x: &[f32; 4]) -> __m256 {
    // SAFETY: the reference is to four floats.
    let x = _mm256_castps128_ps256(unsafe { _mm_loadu_ps(x.as_ptr()) });
    _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3))
}

/// See [`crate::Backend::delta_rule`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn delta_rule(memory: &mut [f32], inputs: &DeltaInputs<'_>, out: &mut [f32]) {
    recurrent::delta_rule(memory, inputs, out);
}
