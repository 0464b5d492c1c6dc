//! The kernels of one vector: quantising, the norm, the rotary embedding, the gate, sums and halves.
//! Each does whole registers of four, mostly two at a time, and what is left one by one.

use core::arch::aarch64::*;

use half::f16;

use crate::arm::hint;
use crate::arm::insn;
use crate::arm::unpack::map2;
use crate::backend::RopePairs;
use crate::columns::{ColumnsMut, Q8_BLOCK, Scales};
use crate::{math, scalar};

/// See [`crate::Backend::quantize_q8`].
#[target_feature(enable = "neon")]
pub(crate) fn quantize_q8(x: &[f32], scales: Scales, out: &mut ColumnsMut<'_>) {
    let (blocks, _) = x.as_chunks::<Q8_BLOCK>();
    let (q, _) = out.q.as_chunks_mut::<Q8_BLOCK>();
    let (s, _) = out.s.as_chunks_mut::<2>();
    for (((x, q), d), s) in blocks.iter().zip(q).zip(out.d.iter_mut()).zip(s) {
        let (scale, halves) = quantize_block(x, scales);
        *d = scale;
        let [a, b] = map2(halves, |half| vpaddlq_s8(half));
        let quarters = vpaddlq_s16(vpaddq_s16(a, b));
        let sums = vget_low_s32(vpaddq_s32(quarters, quarters));
        // SAFETY: the block has two halves of sixteen, and a sum of each.
        unsafe {
            vst1_f32(s.as_mut_ptr(), vmul_n_f32(vcvt_f32_s32(sums), scale));
            vst1q_s8(q.as_mut_ptr(), halves[0]);
            vst1q_s8(q.as_mut_ptr().add(16), halves[1]);
        }
    }
}

/// The scale and the quantised values of a block.
#[inline]
#[target_feature(enable = "neon")]
fn quantize_block(x: &[f32; Q8_BLOCK], scales: Scales) -> (f32, [int8x16_t; 2]) {
    // SAFETY: the block has eight registers of four.
    let x: [float32x4_t; 8] = core::array::from_fn(|i| unsafe { vld1q_f32(x.as_ptr().add(4 * i)) });
    // NaN if a value is: `vmaxnmq` would drop it.
    let mut max = vabsq_f32(x[0]);
    for x in &x[1..] {
        max = vmaxq_f32(max, vabsq_f32(*x));
    }
    let max = vmaxvq_f32(max);
    let (scale, inverse) = scales.of(max);
    let halves = map2([0, 1], |half| {
        // Rounded to nearest and even, and cut to their low bytes.
        let i = |i: usize| vreinterpretq_s16_s32(vcvtnq_s32_f32(vmulq_n_f32(x[4 * half + i], inverse)));
        let low = vreinterpretq_s8_s16(vuzp1q_s16(i(0), i(1)));
        let high = vreinterpretq_s8_s16(vuzp1q_s16(i(2), i(3)));
        vmaxq_s8(vuzp1q_s8(low, high), vdupq_n_s8(-127))
    });
    (scale, halves)
}

/// See [`crate::Backend::rms_norm`].
#[target_feature(enable = "neon")]
pub(crate) fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let (fours, rest) = x.as_chunks::<4>();
    let (eights, four) = fours.as_chunks::<2>();
    let mut squares = [vdupq_n_f32(0.0); 2];
    for x in eights {
        for i in 0..2 {
            let x = load(&x[i]);
            squares[i] = vfmaq_f32(squares[i], x, x);
        }
    }
    for x in four {
        squares[0] = vfmaq_f32(squares[0], load(x), load(x));
    }
    let sum = vaddvq_f32(vaddq_f32(squares[0], squares[1])) + rest.iter().map(|x| x * x).sum::<f32>();
    let scale = 1.0 / math::sqrt(sum / x.len() as f32 + eps);

    let (gains, gain_rest) = gain.as_chunks::<4>();
    let (outs, out_rest) = out.as_chunks_mut::<4>();
    let (gain_eights, gain_four) = gains.as_chunks::<2>();
    let (out_eights, out_four) = outs.as_chunks_mut::<2>();
    for ((x, gain), out) in eights.iter().zip(gain_eights).zip(out_eights) {
        for i in 0..2 {
            store(&mut out[i], vmulq_f32(vmulq_n_f32(load(&x[i]), scale), load(&gain[i])));
        }
    }
    for ((x, gain), out) in four.iter().zip(gain_four).zip(out_four) {
        store(out, vmulq_f32(vmulq_n_f32(load(x), scale), load(gain)));
    }
    for ((x, gain), out) in rest.iter().zip(gain_rest).zip(out_rest) {
        *out = x * scale * gain;
    }
}

/// See [`crate::Backend::rope`].
#[target_feature(enable = "neon")]
pub(crate) fn rope(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], pairs: RopePairs) {
    let (coses, cos_rest) = cos.as_chunks::<4>();
    let (sins, sin_rest) = sin.as_chunks::<4>();
    for head in x.chunks_exact_mut(head_dim) {
        let head = &mut head[..2 * cos.len()];
        match pairs {
            RopePairs::Halves => {
                let (a, b) = head.split_at_mut(cos.len());
                let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut::<4>(), b.as_chunks_mut::<4>());
                for ((a, b), (cos, sin)) in a.iter_mut().zip(b).zip(coses.iter().zip(sins)) {
                    let (x, y) = turn(load(a), load(b), load(cos), load(sin));
                    store(a, x);
                    store(b, y);
                }
                for ((a, b), (cos, sin)) in a_rest.iter_mut().zip(b_rest).zip(cos_rest.iter().zip(sin_rest)) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
            RopePairs::Adjacent => {
                let (eights, rest) = head.as_chunks_mut::<8>();
                for (pairs, (cos, sin)) in eights.iter_mut().zip(coses.iter().zip(sins)) {
                    // SAFETY: four pairs are eight values.
                    let float32x4x2_t(a, b) = unsafe { vld2q_f32(pairs.as_ptr()) };
                    let (x, y) = turn(a, b, load(cos), load(sin));
                    // SAFETY: four pairs are eight values.
                    unsafe { vst2q_f32(pairs.as_mut_ptr(), float32x4x2_t(x, y)) }
                }
                for ([a, b], (cos, sin)) in
                    rest.as_chunks_mut::<2>().0.iter_mut().zip(cos_rest.iter().zip(sin_rest))
                {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }
}

/// `(a cos - b sin, a sin + b cos)`
#[inline]
#[target_feature(enable = "neon")]
fn turn(a: float32x4_t, b: float32x4_t, cos: float32x4_t, sin: float32x4_t) -> (float32x4_t, float32x4_t) {
    (vfmsq_f32(vmulq_f32(a, cos), b, sin), vfmaq_f32(vmulq_f32(b, cos), a, sin))
}

/// See [`crate::Backend::silu_mul`].
#[target_feature(enable = "neon")]
pub(crate) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    let (gates, gate_rest) = gate.as_chunks_mut::<8>();
    let (ups, up_rest) = up.as_chunks::<8>();
    let exp = Exp::new();
    for (gate, up) in gates.iter_mut().zip(ups) {
        let ((gate, _), (up, _)) = (gate.as_chunks_mut(), up.as_chunks());
        for i in 0..2 {
            let x = load(&gate[i]);
            let silu = vdivq_f32(x, vaddq_f32(exp.one, exp.of_negative(exp.no_less(x))));
            store(&mut gate[i], vmulq_f32(silu, load(&up[i])));
        }
    }
    scalar::silu_mul(gate_rest, up_rest);
}

/// The exponential, with what it needs in registers: the compiler would make most of that again for every four values.
#[derive(Clone, Copy)]
pub(crate) struct Exp {
    /// log2 e; ln 2 in two parts, of which n times the first is exact.
    factors: float32x4_t,
    /// The odd coefficients of `p`, and the last.
    odd: float32x4_t,
    /// The first even coefficients of `p`.
    even: [float32x4_t; 2],
    pub(crate) one: float32x4_t,
    exponents: float32x4_t,
    least: float32x4_t,
    greatest: float32x4_t,
}

impl Exp {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn new() -> Exp {
        const P: [f32; 5] = math::EXP;
        let all = |value| hint::whole(vdupq_n_f32(value));
        Exp {
            factors: hint::whole(load(&[core::f32::consts::LOG2_E, math::LN_2[0], math::LN_2[1], 0.0])),
            odd: hint::whole(load(&[P[1], P[3], P[4], 0.0])),
            even: [all(P[0]), all(P[2])],
            one: all(1.0),
            // The bits of a float this large end in its integer, here the exponent of 2^n: 127 for n = 0.
            exponents: all(math::INTEGERS + 127.0),
            // Beyond these n is 128, of which the bits are infinity's, and -127, of which they are those of 0.
            least: all(-88.8),
            greatest: all(88.0),
        }
    }

    /// e to the power of the negative of each, within 2 units of the last place; 0 below `2^-126.5`, and infinity above
    /// `2^127.5`. No number may be less than -88.8, which [`Exp::no_less`] sees to.
    ///
    /// With `-x = n ln 2 - r`, `n` an integer and `|r| <= ln 2 / 2`: `2^n (1 - r + r^2 p(-r))`, see [`math::EXP`].
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn of_negative(&self, x: float32x4_t) -> float32x4_t {
        let x = vminq_f32(x, self.greatest);
        let exponent = vfmsq_laneq_f32::<0>(self.exponents, x, self.factors);
        let n = vsubq_f32(exponent, self.exponents);
        let r = vfmaq_laneq_f32::<2>(vfmaq_laneq_f32::<1>(x, n, self.factors), n, self.factors);
        // By pairs, which wait for each other less: (1 - r) + r^2 ((p0 - p1 r) + r^2 ((p2 - p3 r) + r^2 p4)).
        let square = vmulq_f32(r, r);
        let last = vfmsq_laneq_f32::<1>(self.even[1], r, self.odd);
        let last = vfmaq_laneq_f32::<2>(last, square, self.odd);
        let first = vfmsq_laneq_f32::<0>(self.even[0], r, self.odd);
        let p = vfmaq_f32(vsubq_f32(self.one, r), vfmaq_f32(first, last, square), square);
        vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(exponent))))
    }

    /// The numbers, and -88.8 instead of lesser ones.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn no_less(&self, x: float32x4_t) -> float32x4_t {
        vmaxq_f32(x, self.least)
    }
}

/// See [`crate::Backend::add`].
#[target_feature(enable = "neon")]
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    let (xs, x_rest) = x.as_chunks_mut::<8>();
    let (ys, y_rest) = y.as_chunks::<8>();
    for (x, y) in xs.iter_mut().zip(ys) {
        let ((x, _), (y, _)) = (x.as_chunks_mut(), y.as_chunks());
        for i in 0..2 {
            let sum = vaddq_f32(load(&x[i]), load(&y[i]));
            store(&mut x[i], sum);
        }
    }
    for (x, y) in x_rest.iter_mut().zip(y_rest) {
        *x += y;
    }
}

/// See [`crate::Backend::store_kv`].
#[target_feature(enable = "neon")]
pub(crate) fn store_f16(x: &[f32], out: &mut [u8]) {
    let (xs, x_rest) = x.as_chunks::<4>();
    let (outs, out_rest) = out.as_chunks_mut::<8>();
    for (x, out) in xs.iter().zip(outs) {
        // SAFETY: there are eight bytes, and a store of bytes may go anywhere.
        unsafe { vst1_u8(out.as_mut_ptr(), vreinterpret_u8_u16(insn::f32_to_f16(load(x)))) }
    }
    scalar::store_f16(x_rest, out_rest);
}

/// See [`crate::Backend::store_kv`].
#[target_feature(enable = "neon")]
pub(crate) fn store_q8_0(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.as_chunks::<Q8_BLOCK>().0.iter().zip(out.as_chunks_mut::<{ 2 + Q8_BLOCK }>().0) {
        let (d, [first, second]) = quantize_block(x, Scales::Least);
        let (scale, q) = out.split_first_chunk_mut().expect("a block begins with its scale");
        *scale = f16::from_f32(d).to_le_bytes();
        // SAFETY: there are 32 bytes behind the scale, and a store of bytes may go anywhere.
        unsafe {
            vst1q_s8(q.as_mut_ptr().cast(), first);
            vst1q_s8(q.as_mut_ptr().add(16).cast(), second);
        }
    }
}

/// See [`crate::Backend::store_kv`].
#[target_feature(enable = "neon")]
pub(crate) fn store_q4_0(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.as_chunks::<Q8_BLOCK>().0.iter().zip(out.as_chunks_mut::<{ 2 + Q8_BLOCK / 2 }>().0) {
        let d = farthest(x) / -8.0;
        let inverse = if d != 0.0 { 1.0 / d } else { 0.0 };
        let [low, high] = map2([0, 1], |half| {
            // Half of a step more, and cut off; every step saturates.
            let i = |i: usize| {
                // SAFETY: the block has eight registers of four.
                let x = unsafe { vld1q_f32(x.as_ptr().add(16 * half + 4 * i)) };
                vcvtq_s32_f32(vaddq_f32(vmulq_n_f32(x, inverse), vdupq_n_f32(8.5)))
            };
            let low = vqmovun_high_s32(vqmovun_s32(i(0)), i(1));
            let high = vqmovun_high_s32(vqmovun_s32(i(2)), i(3));
            vminq_u8(vqmovn_high_u16(vqmovn_u16(low), high), vdupq_n_u8(15))
        });
        let (scale, q) = out.split_first_chunk_mut().expect("a block begins with its scale");
        *scale = f16::from_f32(d).to_le_bytes();
        // SAFETY: there are 16 bytes behind the scale, and a store of bytes may go anywhere.
        unsafe { vst1q_u8(q.as_mut_ptr(), vsliq_n_u8::<4>(low, high)) }
    }
}

/// The first of the numbers that lie farthest from 0; NaN if a value is.
#[inline]
#[target_feature(enable = "neon")]
fn farthest(x: &[f32; Q8_BLOCK]) -> f32 {
    // SAFETY: the block has eight registers of four.
    let sizes: [float32x4_t; 8] =
        core::array::from_fn(|i| unsafe { vabsq_f32(vld1q_f32(x.as_ptr().add(4 * i))) });
    let mut max = sizes[0];
    for &size in &sizes[1..] {
        max = vmaxq_f32(max, size);
    }
    let max = vdupq_n_f32(vmaxvq_f32(max));
    // Where the first of each lane is; the earlier ones come last, over the later ones.
    let mut first = vdupq_n_u32(u32::MAX);
    for (i, &size) in sizes.iter().enumerate().rev() {
        first = vbslq_u32(vceqq_f32(size, max), vdupq_n_u32(i as u32), first);
    }
    // SAFETY: the array is as long as the load.
    let lanes = unsafe { vld1q_u32([0, 1, 2, 3].as_ptr()) };
    // A NaN is not equal to itself: then there is no place.
    let at = vminvq_u32(vqaddq_u32(vqshlq_n_u32::<2>(first), lanes));
    x.get(at as usize).copied().unwrap_or(f32::NAN)
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load(x: &[f32; 4]) -> float32x4_t {
    // SAFETY: the array is as long as the load.
    unsafe { vld1q_f32(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store(out: &mut [f32; 4], x: float32x4_t) {
    // SAFETY: the array is as long as the store.
    unsafe { vst1q_f32(out.as_mut_ptr(), x) }
}
