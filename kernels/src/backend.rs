//! The kernels of each instruction set as a table, best first, and the choice among them.
//! Invariant: a [`Backend`] exists only for a CPU that has its instruction set, and its methods check every length,
//! so that all of it is safe to call.

use core::{fmt, iter};

use crate::attention::{Attend, AttendMut, AttendWide, KvFormat, KvKernels};
use crate::blocks::Format;
use crate::ceiling::{Ceiling, READ};
use crate::columns::{Columns, ColumnsMut, Q8_BLOCK, Q8_SUM, Scales};
use crate::recurrent::{self, DeltaInputs, TAPS_MAX};
use crate::scalar;
use crate::scan::{SCAN_BLOCK, SpreadMut};
use crate::tile::TileMut;

/// The most columns of a product that are few: kernels for a few columns take no more, and panels for no more are short. A column's result has the same bits whatever the number of
/// columns: a prompt read at once, drafted tokens that are checked, and tokens decoded one by one agree. Products of float
/// weights promise that up to this many columns only.
pub const NARROW: usize = 16;

/// `out[c][r] = sum over i of weights[r][i] * x[c][i]`: rows of one weight matrix, as many as `out` has, times all
/// columns of `x`. `scratch` is the thread's own, at least [`Backend::scratch_bytes`] long and 64-byte aligned.
pub type Matmul = unsafe fn(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]);

/// Writes the exact values of consecutive blocks.
pub type Dequantize = unsafe fn(weights: &[u8], out: &mut [f32]);

/// The kernels of one weight format.
#[derive(Clone, Copy)]
pub struct FormatKernels {
    /// The backend whose file the matrix product comes from.
    pub origin: &'static str,
    /// The matrix product.
    pub matmul: Matmul,
    /// The exact values.
    pub dequantize: Dequantize,
}

/// Which pairs of a head's values a rotary embedding turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RopePairs {
    /// `(x[2i], x[2i + 1])`
    Adjacent,
    /// `(x[i], x[i + n])`, `n` being half of the turned width.
    Halves,
}

/// A feature of a CPU by the compiler's name, and whether this CPU has it.
pub type Feature = (&'static str, fn() -> bool);

/// What an instruction set asks a CPU for.
#[derive(Clone, Copy)]
pub struct Features {
    /// What no tier below asks for.
    pub own: &'static [Feature],
    /// What the tier below asks for, whose kernels are inherited.
    pub below: Option<&'static Features>,
}

impl Features {
    /// Whether this CPU has all of them, and what is below.
    fn are_there(&self) -> bool {
        iter::successors(Some(self), |features| features.below)
            .all(|features| features.own.iter().all(|(_, is_there)| is_there()))
    }
}

/// One instruction set's kernels. A tier takes what it does not improve from the one below:
/// `Table { name: "dotprod", .., ..neon::TABLE }.with(Format::Q4_0, matmul)`.
///
/// Every function pointer may be called only on a CPU that has the `features`, and only with the lengths that the method of
/// [`Backend`] of the same name checks.
#[derive(Clone, Copy)]
pub struct Table {
    /// The name by which the backend is forced, shown and tested.
    pub name: &'static str,
    /// What the table's kernels ask a CPU for.
    pub features: Features,
    /// The kernels of each weight format, in the order of [`Format::ALL`].
    pub formats: [FormatKernels; Format::COUNT],
    /// See [`Backend::scratch_bytes`].
    pub scratch_bytes: fn(k: usize) -> usize,
    /// See [`Backend::quantize_q8`].
    pub quantize_q8: unsafe fn(x: &[f32], scales: Scales, out: &mut ColumnsMut<'_>),
    /// See [`Backend::rms_norm`].
    pub rms_norm: unsafe fn(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]),
    /// See [`Backend::rope`].
    pub rope: unsafe fn(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], pairs: RopePairs),
    /// See [`Backend::silu_mul`].
    pub silu_mul: unsafe fn(gate: &mut [f32], up: &[f32]),
    /// See [`Backend::gelu_mul`].
    pub gelu_mul: unsafe fn(gate: &mut [f32], up: &[f32]),
    /// See [`Backend::soft_cap`].
    pub soft_cap: unsafe fn(x: &mut [f32], scale: f32, cap: f32),
    /// See [`Backend::add`].
    pub add: unsafe fn(x: &mut [f32], y: &[f32]),
    /// See [`Backend::delta_rule`].
    pub delta_rule: unsafe fn(memory: &mut [f32], inputs: &DeltaInputs<'_>, out: &mut [f32]),
    /// See [`Backend::scan`].
    pub scan: unsafe fn(x: &[f32], scale: f32, out: &mut SpreadMut<'_>),
    /// The kernels of each way to keep keys and values, in the order of [`KvFormat::ALL`].
    pub kv: [KvKernels; KvFormat::COUNT],
    /// See [`Backend::attend_join`].
    pub attend_join: unsafe fn(all: &mut AttendMut<'_>, run: &AttendMut<'_>),
    /// Floats of scratch for a block of so many query heads: see [`Backend::attend_scratch`].
    pub attend_scratch: fn(rows: usize, dim: usize) -> usize,
    /// The machine's limits with this instruction set.
    pub ceiling: Ceiling,
}

impl Table {
    /// This table with a matrix product of its own for one format.
    pub const fn with(mut self, format: Format, matmul: Matmul) -> Table {
        let kernels = &mut self.formats[format as usize];
        (kernels.origin, kernels.matmul) = (self.name, matmul);
        self
    }

    /// This table with an attention of its own to keys and values that are kept in one way.
    pub const fn with_kv(mut self, format: KvFormat, attend: Attend, attend_wide: AttendWide) -> Table {
        let kernels = &mut self.kv[format as usize];
        (kernels.origin, kernels.attend, kernels.attend_wide) = (self.name, attend, attend_wide);
        self
    }

    fn has_from(&self, from: &'static str) -> Origin {
        Origin { backend: self.name, supported: self.features.are_there(), from }
    }
}

/// Every backend of this architecture, best first.
static ALL: &[Table] = &[
    #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
    crate::x86::avx512bf16::TABLE,
    #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
    crate::x86::avx512::TABLE,
    #[cfg(target_arch = "x86_64")]
    crate::x86::avxvnni::TABLE,
    #[cfg(target_arch = "x86_64")]
    crate::x86::avx2::TABLE,
    #[cfg(target_arch = "aarch64")]
    crate::arm::i8mm::TABLE,
    #[cfg(target_arch = "aarch64")]
    crate::arm::dotprod::TABLE,
    #[cfg(target_arch = "aarch64")]
    crate::arm::neon::TABLE,
    scalar::TABLE,
];

/// A backend of this architecture, whether or not this CPU runs it, and where it has one kernel from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The backend's name.
    pub backend: &'static str,
    /// Whether this CPU runs it.
    pub supported: bool,
    /// The backend whose file the kernel comes from: this one, or one that it inherits from.
    pub from: &'static str,
}

/// Why a backend could not be had by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackendError {
    /// No backend of this architecture has the name.
    Unknown,
    /// The backend exists, and this CPU lacks its instructions.
    Unsupported,
}

/// The kernels that this CPU runs: a proof of support, cheap to copy.
#[derive(Clone, Copy)]
pub struct Backend(pub(crate) &'static Table);

impl Backend {
    /// The best backend of this CPU.
    pub fn detect() -> Backend {
        // The last table is scalar, which every CPU supports.
        Backend(ALL.iter().find(|table| table.features.are_there()).unwrap_or(&ALL[ALL.len() - 1]))
    }

    /// The backend of that name.
    pub fn by_name(name: &str) -> Result<Backend, BackendError> {
        let table = ALL.iter().find(|table| table.name == name).ok_or(BackendError::Unknown)?;
        if table.features.are_there() { Ok(Backend(table)) } else { Err(BackendError::Unsupported) }
    }

    /// Every backend that this CPU supports, best first.
    pub fn available() -> impl Iterator<Item = Backend> {
        ALL.iter().filter(|table| table.features.are_there()).map(Backend)
    }

    /// The names of every backend of this architecture, best first, supported or not.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|table| table.name)
    }

    /// The features of this CPU that some backend asks for, by the compiler's names: "avx2", "dotprod".
    pub fn cpu_features() -> impl Iterator<Item = &'static str> {
        let features = ALL.iter().rev().flat_map(|table| table.features.own);
        features.filter(|(_, is_there)| is_there()).map(|(name, _)| *name)
    }

    /// Whether products of a format have the same bits for any number of columns, and not only up to [`NARROW`]: those of all
    /// quantised formats do, and all of the reference.
    pub fn has_one_order(self, format: Format) -> bool {
        self.name() == scalar::TABLE.name || format.wants_q8()
    }

    /// The backend's name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The backend whose matrix product a format gets here: this one, or one that it inherits from.
    pub fn origin(self, format: Format) -> &'static str {
        self.0.formats[format as usize].origin
    }

    /// Where every backend of this architecture has its matrix product of a format from, best backend first.
    pub fn origins(format: Format) -> impl Iterator<Item = Origin> {
        ALL.iter().map(move |table| table.has_from(table.formats[format as usize].origin))
    }

    /// Where every backend of this architecture has its attention to keys and values of a format from, best backend first.
    pub fn kv_origins(format: KvFormat) -> impl Iterator<Item = Origin> {
        ALL.iter().map(move |table| table.has_from(table.kv[format as usize].origin))
    }

    /// Bytes of scratch that a thread needs for products with rows of `k` weights. Longer rows never want less.
    pub fn scratch_bytes(self, k: usize) -> usize {
        (self.0.scratch_bytes)(k)
    }

    /// Multiplies rows of a weight matrix with columns of activations: `out[c][r] = weights[r] . x[c]`.
    ///
    /// `weights` are `out.rows()` rows of `x.k` weights each. The columns share one order of operations; of
    /// float weights, up to [`NARROW`] do.
    ///
    /// # Panics
    /// If a length does not fit the others.
    pub fn matmul(
        self,
        format: Format,
        weights: &[u8],
        x: &Columns<'_>,
        out: &mut TileMut<'_>,
        scratch: &mut [u8],
    ) {
        let row_bytes = format.row_bytes(x.k).expect("a row of weights is whole blocks");
        assert_eq!(
            Some(weights.len()),
            row_bytes.checked_mul(out.rows()),
            "rows of weights and of the output"
        );
        assert_eq!(x.n, out.cols(), "columns of the input and of the output");
        let values = x.k.checked_mul(x.n).expect("the columns are in memory");
        if let Some(scales) = format.scales() {
            assert_eq!(x.q.len(), values, "quantised activations");
            assert!(x.scales >= scales, "scales that are powers of two");
            assert_eq!(x.d.len(), values / Q8_BLOCK, "scales of the activations");
            assert_eq!(x.s.len(), values / Q8_SUM, "sums of the activations");
        } else {
            assert_eq!(x.f32.len(), values, "activations");
        }
        assert!(scratch.len() >= self.scratch_bytes(x.k), "scratch");
        assert!(scratch.as_ptr().addr().is_multiple_of(64), "scratch is aligned");
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.formats[format as usize].matmul)(weights, x, out, scratch) }
    }

    /// Writes the exact values of consecutive weights.
    ///
    /// # Panics
    /// If `weights` and `out` do not hold the same number of weights.
    pub fn dequantize(self, format: Format, weights: &[u8], out: &mut [f32]) {
        assert_eq!(Some(weights.len()), format.row_bytes(out.len()), "weights and values");
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.formats[format as usize].dequantize)(weights, out) }
    }

    /// Quantises one column to 8 bits, as [`Columns`] describes: `d` of each 32 as [`Scales`] says, `q = round(x / d)`.
    /// Values that are not finite give some `q` in range, and a NaN makes the scale of its block NaN, so that what is multiplied with it
    /// is NaN, too.
    ///
    /// # Panics
    /// If the length of `x` is not a multiple of 32, or another does not fit it.
    pub fn quantize_q8(self, x: &[f32], scales: Scales, out: &mut ColumnsMut<'_>) {
        assert!(x.len().is_multiple_of(Q8_BLOCK), "whole blocks of activations");
        assert_eq!(out.q.len(), x.len());
        assert_eq!(out.d.len(), x.len() / Q8_BLOCK);
        assert_eq!(out.s.len(), x.len() / Q8_SUM);
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.quantize_q8)(x, scales, out) }
    }

    /// Root-mean-square norm: `out[i] = x[i] * gain[i] / sqrt(mean(x^2) + eps)`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn rms_norm(self, x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), gain.len());
        assert_eq!(x.len(), out.len());
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.rms_norm)(x, gain, eps, out) }
    }

    /// Layer norm (arXiv:1607.06450): `out[i] = (x[i] - mean) / sqrt(variance + eps) * gain[i] + bias[i]`, without the
    /// last term if there is no bias. The same bits on every backend.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn layer_norm(self, x: &[f32], gain: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), gain.len());
        assert_eq!(x.len(), out.len());
        assert!(bias.is_none_or(|bias| bias.len() == x.len()), "a bias for each value");
        scalar::layer_norm(x, gain, bias, eps, out);
    }

    /// Turns the first `2 * cos.len()` values of each head of one token by its position's angles, pair by pair:
    /// `(a, b) -> (a cos - b sin, a sin + b cos)`. Values behind them stay.
    ///
    /// # Panics
    /// If `x` is not whole heads, or the angles do not fit a head.
    pub fn rope(self, x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], pairs: RopePairs) {
        assert!(head_dim > 0 && x.len().is_multiple_of(head_dim), "whole heads");
        assert_eq!(cos.len(), sin.len());
        assert!(cos.len() <= head_dim / 2, "a pair per angle");
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.rope)(x, head_dim, cos, sin, pairs) }
    }

    /// The gate of a gated feed-forward layer: `gate[i] = silu(gate[i]) * up[i]`, `silu(x) = x / (1 + exp(-x))`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn silu_mul(self, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len());
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.silu_mul)(gate, up) }
    }

    /// The gate of a gated feed-forward layer: `gate[i] = gelu(gate[i]) * up[i]`, in the tangent form of
    /// arXiv:1606.08415: `gelu(x) = x / 2 * (1 + tanh(u))`, `u = sqrt(2 / pi) * (x + 0.044715 x^3)`, which is
    /// `x / (1 + exp(-2 u))`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn gelu_mul(self, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len());
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.gelu_mul)(gate, up) }
    }

    /// Lets values level off at `cap`: `x[i] = cap * tanh(x[i] * scale / cap)`, within 4e-7 of `cap`.
    pub fn soft_cap(self, x: &mut [f32], scale: f32, cap: f32) {
        // SAFETY: a Backend exists only for a CPU that supports its table.
        unsafe { (self.0.soft_cap)(x, scale, cap) }
    }

    /// `x[i] *= scale`.
    pub fn scale(self, x: &mut [f32], scale: f32) {
        x.iter_mut().for_each(|x| *x *= scale);
    }

    /// `x[i] += y[i] * scale`, each of both rounded: the same bits on every backend.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add_scaled(self, x: &mut [f32], y: &[f32], scale: f32) {
        assert_eq!(x.len(), y.len());
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y * scale);
    }

    /// `x[i] += y[i]`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add(self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len());
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.add)(x, y) }
    }

    /// `x[i] *= 1 / (1 + exp(-gate[i]))`: the same bits on every backend.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn sigmoid_mul(self, x: &mut [f32], gate: &[f32]) {
        assert_eq!(x.len(), gate.len());
        recurrent::sigmoid_mul(x, gate);
    }

    /// `x[i] *= y[i]`: the same bits on every backend.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn mul(self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len());
        x.iter_mut().zip(y).for_each(|(x, y)| *x *= y);
    }

    /// Brings a vector to length 1: `x[i] /= sqrt(sum of x^2 + eps)`. The same bits on every backend.
    pub fn to_unit(self, x: &mut [f32], eps: f32) {
        recurrent::to_unit(x, eps);
    }

    /// Convolves each row of `x` with its taps, in place: `x[c][r] = sum of taps[r][i] * x[c - length + 1 + i][r]`. `taps` are
    /// `length` of each row, side by side; `before` are the rows' values in the `length - 1` columns before the first, the
    /// oldest first, each `stride` behind the one before. The same bits on every backend, and for any number of columns.
    ///
    /// # Panics
    /// If a length does not fit the others, or is not 2 to [`TAPS_MAX`].
    pub fn convolve(self, x: &mut TileMut<'_>, taps: &[f32], length: usize, before: &[f32], stride: usize) {
        assert!((2..=TAPS_MAX).contains(&length), "so many taps");
        assert_eq!(Some(taps.len()), length.checked_mul(x.rows()), "taps of each row");
        assert!(before.len() >= (length - 2) * stride + x.rows() && stride >= x.rows(), "columns before");
        recurrent::convolve(x, taps, length, before, stride);
    }

    /// Takes columns through one head of the gated delta rule: `memory` is a matrix of `dim` rows of `dim`, a row for each value
    /// and a place in it for each part of a key, and
    /// ```text
    /// memory *= decay;   memory[j] += rate * (v[j] - memory[j] . k) * k;   out[j] = memory[j] . q / sqrt(dim)
    /// ```
    /// column by column; `out` has `dim` values of each. The same bits on every backend, and however columns are cut up.
    ///
    /// # Panics
    /// If a length does not fit the others.
    pub fn delta_rule(self, memory: &mut [f32], inputs: &DeltaInputs<'_>, out: &mut [f32]) {
        let DeltaInputs { columns, dim, .. } = *inputs;
        assert!(dim > 0, "heads of some width");
        assert_eq!(Some(memory.len()), dim.checked_mul(dim), "a square matrix");
        assert_eq!(Some(out.len()), dim.checked_mul(columns), "values of every column");
        inputs.check();
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.delta_rule)(memory, inputs, out) }
    }

    /// Looks at logits once, block by block, as [`SpreadMut`] describes: `scale` is positive, 1 over a temperature. The greatest
    /// are exact. The sums are exact but for the rounding of `d` and 3e-7 of their terms' magnitudes, and the same bits on
    /// every backend. A logit that is no number, or so far below the greatest of its block that its power is less than about
    /// the least normal number, adds nothing; infinities count as the greatest number there is.
    ///
    /// # Panics
    /// If there is not a place for every block.
    pub fn scan(self, x: &[f32], scale: f32, out: &mut SpreadMut<'_>) {
        let blocks = x.len().div_ceil(SCAN_BLOCK);
        assert!([out.max.len(), out.sum.len(), out.weighted.len()] == [blocks; 3], "a place per block");
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.scan)(x, scale, out) }
    }

    /// Reads all of `bytes` as fast as it can. The result depends on every byte, and means nothing.
    ///
    /// # Panics
    /// If the length is not a multiple of [`READ`].
    pub fn read_ceiling(self, bytes: &[u8]) -> u64 {
        assert!(bytes.len().is_multiple_of(READ), "whole parts");
        // SAFETY: a Backend exists only for a CPU that supports its table; the length was checked above.
        unsafe { (self.0.ceiling.read)(bytes) }
    }

    /// Multiplies bytes as fast as the backend's dot products can, and returns how many products that were.
    pub fn multiply_ceiling(self, rounds: usize) -> u64 {
        // SAFETY: a Backend exists only for a CPU that supports its table.
        unsafe { (self.0.ceiling.multiply)(rounds) }
        rounds as u64 * self.0.ceiling.products as u64
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.0.name)
    }
}
