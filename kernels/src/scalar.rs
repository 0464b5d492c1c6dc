//! Every kernel in plain Rust, written to be read: what the tables of other backends inherit from, and the oracle
//! that their tests compare with.
//!
//! How a product of quantised numbers works. A weight is `w = d_w q_w + m_w` within its block, an activation
//! `x = d_x q_x` within its own, both `q` small integers. So over a run of `i` that shares both blocks
//! ```text
//! sum of w x  =  d_w d_x (sum of q_w q_x)  +  m_w (d_x sum of q_x)
//!                         integers only            = s, computed once per column
//! ```
//! Fast backends compute the first sum in integers and take the second from [`Columns`]. This file does the same sum
//! the slow way: it writes the block's exact weights out as floats, and multiplies those.

#![forbid(unsafe_code)]

use half::f16;

use crate::backend::{ATTEND_KEYS, AttendMut, FormatKernels, RopePairs, Table};
use crate::blocks::*;
use crate::ceiling;
use crate::columns::{Columns, ColumnsMut, Q8_BLOCK, Q8_SUM};
use crate::dequantize::Weights;
use crate::math;
use crate::tile::TileMut;

/// The kernels that every CPU runs.
pub const TABLE: Table = Table {
    name: "scalar",
    supported: || true,
    formats: FORMATS,
    scratch_bytes: |_| 0,
    quantize_q8,
    rms_norm,
    rope,
    silu_mul,
    add,
    to_f16,
    attend_f16,
    ceiling: ceiling::SCALAR,
};

/// One entry per format, in the order of [`Format::ALL`].
const FORMATS: [FormatKernels; Format::COUNT] = [
    floats::<BlockF32>(),
    floats::<BlockF16>(),
    floats::<BlockBF16>(),
    quantized::<BlockQ8_0>(),
    quantized::<BlockQ4_0>(),
    quantized::<BlockQ4_1>(),
    quantized::<BlockQ5_0>(),
    quantized::<BlockQ5_1>(),
    quantized::<BlockQ2K>(),
    quantized::<BlockQ3K>(),
    quantized::<BlockQ4K>(),
    quantized::<BlockQ5K>(),
    quantized::<BlockQ6K>(),
    quantized::<BlockIQ4NL>(),
    quantized::<BlockIQ4XS>(),
];

const fn floats<B: Weights>() -> FormatKernels {
    FormatKernels { origin: "scalar", matmul: matmul_f32::<B>, dequantize: dequantize::<B> }
}

const fn quantized<B: Weights>() -> FormatKernels {
    FormatKernels { origin: "scalar", matmul: matmul_q8::<B>, dequantize: dequantize::<B> }
}

/// See [`crate::Backend::dequantize`].
fn dequantize<B: Weights>(weights: &[u8], out: &mut [f32]) {
    for (block, out) in as_blocks::<B>(weights).iter().zip(out.chunks_exact_mut(B::LEN)) {
        block.write(out);
    }
}

/// See [`crate::Backend::matmul`], for formats that multiply with 8-bit activations.
fn matmul_q8<B: Weights>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, _scratch: &mut [u8]) {
    let row_blocks = x.k / B::LEN;
    let blocks = as_blocks::<B>(weights);
    // The longest block of any format.
    let mut w = [0.0; 256];
    let w = &mut w[..B::LEN];
    for c in 0..x.n {
        out.column(c).fill(0.0);
    }
    for r in 0..out.rows() {
        for b in 0..row_blocks {
            blocks[r * row_blocks + b].write(w);
            for c in 0..x.n {
                let x = x.column(c);
                let mut sum = 0.0;
                for (i, w) in w.chunks_exact(Q8_BLOCK).enumerate() {
                    let i = b * (B::LEN / Q8_BLOCK) + i;
                    let q = &x.q[i * Q8_BLOCK..][..Q8_BLOCK];
                    sum += x.d[i] * dot(w, q.iter().map(|&q| f32::from(q)));
                }
                out.column(c)[r] += sum;
            }
        }
    }
}

/// See [`crate::Backend::matmul`], for formats that multiply with floats.
fn matmul_f32<B: Weights>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, _scratch: &mut [u8]) {
    let blocks = as_blocks::<B>(weights);
    for r in 0..out.rows() {
        let row = &blocks[r * x.k..][..x.k];
        for c in 0..x.n {
            let mut sum = 0.0;
            for (w, x) in row.iter().zip(x.column(c).f32) {
                let mut value = [0.0];
                w.write(&mut value);
                sum += value[0] * x;
            }
            out.column(c)[r] = sum;
        }
    }
}

fn dot(a: &[f32], b: impl Iterator<Item = f32>) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// See [`crate::Backend::quantize_q8`].
fn quantize_q8(x: &[f32], out: &mut ColumnsMut<'_>) {
    let blocks = x.chunks_exact(Q8_BLOCK).zip(out.q.chunks_exact_mut(Q8_BLOCK));
    for (((x, q), d), s) in blocks.zip(out.d.iter_mut()).zip(out.s.chunks_exact_mut(Q8_BLOCK / Q8_SUM)) {
        let max = x.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        *d = max / 127.0;
        let inverse = if max > 0.0 { 127.0 / max } else { 0.0 };
        for (x, q) in x.iter().zip(q.iter_mut()) {
            // `as` saturates and takes a NaN to 0; the clamp keeps -128 out.
            *q = (math::round(x * inverse) as i8).max(-127);
        }
        for (q, s) in q.chunks_exact(Q8_SUM).zip(s) {
            *s = *d * q.iter().map(|&q| i32::from(q)).sum::<i32>() as f32;
        }
    }
}

/// See [`crate::Backend::rms_norm`].
fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let mean = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    let scale = 1.0 / math::sqrt(mean + eps);
    for ((x, gain), out) in x.iter().zip(gain).zip(out) {
        *out = x * scale * gain;
    }
}

/// See [`crate::Backend::rope`].
pub(crate) fn rope(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], pairs: RopePairs) {
    let half = cos.len();
    for head in x.chunks_exact_mut(head_dim) {
        for i in 0..half {
            let (ia, ib) = match pairs {
                RopePairs::Adjacent => (2 * i, 2 * i + 1),
                RopePairs::Halves => (i, i + half),
            };
            let (a, b) = (head[ia], head[ib]);
            head[ia] = a * cos[i] - b * sin[i];
            head[ib] = a * sin[i] + b * cos[i];
        }
    }
}

/// See [`crate::Backend::silu_mul`].
fn silu_mul(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + math::exp(-*gate)) * up;
    }
}

/// See [`crate::Backend::add`].
fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// See [`crate::Backend::to_f16`].
fn to_f16(x: &[f32], out: &mut [f16]) {
    for (x, out) in x.iter().zip(out) {
        *out = f16::from_f32(*x);
    }
}

/// See [`crate::Backend::attend_f16`].
fn attend_f16(query: &[f32], keys: &[f16], values: &[f16], scale: f32, state: &mut AttendMut<'_>) {
    let dim = query.len() / state.max.len();
    let mut scores = [0.0; ATTEND_KEYS];
    let scores = &mut scores[..keys.len() / dim];
    let heads = query.chunks_exact(dim).zip(state.acc.chunks_exact_mut(dim));
    for ((query, acc), (max, sum)) in heads.zip(state.max.iter_mut().zip(state.sum.iter_mut())) {
        let mut new_max = *max;
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(dim)) {
            *score = scale * dot(query, key.iter().map(|k| k.to_f32()));
            new_max = new_max.max(*score);
        }
        // What was summed relative to the old maximum is brought to the new one; nothing yet: exp(-inf) is 0.
        let shrink = math::exp(*max - new_max);
        *max = new_max;
        *sum *= shrink;
        acc.iter_mut().for_each(|acc| *acc *= shrink);
        for (score, value) in scores.iter().zip(values.chunks_exact(dim)) {
            let weight = math::exp(score - new_max);
            *sum += weight;
            for (acc, value) in acc.iter_mut().zip(value) {
                *acc += weight * value.to_f32();
            }
        }
    }
}
