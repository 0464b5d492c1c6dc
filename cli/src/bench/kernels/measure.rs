//! One measurement of each kernel, and of the machine's two limits.
#![forbid(unsafe_code)]

use std::hint::black_box;

use bantam::{Backend, Format};
use bantam_kernels::backend::{ATTEND_KEYS, AttendMut, RopePairs};
use bantam_kernels::ceiling::READ;
use bantam_kernels::{ColumnsMut, TileMut, f16};

use super::buffers::{Activations, BYTE, Scratch, matrix_bytes, values};
use super::clock::{Work, seconds};

/// Weights lie in so many bytes of memory for each thread, and every product takes the next ones: more than caches hold.
const MEMORY: usize = 128 << 20;
/// The most weights of a matrix, so that one of floats fits into the memory.
pub(super) const WEIGHTS_MAX: usize = MEMORY / size_of::<f32>();
/// The length of a head, and the query heads that share one of keys: what models of this size have.
const HEAD_DIM: usize = 64;
const GROUP: usize = 4;
/// Rounds of the multiplying loop that make one piece of work.
const ROUNDS: usize = 1000;

/// A kernel, on what it is measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kernel {
    /// A matrix of a format times so many columns.
    Matmul(Format, usize),
    /// The query heads of a token against keys and values from memory.
    Attend,
    Dequantize(Format),
    QuantizeQ8,
    RmsNorm,
    Rope,
    SiluMul,
    Add,
    ToF16,
}

impl Kernel {
    /// One of each.
    pub(super) const ALL: [Kernel; 9] = [
        Kernel::Matmul(Format::F32, 1),
        Kernel::Attend,
        Kernel::Dequantize(Format::F32),
        Kernel::QuantizeQ8,
        Kernel::RmsNorm,
        Kernel::Rope,
        Kernel::SiluMul,
        Kernel::Add,
        Kernel::ToF16,
    ];

    /// The name of the method of [`Backend`].
    pub(super) fn name(self) -> &'static str {
        match self {
            Kernel::Matmul(..) => "matmul",
            Kernel::Attend => "attend_f16",
            Kernel::Dequantize(_) => "dequantize",
            Kernel::QuantizeQ8 => "quantize_q8",
            Kernel::RmsNorm => "rms_norm",
            Kernel::Rope => "rope",
            Kernel::SiluMul => "silu_mul",
            Kernel::Add => "add",
            Kernel::ToF16 => "to_f16",
        }
    }

    pub(super) fn format(self) -> Option<Format> {
        match self {
            Kernel::Matmul(format, _) | Kernel::Dequantize(format) => Some(format),
            _ => None,
        }
    }

    pub(super) fn columns(self) -> Option<usize> {
        if let Kernel::Matmul(_, columns) = self { Some(columns) } else { None }
    }

    /// All but the products, of every format.
    pub(super) fn others() -> impl Iterator<Item = Kernel> {
        Kernel::ALL.into_iter().skip(1).flat_map(|kernel| {
            let formats = if kernel.format().is_some() { Format::ALL } else { &Format::ALL[..1] };
            formats.iter().map(move |&format| match kernel {
                Kernel::Dequantize(_) => Kernel::Dequantize(format),
                other => other,
            })
        })
    }
}

/// What a kernel did in a time, all threads together.
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) bytes: f64,
    pub(super) macs: Option<f64>,
}

/// What a product is measured on.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// Length of a row, of a column, and of all vectors.
    pub(super) k: usize,
    pub(super) rows: usize,
    /// Copies of the weights that take turns, if the memory holds so many.
    pub(super) copies: usize,
    /// Whether the columns are quantised each time.
    pub(super) quantize: bool,
}

/// What kernels are measured on.
pub(super) struct Machine {
    threads: usize,
    product: Product,
    /// Memory of weights for each thread.
    memory: Vec<u8>,
}

impl Machine {
    pub(super) fn new(threads: usize, product: Product) -> Machine {
        Machine { threads, product, memory: vec![BYTE; MEMORY * threads] }
    }

    /// The memory of one thread.
    fn memory(&self, thread: usize) -> &[u8] {
        &self.memory[thread * MEMORY..][..MEMORY]
    }

    /// Bytes per second that can be read from memory.
    pub(super) fn read(&self, backend: Backend) -> f64 {
        const PART: usize = 1024 * READ;
        let seconds = seconds(self.threads, &|thread| {
            let mut parts = self.memory(thread).chunks_exact(PART).cycle();
            Box::new(move || {
                black_box(parts.next().map(|part| backend.read_ceiling(part)));
            })
        });
        (PART * self.threads) as f64 / seconds.least
    }

    /// Products of bytes per second that the dot product's instruction can make.
    pub(super) fn multiply(&self, backend: Backend) -> f64 {
        let products = backend.multiply_ceiling(ROUNDS) * self.threads as u64;
        let seconds = seconds(self.threads, &|_| {
            Box::new(move || {
                black_box(backend.multiply_ceiling(ROUNDS));
            })
        });
        products as f64 / seconds.least
    }

    /// Measures a kernel.
    pub(super) fn measure(&self, backend: Backend, kernel: Kernel) -> Measured {
        let k = self.product.k;
        match kernel {
            Kernel::Matmul(format, columns) => self.matmul(backend, format, columns),
            Kernel::Attend => self.attend(backend),
            Kernel::Dequantize(format) => {
                let len = matrix_bytes(format, k, 1);
                let weights = &self.memory(0)[..len];
                self.vectors(len + 4 * k, &|| {
                    let mut out = vec![0.0; k];
                    Box::new(move || backend.dequantize(format, weights, black_box(&mut out)))
                })
            }
            Kernel::QuantizeQ8 => self.vectors(k * 4 + k + k / 8 + k / 4, &|| {
                let x = values(k);
                let mut q = vec![0; k];
                let (mut d, mut s) = (vec![0.0; k / 32], vec![0.0; k / 16]);
                Box::new(move || {
                    let out = &mut ColumnsMut { q: &mut q, d: &mut d, s: &mut s };
                    backend.quantize_q8(black_box(&x), out);
                })
            }),
            Kernel::RmsNorm => self.vectors(12 * k, &|| {
                let (x, gain, mut out) = (values(k), values(k), vec![0.0; k]);
                Box::new(move || backend.rms_norm(black_box(&x), &gain, 1e-5, &mut out))
            }),
            Kernel::Rope => self.vectors(8 * k, &|| {
                let (mut x, angle) = (values(k), [0.6f32; HEAD_DIM / 2]);
                let (sin, cos) = (angle.map(f32::sin), angle.map(f32::cos));
                Box::new(move || backend.rope(black_box(&mut x), HEAD_DIM, &cos, &sin, RopePairs::Halves))
            }),
            // Zeros stay what they are, however often they are gated.
            Kernel::SiluMul => self.vectors(12 * k, &|| {
                let (mut gate, up) = (vec![0.0; k], values(k));
                Box::new(move || backend.silu_mul(black_box(&mut gate), &up))
            }),
            Kernel::Add => self.vectors(12 * k, &|| {
                let (mut x, y) = (values(k), values(k));
                Box::new(move || backend.add(black_box(&mut x), &y))
            }),
            Kernel::ToF16 => self.vectors(6 * k, &|| {
                let (x, mut out) = (values(k), vec![f16::ZERO; k]);
                Box::new(move || backend.to_f16(black_box(&x), &mut out))
            }),
        }
    }

    /// A kernel on vectors, which come from the cache: `bytes` is what it reads and writes.
    fn vectors<'a>(&self, bytes: usize, make: &(dyn Fn() -> Work<'a> + Sync)) -> Measured {
        let seconds = seconds(self.threads, &|_| make());
        Measured { seconds: seconds.median, bytes: (bytes * self.threads) as f64, macs: None }
    }

    fn matmul(&self, backend: Backend, format: Format, columns: usize) -> Measured {
        let Product { k, rows, copies, quantize } = self.product;
        let bytes = matrix_bytes(format, k, rows);
        let seconds = seconds(self.threads, &|thread| {
            let mut matrices = self.memory(thread).chunks_exact(bytes).take(copies).cycle();
            let mut x = Activations::new(backend, k, columns);
            let mut scratch = Scratch::new(backend, k);
            let mut out = vec![0.0; rows * columns];
            Box::new(move || {
                if quantize && format.wants_q8() {
                    x.quantize(backend);
                }
                let weights = matrices.next().unwrap_or_default();
                let mut out = TileMut::new(black_box(&mut out), rows, columns);
                backend.matmul(format, weights, &x.columns(), &mut out, scratch.get());
            })
        });
        let macs = (k * rows * columns * self.threads) as f64;
        Measured { seconds: seconds.median, bytes: (bytes * self.threads) as f64, macs: Some(macs) }
    }

    fn attend(&self, backend: Backend) -> Measured {
        const RUN: usize = ATTEND_KEYS * HEAD_DIM;
        // Half of the memory are keys, half values.
        let halves = vec![f16::from_f32(0.25); MEMORY / 4];
        let halves = &halves;
        let seconds = seconds(self.threads, &|thread| {
            // Each thread starts elsewhere, so that none finds in a shared cache what another has read.
            let mut runs = halves.chunks_exact(2 * RUN).cycle().skip(thread * 101);
            let query = values(GROUP * HEAD_DIM);
            let (mut max, mut sum) = (vec![f32::NEG_INFINITY; GROUP], vec![0.0; GROUP]);
            let mut acc = vec![0.0; GROUP * HEAD_DIM];
            Box::new(move || {
                let (keys, values) = runs.next().unwrap_or_default().split_at(RUN);
                max.fill(f32::NEG_INFINITY);
                sum.fill(0.0);
                acc.fill(0.0);
                let mut state = AttendMut { max: &mut max, sum: &mut sum, acc: &mut acc };
                backend.attend_f16(&query, keys, values, 0.125, &mut state);
            })
        });
        let threads = self.threads as f64;
        let bytes = (2 * RUN * size_of::<f16>()) as f64 * threads;
        Measured { seconds: seconds.median, bytes, macs: Some((2 * GROUP * RUN) as f64 * threads) }
    }
}
