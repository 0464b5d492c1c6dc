//! The kernels of one vector: quantising activations, norms, rotary embeddings, the gate, sums and halves.

#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;
use bantam_kernels::{Backend, ColumnsMut, KvFormat, SCAN_BLOCK, Scales, SpreadMut, f16};

use crate::common::{Random, scalar};

/// Lengths around the widths of vector units, and those of real models.
const LENGTHS: [usize; 14] = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 576, 1000];

properties! {
    quantised_values_are_the_nearest
    powers_that_are_too_great_are_infinite
    quantising_bears_any_float
    rms_norm_is_exact_up_to_rounding
    layer_norm_is_exact_up_to_rounding
    rope_turns_only_its_pairs
    silu_mul_is_exact_up_to_rounding
    gelu_mul_is_exact_up_to_rounding
    soft_caps_are_exact_up_to_rounding
    add_is_exact
    halves_are_rounded_to_even
    scanned_sums_are_exact_up_to_rounding
    scanning_bears_any_float
    every_backend_scans_to_the_same_bits
}

fn assert_close(got: f32, exact: f64, tolerance: f64, what: impl Fn() -> String) {
    let error = (f64::from(got) - exact).abs();
    assert!(error <= tolerance, "{}: {got} is not {exact}, off by {error:.1e}", what());
}

/// Quantised values, scales and sums of a column.
fn quantize(backend: Backend, x: &[f32], scales: Scales) -> (Vec<i8>, Vec<f32>, Vec<f32>) {
    let (mut q, mut d) = (vec![-128; x.len()], vec![f32::NAN; x.len() / 32]);
    let mut s = vec![f32::NAN; x.len() / 16];
    backend.quantize_q8(x, scales, &mut ColumnsMut { q: &mut q, d: &mut d, s: &mut s });
    (q, d, s)
}

fn quantised_values_are_the_nearest(backend: Backend) {
    let mut random = Random::new(1);
    for blocks in [1, 2, 3, 18, 49] {
        let mut x = random.units(32 * blocks);
        // Blocks of every size, one of zeroes, and one where every other value is a tie between two integers.
        for (b, x) in x.chunks_exact_mut(32).enumerate() {
            match b {
                1 => x.fill(0.0),
                2 => (0..32).for_each(|i| x[i] = if i == 9 { -127.0 } else { i as f32 * 0.5 }),
                _ => x.iter_mut().for_each(|x| *x *= 10f32.powi(b as i32 % 60 - 30)),
            }
        }
        for scales in [Scales::Least, Scales::Powers] {
            let (q, d, s) = quantize(backend, &x, scales);
            for (b, x) in x.chunks_exact(32).enumerate() {
                let max = x.iter().fold(0.0f64, |max, &x| max.max(f64::from(x).abs()));
                let least = max / 127.0;
                match scales {
                    Scales::Least => assert_close(d[b], least, 1e-7 * least, || format!("scale {b}")),
                    Scales::Powers if max == 0.0 => assert_eq!(d[b], 0.0),
                    Scales::Powers => {
                        assert_eq!(d[b].to_bits() & 0x007f_ffff, 0, "scale {b}: {}", d[b]);
                        let scale = f64::from(d[b]);
                        assert!(scale >= least * (1.0 - 1e-7) && scale < least * 2.0, "scale {b}: {scale}");
                    }
                }
                for (x, &q) in x.iter().zip(&q[32 * b..]) {
                    let exact = if max > 0.0 { f64::from(*x) / f64::from(d[b]) } else { 0.0 };
                    // Half a step, and what the rounding of x / d may move a value beside a tie.
                    assert_close(f32::from(q), exact, 0.5 + 3e-5, || format!("block {b}, {x}"));
                }
                for j in [2 * b, 2 * b + 1] {
                    let sum = f64::from(d[b]) * q[16 * j..][..16].iter().map(|&q| f64::from(q)).sum::<f64>();
                    assert_close(s[j], sum, 1e-7 * sum.abs(), || format!("sum {j}"));
                }
            }
        }
    }
}

/// What is added to integers of 24 bits has to stay a float, too.
fn powers_that_are_too_great_are_infinite(backend: Backend) {
    let greatest = 127.0 * 2f32.powi(104);
    for (value, scale) in
        [(greatest, 2f32.powi(104)), (greatest * 1.001, f32::INFINITY), (f32::INFINITY, f32::INFINITY)]
    {
        let (_, d, _) = quantize(backend, &[value; 32], Scales::Powers);
        assert_eq!(d, [scale], "{value:e}");
    }
}

fn quantising_bears_any_float(backend: Backend) {
    let odd =
        [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -1e-38, -0.0];
    let mut random = Random::new(2);
    for turn in 0..400 {
        let mut x = random.units(64);
        // One odd value in a block, or a block of only them.
        match turn % 3 {
            0 => x[random.below(64)] = odd[random.below(odd.len())],
            1 => x.iter_mut().for_each(|x| *x = odd[random.below(odd.len())]),
            _ => x.fill(odd[random.below(odd.len())]),
        }
        for scales in [Scales::Least, Scales::Powers] {
            let (q, d, s) = quantize(backend, &x, scales);
            assert!(q.iter().all(|&q| q != -128), "{x:?} gave {q:?}");
            // Else a damaged model would go on with numbers that mean nothing.
            for ((x, d), s) in x.chunks_exact(32).zip(d).zip(s.as_chunks::<2>().0) {
                let is_odd = x.iter().any(|x| x.is_nan());
                assert_eq!(d.is_nan(), is_odd, "{x:?} gave a scale of {d}");
                assert!(!is_odd || s.iter().all(|s| s.is_nan()), "{x:?} gave sums of {s:?}");
            }
        }
    }
}

fn rms_norm_is_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(3);
    for n in LENGTHS {
        for size in [1.0, 0.0, 1e-12, 1e12] {
            let x: Vec<f32> = random.units(n).iter().map(|x| x * size).collect();
            let gain = random.units(n);
            let mut out = vec![f32::NAN; n];
            backend.rms_norm(&x, &gain, 1e-5, &mut out);
            let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n as f64;
            let scale = 1.0 / (mean + f64::from(1e-5f32)).sqrt();
            for i in 0..n {
                let exact = f64::from(x[i]) * f64::from(gain[i]) * scale;
                assert_close(out[i], exact, 1e-5 * exact.abs(), || format!("{n} x {size}: {i}"));
            }
        }
    }
}

fn layer_norm_is_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(13);
    for n in LENGTHS {
        for (size, shift) in [(1.0, 0.0), (0.0, 0.0), (1e-12, 0.0), (1e12, 0.0), (1.0, 100.0)] {
            let x: Vec<f32> = random.units(n).iter().map(|x| x * size + shift).collect();
            let (gain, bias) = (random.units(n), random.units(n));
            let mut out = vec![f32::NAN; n];
            backend.layer_norm(&x, &gain, Some(&bias), 1e-5, &mut out);
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64;
            let scale = 1.0 / (variance + f64::from(1e-5f32)).sqrt();
            // What the rounding of the mean moves every value by.
            let moved = 2e-7 * mean.abs() * scale;
            for i in 0..n {
                let exact = (f64::from(x[i]) - mean) * scale * f64::from(gain[i]) + f64::from(bias[i]);
                assert_close(out[i], exact, 1e-5 * exact.abs() + moved + 1e-6, || {
                    format!("{n} x {size} + {shift}: {i}")
                });
            }
            let mut plain = vec![f32::NAN; n];
            backend.layer_norm(&x, &gain, None, 1e-5, &mut plain);
            assert!(plain.iter().zip(&bias).zip(&out).all(|((plain, bias), out)| plain + bias == *out));
        }
    }
}

fn rope_turns_only_its_pairs(backend: Backend) {
    let mut random = Random::new(4);
    for (head_dim, pairs) in
        [(64, 32), (80, 40), (96, 24), (128, 64), (128, 16), (20, 7), (6, 3), (2, 1), (64, 0)]
    {
        for kind in [RopePairs::Adjacent, RopePairs::Halves] {
            let x = random.units(3 * head_dim);
            let angles: Vec<f32> = random.units(pairs).iter().map(|x| 10.0 * x).collect();
            let cos: Vec<f32> = angles.iter().map(|x| x.cos()).collect();
            let sin: Vec<f32> = angles.iter().map(|x| x.sin()).collect();
            let mut out = x.clone();
            backend.rope(&mut out, head_dim, &cos, &sin, kind);
            for (out, x) in out.chunks_exact(head_dim).zip(x.chunks_exact(head_dim)) {
                for i in 0..pairs {
                    let (ia, ib) = match kind {
                        RopePairs::Adjacent => (2 * i, 2 * i + 1),
                        RopePairs::Halves => (i, i + pairs),
                    };
                    let [a, b, cos, sin] = [x[ia], x[ib], cos[i], sin[i]].map(f64::from);
                    let tolerance = 2e-7 * (a.abs() + b.abs());
                    assert_close(out[ia], a * cos - b * sin, tolerance, || {
                        format!("{kind:?} {head_dim}: {ia}")
                    });
                    assert_close(out[ib], a * sin + b * cos, tolerance, || {
                        format!("{kind:?} {head_dim}: {ib}")
                    });
                }
                assert_eq!(out[2 * pairs..], x[2 * pairs..], "{kind:?} {head_dim}: behind {pairs} pairs");
            }
        }
    }
}

fn silu_mul_is_exact_up_to_rounding(backend: Backend) {
    let extremes =
        [0.0, -0.0, 1e-30, -1e-45, 80.0, -80.0, 88.8, -88.8, 100.0, -100.0, 1e30, -1e30, f32::MAX, f32::MIN];
    let mut random = Random::new(5);
    for n in LENGTHS {
        let gate: Vec<f32> = (0..n)
            .map(|_| match random.below(3) {
                0 => extremes[random.below(extremes.len())],
                1 => 20.0 * random.unit(),
                _ => random.unit(),
            })
            .collect();
        let up = random.units(n);
        let mut out = gate.clone();
        backend.silu_mul(&mut out, &up);
        for i in 0..n {
            let exact = f64::from(gate[i]) / (1.0 + (-f64::from(gate[i])).exp()) * f64::from(up[i]);
            // Where exp(-x) leaves the range of a float, around x = -88, so does the result: to a zero.
            let tolerance = 2e-6 * exact.abs() + 1e-35;
            assert_close(out[i], exact, tolerance, || format!("{n}: silu({}) * {}", gate[i], up[i]));
        }
    }
}

fn gelu_mul_is_exact_up_to_rounding(backend: Backend) {
    let extremes =
        [0.0, -0.0, 1e-30, -1e-45, 6.0, -6.0, -9.0, -11.0, 88.8, -88.8, 1e30, -1e30, f32::MAX, f32::MIN];
    let mut random = Random::new(8);
    for n in LENGTHS {
        let gate: Vec<f32> = (0..n)
            .map(|_| match random.below(3) {
                0 => extremes[random.below(extremes.len())],
                1 => 6.0 * random.unit(),
                _ => random.unit(),
            })
            .collect();
        let up = random.units(n);
        let mut out = gate.clone();
        backend.gelu_mul(&mut out, &up);
        for i in 0..n {
            let x = f64::from(gate[i]);
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            let exact = x / (1.0 + (-2.0 * u).exp()) * f64::from(up[i]);
            // The exponent is rounded in units of its own size.
            let tolerance = (2e-6 + 3e-7 * u.abs().min(50.0)) * exact.abs() + 1e-35;
            assert_close(out[i], exact, tolerance, || format!("{n}: gelu({}) * {}", gate[i], up[i]));
        }
    }
}

fn soft_caps_are_exact_up_to_rounding(backend: Backend) {
    let extremes = [0.0, 1e-30, 1e-45, 80.0, 1e4, 1e30, f32::MAX];
    let mut random = Random::new(9);
    for n in LENGTHS {
        for (scale, cap) in [(1.0, 30.0), (0.125, 50.0), (3.0, 0.5)] {
            let x: Vec<f32> = (0..n)
                .map(|_| match random.below(4) {
                    0 => extremes[random.below(extremes.len())],
                    1 => -extremes[random.below(extremes.len())],
                    2 => 100.0 * random.unit(),
                    _ => random.unit(),
                })
                .collect();
            let mut out = x.clone();
            backend.soft_cap(&mut out, scale, cap);
            for i in 0..n {
                let cap = f64::from(cap);
                let exact = cap * (f64::from(x[i]) * f64::from(scale) / cap).tanh();
                assert_close(out[i], exact, 4e-7 * cap, || {
                    format!("{n}: {} * {scale} capped at {cap}", x[i])
                });
            }
        }
    }
}

fn add_is_exact(backend: Backend) {
    let mut random = Random::new(6);
    for n in LENGTHS {
        let (x, y) = (random.units(n), random.units(n));
        let mut out = x.clone();
        backend.add(&mut out, &y);
        for i in 0..n {
            assert_eq!(out[i].to_bits(), (x[i] + y[i]).to_bits(), "{n}: {i}");
        }
    }
}

fn halves_are_rounded_to_even(backend: Backend) {
    // Every finite half, the tie behind it, and the floats on either side of both.
    let mut x: Vec<f32> = Vec::new();
    for bits in 0..0x7c00 {
        let half = f16::from_bits(bits).to_f32();
        // 2^16 stands where the next half would be.
        let next = if bits == 0x7bff { 65536.0 } else { f16::from_bits(bits + 1).to_f32() };
        let tie = half + (next - half) / 2.0;
        x.extend([half, half.next_up(), tie.next_down(), tie, tie.next_up()]);
    }
    x.extend([f32::INFINITY, f32::MAX, 1e-45, 1e-38, 65536.0]);
    x.extend(x.clone().iter().map(|x| -x));
    let out = halves(backend, &x);
    for (x, out) in x.iter().zip(&out) {
        assert_eq!(out.to_bits(), f16::from_f32(*x).to_bits(), "{x}");
    }
    let nan =
        [f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff), 1.0, f32::NAN, 0.0, 0.0, 0.0];
    let out = halves(backend, &nan);
    assert!(out.iter().map(|half| half.is_nan()).eq(nan.map(f32::is_nan)));
    for n in LENGTHS {
        let out = halves(backend, &x[999..][..n]);
        assert!(out.iter().zip(&x[999..]).all(|(out, x)| *out == f16::from_f32(*x)), "{n}");
    }
}

/// What is kept of `x`.
fn halves(backend: Backend, x: &[f32]) -> Vec<f16> {
    let mut bytes = vec![0xff; 2 * x.len()];
    backend.store_kv(KvFormat::F16, x, &mut bytes);
    bytes.as_chunks().0.iter().map(|half| f16::from_le_bytes(*half)).collect()
}

/// The maxima and sums of the blocks of `x`.
fn scan(backend: Backend, x: &[f32], scale: f32) -> [Vec<f32>; 3] {
    let mut spread = [(); 3].map(|()| vec![f32::NAN; x.len().div_ceil(SCAN_BLOCK)]);
    let [max, sum, weighted] = &mut spread;
    backend.scan(x, scale, &mut SpreadMut { max, sum, weighted });
    spread
}

fn scanned_sums_are_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(9);
    for n in LENGTHS.into_iter().chain([255, 256, 257, 512, 4097]) {
        for (size, scale) in [(1.0, 1.0), (12.0, 1.25), (30.0, 0.5), (200.0, 1.0), (0.0, 1.0), (1e30, 1.0)] {
            let x: Vec<f32> = random.units(n).iter().map(|x| x * size).collect();
            let [max, sum, weighted] = scan(backend, &x, scale);
            for (b, x) in x.chunks(SCAN_BLOCK).enumerate() {
                let greatest = x.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
                assert_eq!(max[b], greatest);
                let terms = x.iter().map(|&x| {
                    let d = f64::from((x - greatest) * scale);
                    (d.exp(), d * d.exp())
                });
                let exact = terms.fold((0.0, 0.0), |(sum, weighted), (p, dp)| (sum + p, weighted + dp));
                assert_close(sum[b], exact.0, 3e-7 * exact.0, || format!("sum {b} of {n}, {size} x {scale}"));
                let tolerance = 3e-7 * exact.1.abs() + 1e-35;
                assert_close(weighted[b], exact.1, tolerance, || format!("{b} of {n}, {size} x {scale}"));
            }
        }
    }
}

fn scanning_bears_any_float(backend: Backend) {
    let odd =
        [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -1e-38, -0.0];
    let mut random = Random::new(10);
    for turn in 0..400 {
        let mut x = random.units(300);
        match turn % 3 {
            0 => x[random.below(300)] = odd[random.below(odd.len())],
            1 => x.iter_mut().for_each(|x| *x = odd[random.below(odd.len())]),
            _ => x.fill(odd[random.below(odd.len())]),
        }
        let [max, sum, weighted] = scan(backend, &x, 1.0);
        for (b, x) in x.chunks(SCAN_BLOCK).enumerate() {
            assert_eq!(max[b], x.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x)));
            assert!((1.0..=SCAN_BLOCK as f32).contains(&sum[b]), "{} of {x:?}", sum[b]);
            assert!((-100.0..=0.0).contains(&weighted[b]), "{} of {x:?}", weighted[b]);
        }
    }
}

fn every_backend_scans_to_the_same_bits(backend: Backend) {
    let mut random = Random::new(11);
    for n in [1, 100, 256, 1000, 49152] {
        let x: Vec<f32> = random.units(n).iter().map(|x| 15.0 * x).collect();
        let bits = |backend| {
            scan(backend, &x, 1.25).map(|values| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(bits(backend), bits(scalar()), "{n}");
    }
}
