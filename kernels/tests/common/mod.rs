//! What the tests of the kernels share: a generator of numbers that is the same everywhere, random weights and
//! activations, buffers at chosen addresses, and the exact product that every kernel is measured against.

#![allow(dead_code, unused_macros, reason = "each test program uses a part of it")]
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};

use bantam_kernels::{Backend, BackendError, Columns, ColumnsMut, Format, Scales, f16};

/// Hands the names of this architecture's backends, best first, to a macro. A new backend is named here, and
/// `every_backend_is_tested` fails until it is.
macro_rules! backends {
    ($then:ident $($rest:tt)*) => {
        #[cfg(target_arch = "x86_64")]
        $then! { [avx512bf16 avx512 avxvnni avx2 scalar] $($rest)* }
        #[cfg(target_arch = "aarch64")]
        $then! { [i8mm dotprod neon scalar] $($rest)* }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        $then! { [scalar] $($rest)* }
    };
}

/// Makes a test of each property, a function of a backend, on each backend: `property::backend`.
macro_rules! properties {
    ($($property:ident)*) => { $(backends! { property $property })* };
}

/// One property of [`properties`] on the named backends.
macro_rules! property {
    ([$($backend:ident)*] $property:ident) => {
        mod $property {
            $(#[test]
            fn $backend() {
                crate::common::on(stringify!($backend), super::$property);
            })*
        }
    };
}

/// Checks a property on the named backend, and says whether it ran.
pub(crate) fn on(name: &str, property: fn(Backend)) {
    match Backend::by_name(name) {
        Ok(backend) => {
            property(backend);
            println!("backend {name}: ran");
        }
        Err(BackendError::Unsupported) => println!("skipped: this CPU has no {name}"),
        Err(BackendError::Unknown) => panic!("no backend is named {name}"),
    }
}

/// A small generator (SplitMix64): the same numbers on every machine.
pub(crate) struct Random(u64);

impl Random {
    /// The generator of that seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// A number of `-1.0..1.0`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Numbers of `-1.0..1.0`.
    pub(crate) fn units(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.unit()).collect()
    }

    /// Halves of `-1.0..1.0`.
    pub(crate) fn halves(&mut self, n: usize) -> Vec<f16> {
        (0..n).map(|_| f16::from_f32(self.unit())).collect()
    }

    /// A half of either sign, of magnitude `2^-10..2^-3`.
    fn scale(&mut self) -> f16 {
        let exponent = 5 + self.below(7) as u16;
        f16::from_bits((self.bits() as u16 & 0x83ff) | exponent << 10)
    }

    /// That many weights: random bits everywhere, and scales that are finite and of a sane size.
    pub(crate) fn weights(&mut self, format: Format, n: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..format.row_bytes(n).expect("whole blocks")).map(|_| self.bits() as u8).collect();
        for block in bytes.chunks_exact_mut(format.block_bytes()) {
            match format {
                Format::F32 => block.copy_from_slice(&self.unit().to_le_bytes()),
                Format::BF16 => block.copy_from_slice(&self.unit().to_le_bytes()[2..]),
                Format::F16 => block.copy_from_slice(&f16::from_f32(self.unit()).to_le_bytes()),
                // Scales as those of `scale`.
                Format::MXFP4 => block[0] = 116 + block[0] % 8,
                _ => {
                    for &at in halves_of(format) {
                        block[at..at + 2].copy_from_slice(&self.scale().to_le_bytes());
                    }
                }
            }
        }
        bytes
    }
}

/// Where the halves of a quantised block lie: its scale and its minimum.
pub(crate) fn halves_of(format: Format) -> &'static [usize] {
    match format {
        Format::F32 | Format::F16 | Format::BF16 | Format::MXFP4 => &[],
        Format::Q8_0 | Format::Q4_0 | Format::Q5_0 | Format::IQ4_NL | Format::IQ4_XS => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
    }
}

/// Bytes at a chosen address, with others around them that nobody may write.
pub(crate) struct Placed {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Placed {
    /// What lies around the bytes.
    const CANARY: u8 = 0xa5;

    /// A copy of `bytes` whose address is `offset` more than a multiple of 64, `offset` being less than 64.
    pub(crate) fn copy(bytes: &[u8], offset: usize) -> Placed {
        let mut around = vec![Placed::CANARY; bytes.len() + 192];
        let from = around.as_ptr().align_offset(64) + offset;
        let to = from + bytes.len();
        around[from..to].copy_from_slice(bytes);
        Placed { bytes: around, from, to }
    }

    /// The scratch of one thread for rows of `k` weights: no longer than the backend asks for, and full of old values.
    pub(crate) fn scratch(backend: Backend, k: usize) -> Placed {
        Placed::copy(&vec![0x5a; backend.scratch_bytes(k)], 0)
    }

    /// Whether what lies around the bytes is untouched.
    pub(crate) fn is_alone(&self) -> bool {
        self.bytes[..self.from].iter().chain(&self.bytes[self.to..]).all(|&byte| byte == Placed::CANARY)
    }
}

impl Deref for Placed {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }
}

impl DerefMut for Placed {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..self.to]
    }
}

/// Owned columns as products of a format want them; quantised by the scalar backend.
pub(crate) struct Activations {
    pub(crate) k: usize,
    pub(crate) scales: Option<Scales>,
    pub(crate) f32: Vec<f32>,
    pub(crate) q: Vec<i8>,
    pub(crate) d: Vec<f32>,
    pub(crate) s: Vec<f32>,
}

impl Activations {
    /// The columns of `k` values that lie one after the other in `f32`.
    pub(crate) fn new(format: Format, f32: Vec<f32>, k: usize) -> Activations {
        let scales = format.scales();
        let quantised = if scales.is_some() { f32.len() } else { 0 };
        let (mut q, mut d) = (vec![0; quantised], vec![0.0; quantised / 32]);
        let mut s = vec![0.0; quantised / 16];
        if let Some(scales) = scales {
            scalar().quantize_q8(&f32, scales, &mut ColumnsMut { q: &mut q, d: &mut d, s: &mut s });
        }
        Activations { k, scales, f32, q, d, s }
    }

    /// `n` columns of numbers of `-1.0..1.0`.
    pub(crate) fn random(random: &mut Random, format: Format, k: usize, n: usize) -> Activations {
        Activations::new(format, random.units(k * n), k)
    }

    /// All of them, as a kernel takes them.
    pub(crate) fn columns(&self) -> Columns<'_> {
        let columns = Columns::from_f32(&self.f32, self.k);
        let scales = self.scales.unwrap_or(columns.scales);
        Columns { q: &self.q, scales, d: &self.d, s: &self.s, ..columns }
    }
}

/// The reference backend.
pub(crate) fn scalar() -> Backend {
    Backend::by_name("scalar").expect("every CPU runs it")
}

/// The exact values of weights, by the reference.
pub(crate) fn dequantized(format: Format, weights: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; weights.len() / format.block_bytes() * format.block_len()];
    scalar().dequantize(format, weights, &mut values);
    values
}

/// One value of a matrix product, as exact as 64-bit floats make it.
#[derive(Clone, Copy)]
pub(crate) struct Exact {
    /// The sum of `w * x`.
    pub(crate) sum: f64,
    /// The sum of `|w| * |x|`: what rounding errors are proportional to.
    pub(crate) magnitude: f64,
}

/// The product that [`Backend::matmul`] computes, of row `r` and column `c` at `[c * rows + r]`: of the quantised
/// activations, where the format's kernels multiply with those.
pub(crate) fn exact_product(format: Format, weights: &[u8], x: &Columns<'_>) -> Vec<Exact> {
    let weights = dequantized(format, weights);
    let mut product = Vec::new();
    for c in 0..x.n {
        let x = x.column(c);
        let column: Vec<f64> = if format.wants_q8() {
            x.q.iter().enumerate().map(|(i, &q)| f64::from(q) * f64::from(x.d[i / 32])).collect()
        } else {
            x.f32.iter().map(|&x| f64::from(x)).collect()
        };
        product.extend(weights.chunks_exact(x.k).map(|row| {
            let mut exact = Exact { sum: 0.0, magnitude: 0.0 };
            for (w, x) in row.iter().zip(&column) {
                let wx = f64::from(*w) * x;
                exact.sum += wx;
                exact.magnitude += wx.abs();
            }
            exact
        }));
    }
    product
}
