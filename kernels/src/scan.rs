//! One look at a vector of logits: what a softmax over them, its entropy and the search for the greatest need.
//!
//! There is one body, compiled for each instruction set; the compiler makes registers of its lanes. No two of its operations are
//! fused and the order of its sums is written out, so every backend gives the same bits: a seeded draw from a whole vocabulary
//! is the same everywhere.
#![forbid(unsafe_code)]

use crate::math::{self, LN_2};

/// Logits that are scanned together: 1 KiB of them, so that a second look finds them in the nearest cache.
pub const SCAN_BLOCK: usize = 256;

/// Lanes of a sum: lane `i` takes every logit whose place is `i` modulo 16.
const LANES: usize = 16;

/// What [`crate::Backend::scan`] writes: a value for each block of [`SCAN_BLOCK`] logits `x`, the last of which may be shorter.
pub struct SpreadMut<'a> {
    /// The greatest that is a number, `m`; -inf if none is.
    pub max: &'a mut [f32],
    /// The sum of `exp(d)`, where `d = scale (x - m)`.
    pub sum: &'a mut [f32],
    /// The sum of `d exp(d)`.
    pub weighted: &'a mut [f32],
}

/// See [`crate::Backend::scan`].
#[inline(always)]
pub(crate) fn scan(x: &[f32], scale: f32, out: &mut SpreadMut<'_>) {
    let outs = out.max.iter_mut().zip(out.sum.iter_mut()).zip(out.weighted.iter_mut());
    for (x, ((max, sum), weighted)) in x.chunks(SCAN_BLOCK).zip(outs) {
        let last;
        let block = match x.try_into() {
            Ok(block) => block,
            Err(_) => {
                last = filled_up(x);
                &last
            }
        };
        (*max, *sum, *weighted) = scan_block(block, scale);
    }
}

/// A block of fewer numbers, and of such as count nothing.
fn filled_up(x: &[f32]) -> [f32; SCAN_BLOCK] {
    let mut block = [f32::NEG_INFINITY; SCAN_BLOCK];
    block[..x.len()].copy_from_slice(x);
    block
}

#[inline(always)]
fn scan_block(x: &[f32; SCAN_BLOCK], scale: f32) -> (f32, f32, f32) {
    let (rows, _) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for row in rows {
        for i in 0..LANES {
            // No comparison with a NaN is true.
            lanes[i] = if row[i] > lanes[i] { row[i] } else { lanes[i] };
        }
    }
    let max = folded(lanes, |a, b| if b > a { b } else { a });
    // Infinities have no difference; the greatest numbers stand in for them.
    let from = max.clamp(f32::MIN, f32::MAX);
    let (mut sum, mut weighted) = ([0.0; LANES], [0.0; LANES]);
    for row in rows {
        for i in 0..LANES {
            // What is no number counts as little as what is too small.
            let value = if row[i] > f32::MIN { row[i] } else { f32::MIN };
            let value = if value < f32::MAX { value } else { f32::MAX };
            let d = (value - from) * scale;
            let d = if d > LEAST { d } else { LEAST };
            let power = exp(d);
            let power = if d > LEAST { power } else { 0.0 };
            sum[i] += power;
            weighted[i] += d * power;
        }
    }
    (max, folded(sum, |a, b| a + b), folded(weighted, |a, b| a + b))
}

/// All lanes as one: halves, quarters and so on.
#[inline(always)]
fn folded(mut lanes: [f32; LANES], with: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = with(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The power of e to this is about the least normal number, and to less counts as 0.
const LEAST: f32 = -87.3;

/// e to the power of `x`, which is of `LEAST..=0`, within 3 units in the last place.
///
/// With `x = n ln 2 + r`, `n` an integer and `|r| <= ln 2 / 2`: `2^n (1 + r + r^2 p(r))`, see [`math::EXP`].
#[inline(always)]
fn exp(x: f32) -> f32 {
    // The bits of such a sum end in the exponent of 2^n: 127 for n = 0.
    const EXPONENTS: f32 = math::INTEGERS + 127.0;
    const P: [f32; 5] = math::EXP;
    let exponent = x * core::f32::consts::LOG2_E + EXPONENTS;
    let n = exponent - EXPONENTS;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let square = r * r;
    // By pairs, which wait for each other less.
    let p = (P[0] + P[1] * r) + square * ((P[2] + P[3] * r) + square * P[4]);
    ((1.0 + r) + square * p) * f32::from_bits(exponent.to_bits() << 23)
}
