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

use crate::attention::{ATTEND_KEYS, AttendMut, KvKernels, Piece, Queries, Score};
use crate::backend::{Features, FormatKernels, RopePairs, Table};
use crate::blocks::*;
use crate::ceiling;
use crate::columns::{Columns, ColumnsMut, Q8_BLOCK, Q8_SUM, Scales};
use crate::dequantize::Weights;
use crate::math;
use crate::recurrent::delta_rule;
use crate::scan::scan;
use crate::tile::TileMut;

/// The kernels that every CPU runs.
pub const TABLE: Table = Table {
    name: "scalar",
    features: Features { own: &[], below: None },
    formats: FORMATS,
    scratch_bytes: |_| 0,
    quantize_q8,
    rms_norm,
    rope,
    silu_mul,
    gelu_mul,
    soft_cap,
    add,
    delta_rule,
    scan,
    kv: [cached::<BlockF16>(store_f16), cached::<BlockQ8_0>(store_q8_0), cached::<BlockQ4_0>(store_q4_0)],
    attend_join: |all, run| attend_join(all, run, math::exp),
    attend_scratch: |rows, dim| dim.saturating_add(rows.saturating_mul(2)),
    ceiling: ceiling::SCALAR,
};

/// One entry per format.
const FORMATS: [FormatKernels; Format::COUNT] = in_order([
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
    quantized::<BlockMXFP4>(),
]);

/// The kernels alone. A list in another order than that of [`Format::ALL`] does not compile.
const fn in_order(all: [(Format, FormatKernels); Format::COUNT]) -> [FormatKernels; Format::COUNT] {
    let mut kernels = [all[0].1; Format::COUNT];
    let mut i = 0;
    while i < Format::COUNT {
        assert!(all[i].0 as usize == i, "the list has the order of Format::ALL");
        kernels[i] = all[i].1;
        i += 1;
    }
    kernels
}

const fn cached<B: Weights>(store: fn(&[f32], &mut [u8])) -> KvKernels {
    KvKernels { origin: "scalar", store, attend: attend::<B>, attend_wide: attend_wide::<B> }
}

const fn floats<B: Weights>() -> (Format, FormatKernels) {
    (B::FORMAT, FormatKernels { origin: "scalar", matmul: matmul_f32::<B>, dequantize: dequantize::<B> })
}

const fn quantized<B: Weights>() -> (Format, FormatKernels) {
    (B::FORMAT, FormatKernels { origin: "scalar", matmul: matmul_q8::<B>, dequantize: dequantize::<B> })
}

/// See [`crate::Backend::dequantize`].
fn dequantize<B: Weights>(weights: &[u8], out: &mut [f32]) {
    for (block, out) in as_blocks::<B>(weights).iter().zip(out.chunks_exact_mut(B::LEN)) {
        block.write(out);
    }
}

/// See [`crate::Backend::matmul`], for formats that multiply with 8-bit activations.
fn matmul_q8<B: Weights>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, _scratch: &mut [u8]) {
    multiply_q8((B::LEN, size_of::<B>()), dequantize::<B>, weights, x, out);
}

/// [`matmul_q8`] for blocks of so many weights and bytes, which `write` makes floats of: compiled once for all formats.
fn multiply_q8(
    (len, bytes): (usize, usize),
    write: fn(&[u8], &mut [f32]),
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
) {
    for c in 0..x.n {
        out.column(c).fill(0.0);
    }
    if x.k == 0 {
        return;
    }
    // The longest block of any format.
    let mut w = [0.0; 256];
    let w = &mut w[..len];
    for (r, row) in weights.chunks_exact(x.k / len * bytes).enumerate() {
        for (b, block) in row.chunks_exact(bytes).enumerate() {
            write(block, w);
            for c in 0..x.n {
                let x = x.column(c);
                let mut sum = 0.0;
                for (i, w) in w.chunks_exact(Q8_BLOCK).enumerate() {
                    let i = b * (len / Q8_BLOCK) + i;
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
fn quantize_q8(x: &[f32], scales: Scales, out: &mut ColumnsMut<'_>) {
    let blocks = x.chunks_exact(Q8_BLOCK).zip(out.q.chunks_exact_mut(Q8_BLOCK));
    for (((x, q), d), s) in blocks.zip(out.d.iter_mut()).zip(out.s.chunks_exact_mut(Q8_BLOCK / Q8_SUM)) {
        let inverse;
        (*d, inverse) = scales.of(greatest(x));
        for (x, q) in x.iter().zip(q.iter_mut()) {
            // `as` saturates and takes a NaN to 0; the clamp keeps -128 out.
            *q = (math::round(x * inverse) as i8).max(-127);
        }
        for (q, s) in q.chunks_exact(Q8_SUM).zip(s) {
            *s = *d * q.iter().map(|&q| i32::from(q)).sum::<i32>() as f32;
        }
    }
}

/// The greatest magnitude; NaN if a value is.
fn greatest(x: &[f32]) -> f32 {
    // As integers, floats that are not negative have their order, and a NaN is greater than all.
    f32::from_bits(x.iter().fold(0, |max, x| max.max(x.abs().to_bits())))
}

/// See [`crate::Backend::rms_norm`].
fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let mean = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    let scale = 1.0 / math::sqrt(mean + eps);
    for ((x, gain), out) in x.iter().zip(gain).zip(out) {
        *out = x * scale * gain;
    }
}

/// See [`crate::Backend::layer_norm`]: what every backend runs.
pub(crate) fn layer_norm(x: &[f32], gain: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    /// Sums in progress: as many as a compiler keeps in the registers of any CPU.
    const LANES: usize = 16;
    fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
        let (chunks, rest) = x.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += of(*x);
            }
        }
        sums.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
    }
    let mean = sum(x, |x| x) / x.len() as f32;
    // Of the differences: the mean square minus the squared mean loses what a large mean leaves of the variance.
    let variance = sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    let scale = 1.0 / math::sqrt(variance + eps);
    for ((x, gain), out) in x.iter().zip(gain).zip(out.iter_mut()) {
        *out = (x - mean) * scale * gain;
    }
    if let Some(bias) = bias {
        out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
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
pub(crate) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + math::exp(-*gate)) * up;
    }
}

/// See [`crate::Backend::gelu_mul`].
pub(crate) fn gelu_mul(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = gelu(*gate) * up;
    }
}

/// `-2 sqrt(2 / pi)` and that times 0.044715: the factors of `x` and `x^3` in the exponent of the Gaussian unit.
pub(crate) const GELU: [f32; 2] = [-1.595_769, -0.071_354_814];

fn gelu(x: f32) -> f32 {
    x / (1.0 + math::exp(x * (GELU[0] + GELU[1] * x * x)))
}

/// See [`crate::Backend::soft_cap`].
pub(crate) fn soft_cap(x: &mut [f32], scale: f32, cap: f32) {
    for x in x {
        // tanh(u) = 1 - 2 / (exp(2 u) + 1)
        *x = cap - 2.0 * cap / (math::exp(*x * (2.0 * scale / cap)) + 1.0);
    }
}

/// See [`crate::Backend::add`].
fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// See [`crate::Backend::store_kv`].
pub(crate) fn store_f16(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.iter().zip(out.as_chunks_mut().0) {
        *out = f16::from_f32(*x).to_le_bytes();
    }
}

/// See [`crate::Backend::store_kv`]: `d = max|x| / 127`, `q = round(x / d)`.
fn store_q8_0(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<34>().0) {
        let max = greatest(x);
        let inverse = if max > 0.0 { 127.0 / max } else { 0.0 };
        let ([d0, d1], q) = out.split_first_chunk_mut().expect("a block begins with its scale");
        [*d0, *d1] = f16::from_f32(max / 127.0).to_le_bytes();
        for (x, q) in x.iter().zip(q) {
            // `as` saturates and takes a NaN to 0; the clamp keeps -128 out.
            *q = (math::round(x * inverse) as i8).max(-127) as u8;
        }
    }
}

/// See [`crate::Backend::store_kv`]: `d` is an eighth of the value farthest from 0, negated, and `q = round(x / d) + 8`.
#[inline(always)]
pub(crate) fn store_q4_0(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<18>().0) {
        // A NaN is the farthest: see `greatest`.
        let farthest =
            x.iter().fold(0.0f32, |max, &x| if x.abs().to_bits() > max.abs().to_bits() { x } else { max });
        let d = farthest / -8.0;
        let inverse = if d != 0.0 { 1.0 / d } else { 0.0 };
        let ([d0, d1], qs) = out.split_first_chunk_mut().expect("a block begins with its scale");
        [*d0, *d1] = f16::from_f32(d).to_le_bytes();
        let (low, high) = x.split_at(16);
        for ((low, high), qs) in low.iter().zip(high).zip(qs) {
            // Half of a step more, and cut off: `as` saturates and takes a NaN to 0.
            let [low, high] = [low, high].map(|x| ((x * inverse + 8.5) as i32).clamp(0, 15) as u8);
            *qs = low | high << 4;
        }
    }
}

/// How a cache keeps keys and values: in blocks of so many values and bytes, which `write` makes floats of.
#[derive(Clone, Copy)]
struct Stored {
    len: usize,
    bytes: usize,
    write: fn(&[u8], &mut [f32]),
}

impl Stored {
    const fn of<B: Weights>() -> Stored {
        Stored { len: B::LEN, bytes: size_of::<B>(), write: dequantize::<B> }
    }

    /// Bytes of so many values.
    fn size(&self, values: usize) -> usize {
        values / self.len * self.bytes
    }

    /// Calls `each(i, value i)` for the values of some blocks.
    fn for_each_value(&self, blocks: &[u8], mut each: impl FnMut(usize, f32)) {
        let mut values = [0.0; Q8_BLOCK];
        for (b, blocks) in blocks.chunks(self.size(Q8_BLOCK)).enumerate() {
            let values = &mut values[..blocks.len() / self.bytes * self.len];
            (self.write)(blocks, values);
            values.iter().enumerate().for_each(|(i, &value)| each(b * Q8_BLOCK + i, value));
        }
    }
}

/// See [`crate::Backend::attend`].
fn attend<B: Weights>(query: &[f32], keys: &[u8], values: &[u8], score: Score, state: &mut AttendMut<'_>) {
    attend_heads(const { &Stored::of::<B>() }, query, keys, values, score, state);
}

/// [`attend`], compiled once for all formats, as what follows is.
fn attend_heads(
    stored: &Stored,
    query: &[f32],
    keys: &[u8],
    values: &[u8],
    score: Score,
    state: &mut AttendMut<'_>,
) {
    let dim = query.len() / state.max.len();
    let heads = query.chunks_exact(dim).zip(state.acc.chunks_exact_mut(dim));
    for ((query, acc), (max, sum)) in heads.zip(state.max.iter_mut().zip(state.sum.iter_mut())) {
        attend_head(stored, query, (keys, values), score, (max, sum, acc));
    }
}

/// Attends from one head to a run of keys.
fn attend_head(
    stored: &Stored,
    query: &[f32],
    (keys, values): (&[u8], &[u8]),
    of: Score,
    (max, sum, acc): (&mut f32, &mut f32, &mut [f32]),
) {
    let row = stored.size(query.len());
    let mut scores = [0.0; ATTEND_KEYS];
    let scores = &mut scores[..keys.len() / row];
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(row)) {
        let mut dot = 0.0;
        stored.for_each_value(key, |i, key| dot += query[i] * key);
        *score = of.scale * dot;
    }
    if let Some(cap) = of.cap {
        soft_cap(scores, 1.0, cap);
    }
    scores[..of.hidden].fill(f32::NEG_INFINITY);
    let new_max = scores.iter().copied().fold(*max, f32::max);
    // What was summed relative to the old maximum is brought to the new one; nothing yet: exp(-inf) is 0.
    let shrink = math::exp(*max - new_max);
    *max = new_max;
    *sum *= shrink;
    acc.iter_mut().for_each(|acc| *acc *= shrink);
    for (score, value) in scores.iter().zip(values.chunks_exact(row)) {
        let weight = math::exp(score - new_max);
        *sum += weight;
        stored.for_each_value(value, |i, value| acc[i] += weight * value);
    }
}

/// See [`crate::Backend::attend_join`].
#[inline(always)]
pub(crate) fn attend_join(all: &mut AttendMut<'_>, run: &AttendMut<'_>, exp: impl Fn(f32) -> f32) {
    let dim = all.acc.len() / all.max.len();
    let heads = all.acc.chunks_exact_mut(dim).zip(run.acc.chunks_exact(dim)).enumerate();
    for (h, (acc, more)) in heads {
        let max = all.max[h].max(run.max[h]);
        let shrink = |old: f32| if old == max { 1.0 } else { exp(old - max) };
        let (old, new) = (shrink(all.max[h]), shrink(run.max[h]));
        all.max[h] = max;
        all.sum[h] = all.sum[h] * old + run.sum[h] * new;
        for (acc, more) in acc.iter_mut().zip(more) {
            *acc = *acc * old + more * new;
        }
    }
}

/// See [`crate::Backend::attend_wide`].
fn attend_wide<B: Weights>(
    queries: &Queries<'_>,
    piece: Piece,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    attend_rows(const { &Stored::of::<B>() }, queries, piece, (keys, values), out, scratch);
}

/// [`attend_wide`], compiled once for all formats.
fn attend_rows(
    stored: &Stored,
    queries: &Queries<'_>,
    piece: Piece,
    (keys, values): (&[u8], &[u8]),
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    let row_bytes = stored.size(queries.dim);
    let end = piece.from + keys.len() / row_bytes;
    let (more, totals) = scratch.split_at_mut(queries.dim);
    let (maxima, sums) = totals[..2 * queries.rows()].split_at_mut(queries.rows());
    for row in 0..queries.rows() {
        let (token, head) = (row / queries.group, row % queries.group);
        let acc = &mut out.column(token)[head * queries.dim..][..queries.dim];
        let mut all = AttendMut { max: &mut maxima[row..=row], sum: &mut sums[row..=row], acc };
        if piece.from == 0 {
            all.reset();
            (all.max[0], all.sum[0]) = queries.start(row);
        }
        for from in (piece.from..end).step_by(ATTEND_KEYS) {
            let (hidden, seen) = piece.seen(queries, row, from, end.min(from + ATTEND_KEYS));
            if hidden >= seen {
                continue;
            }
            let bytes = (from - piece.from) * row_bytes..(from - piece.from + seen) * row_bytes;
            let run_of = (&keys[bytes.clone()], &values[bytes]);
            let mut run = AttendMut { max: &mut [0.0], sum: &mut [0.0], acc: more };
            run.reset();
            let AttendMut { max: [max], sum: [sum], acc } = &mut run else { unreachable!("one head") };
            let score = Score { hidden, ..queries.score };
            attend_head(stored, queries.row(row), run_of, score, (max, sum, acc));
            attend_join(&mut all, &run, math::exp);
        }
        if end == piece.all {
            let share = 1.0 / all.sum[0];
            all.acc.iter_mut().for_each(|acc| *acc *= share);
        }
    }
}
