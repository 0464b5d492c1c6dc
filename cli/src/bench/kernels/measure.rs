//! One measurement of each kernel, and of the machine's two limits.
#![forbid(unsafe_code)]

use std::hint::black_box;

use bantam::{Backend, Format};
use bantam_kernels::attention::{ATTEND_KEYS, AttendMut, Piece, Queries, wide_tokens};
use bantam_kernels::backend::RopePairs;
use bantam_kernels::ceiling::READ;
use bantam_kernels::{ColumnsMut, KvFormat, Scales, TileMut};

use super::buffers::{Activations, Aligned, BYTE, matrix_bytes, values};
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
    Attend(KvFormat),
    /// The query heads of a block of tokens against keys and values from memory.
    AttendWide(KvFormat),
    /// A head brought into the form in which it is kept.
    StoreKv(KvFormat),
    Dequantize(Format),
    QuantizeQ8,
    RmsNorm,
    Rope,
    SiluMul,
    Add,
}

impl Kernel {
    /// One of each.
    pub(super) const ALL: [Kernel; 10] = [
        Kernel::Matmul(Format::F32, 1),
        Kernel::Attend(KvFormat::F16),
        Kernel::AttendWide(KvFormat::F16),
        Kernel::StoreKv(KvFormat::F16),
        Kernel::Dequantize(Format::F32),
        Kernel::QuantizeQ8,
        Kernel::RmsNorm,
        Kernel::Rope,
        Kernel::SiluMul,
        Kernel::Add,
    ];

    /// The name of the method of [`Backend`].
    pub(super) fn name(self) -> &'static str {
        match self {
            Kernel::Matmul(..) => "matmul",
            Kernel::Attend(_) => "attend",
            Kernel::AttendWide(_) => "attend_wide",
            Kernel::StoreKv(_) => "store_kv",
            Kernel::Dequantize(_) => "dequantize",
            Kernel::QuantizeQ8 => "quantize_q8",
            Kernel::RmsNorm => "rms_norm",
            Kernel::Rope => "rope",
            Kernel::SiluMul => "silu_mul",
            Kernel::Add => "add",
        }
    }

    pub(super) fn format(self) -> Option<Format> {
        match self {
            Kernel::Matmul(format, _) | Kernel::Dequantize(format) => Some(format),
            Kernel::Attend(kept) | Kernel::AttendWide(kept) | Kernel::StoreKv(kept) => Some(kept.format()),
            _ => None,
        }
    }

    pub(super) fn columns(self) -> Option<usize> {
        if let Kernel::Matmul(_, columns) = self { Some(columns) } else { None }
    }

    /// All but the products, of every format.
    pub(super) fn others() -> impl Iterator<Item = Kernel> {
        let kept = |kernel: fn(KvFormat) -> Kernel| KvFormat::ALL.iter().map(move |&format| kernel(format));
        let attention = kept(Kernel::Attend).chain(kept(Kernel::AttendWide)).chain(kept(Kernel::StoreKv));
        let vectors = Kernel::ALL.into_iter().filter(|kernel| kernel.format().is_none());
        attention.chain(Format::ALL.iter().map(|&format| Kernel::Dequantize(format))).chain(vectors)
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
    memory: Aligned<u8>,
}

impl Machine {
    pub(super) fn new(threads: usize, product: Product) -> Machine {
        Machine { threads, product, memory: Aligned::new(BYTE, MEMORY * threads) }
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
            Kernel::Attend(format) => self.attend(backend, format),
            Kernel::AttendWide(format) => self.attend_wide(backend, format),
            Kernel::StoreKv(format) => {
                let row_bytes = format.row_bytes(HEAD_DIM).unwrap_or_default();
                self.vectors(4 * HEAD_DIM + row_bytes, &|| {
                    let (x, mut out) = (values(HEAD_DIM), Aligned::new(0, row_bytes));
                    Box::new(move || backend.store_kv(format, black_box(&x), &mut out))
                })
            }
            Kernel::Dequantize(format) => {
                let len = matrix_bytes(format, k, 1);
                let weights = &self.memory(0)[..len];
                self.vectors(len + 4 * k, &|| {
                    let mut out = Aligned::new(0.0, k);
                    Box::new(move || backend.dequantize(format, weights, black_box(&mut out)))
                })
            }
            Kernel::QuantizeQ8 => self.vectors(k * 4 + k + k / 8 + k / 4, &|| {
                let x = values(k);
                let mut q = Aligned::new(0, k);
                let (mut d, mut s) = (Aligned::new(0.0, k / 32), Aligned::new(0.0, k / 16));
                Box::new(move || {
                    let out = &mut ColumnsMut { q: &mut q, d: &mut d, s: &mut s };
                    backend.quantize_q8(black_box(&x), Scales::Least, out);
                })
            }),
            Kernel::RmsNorm => self.vectors(12 * k, &|| {
                let (x, gain, mut out) = (values(k), values(k), Aligned::new(0.0, k));
                Box::new(move || backend.rms_norm(black_box(&x), &gain, 1e-5, &mut out))
            }),
            Kernel::Rope => self.vectors(8 * k, &|| {
                let (mut x, angle) = (values(k), [0.6f32; HEAD_DIM / 2]);
                let (sin, cos) = (angle.map(f32::sin), angle.map(f32::cos));
                Box::new(move || backend.rope(black_box(&mut x), HEAD_DIM, &cos, &sin, RopePairs::Halves))
            }),
            // Zeros stay what they are, however often they are gated.
            Kernel::SiluMul => self.vectors(12 * k, &|| {
                let (mut gate, up) = (Aligned::new(0.0, k), values(k));
                Box::new(move || backend.silu_mul(black_box(&mut gate), &up))
            }),
            Kernel::Add => self.vectors(12 * k, &|| {
                let (mut x, y) = (values(k), values(k));
                Box::new(move || backend.add(black_box(&mut x), &y))
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
            let mut x = Activations::new(backend, format, k, columns);
            let mut scratch = Aligned::new(0, backend.scratch_bytes(k));
            let mut out = Aligned::new(0.0, rows * columns);
            Box::new(move || {
                if quantize && format.wants_q8() {
                    x.quantize(backend);
                }
                let weights = matrices.next().unwrap_or_default();
                let mut out = TileMut::new(black_box(&mut out), rows, columns);
                backend.matmul(format, weights, &x.columns(), &mut out, &mut scratch);
            })
        });
        let macs = (k * rows * columns * self.threads) as f64;
        Measured { seconds: seconds.median, bytes: (bytes * self.threads) as f64, macs: Some(macs) }
    }

    /// Keys, and values behind them, of `n` positions: parts of a thread's memory that take turns. Each thread starts
    /// elsewhere, so that none finds in a shared cache what another has read.
    fn kept(&self, thread: usize, format: KvFormat, n: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let bytes = n * format.row_bytes(HEAD_DIM).unwrap_or_default();
        let runs = self.memory(thread).chunks_exact(2 * bytes).cycle().skip(thread * 101);
        runs.map(move |run| run.split_at(bytes))
    }

    fn attend(&self, backend: Backend, format: KvFormat) -> Measured {
        let seconds = seconds(self.threads, &|thread| {
            let mut runs = self.kept(thread, format, ATTEND_KEYS);
            let query = values(GROUP * HEAD_DIM);
            let (mut max, mut sum) = (Aligned::new(0.0, GROUP), Aligned::new(0.0, GROUP));
            let mut acc = Aligned::new(0.0, GROUP * HEAD_DIM);
            Box::new(move || {
                let (keys, values) = runs.next().unwrap_or_default();
                let mut state = AttendMut { max: &mut max, sum: &mut sum, acc: &mut acc };
                state.reset();
                backend.attend(format, &query, keys, values, 0.125, &mut state);
            })
        });
        self.attended(seconds.median, format, ATTEND_KEYS, GROUP)
    }

    /// A block of tokens that sees four runs of keys, of which the last are its own.
    fn attend_wide(&self, backend: Backend, format: KvFormat) -> Measured {
        const KEYS: usize = 4 * ATTEND_KEYS;
        let tokens = wide_tokens(GROUP);
        let seconds = seconds(self.threads, &|thread| {
            let mut runs = self.kept(thread, format, KEYS);
            let heads = values(tokens * GROUP * HEAD_DIM);
            let mut out = Aligned::new(0.0, heads.len());
            let mut scratch = Aligned::new(0.0, backend.attend_scratch(GROUP, HEAD_DIM));
            Box::new(move || {
                let (keys, values) = runs.next().unwrap_or_default();
                let stride = GROUP * HEAD_DIM;
                let queries = Queries {
                    values: &heads,
                    stride,
                    tokens,
                    group: GROUP,
                    dim: HEAD_DIM,
                    score: 0.125.into(),
                    window: usize::MAX,
                    sinks: &[],
                };
                let mut out = TileMut::new(&mut out, stride, tokens);
                let all = Piece::whole(KEYS);
                backend.attend_wide(format, &queries, all, keys, values, &mut out, &mut scratch);
            })
        });
        self.attended(seconds.median, format, KEYS, tokens * GROUP)
    }

    /// What `rows` query heads did with `n` keys and values.
    fn attended(&self, seconds: f64, format: KvFormat, n: usize, rows: usize) -> Measured {
        let bytes = 2 * n * format.row_bytes(HEAD_DIM).unwrap_or_default() * self.threads;
        let macs = 2 * n * rows * HEAD_DIM * self.threads;
        Measured { seconds, bytes: bytes as f64, macs: Some(macs as f64) }
    }
}
