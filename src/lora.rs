//! Floor 2. Low-rank adapters: pairs of thin matrices in a file of their own, mapped like a model, which add `factor * B . (A . x)`
//! to what matrices of a model make of `x`.
//!
//! Invariant: every pair fits the matrix that it is for, which some step of the model's program multiplies with.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use crate::arena::Shared;
use crate::error::{Error, Result, Text, text};
use crate::gguf::{File, TensorInfo};
use crate::mmap::Mapping;
use crate::model::Model;
use crate::model::weights::{Matrix, Tensors};

/// The matrix of tokens, whose rows are looked up and not multiplied with.
const EMBEDDING: &str = "token_embd.weight";

/// A low-rank adapter (LoRA) of a model: a GGUF file of the kind that llama.cpp's `convert_lora_to_gguf.py` writes. Cloning
/// shares it, sessions of its model share it, and it may be used from any thread.
///
/// Nothing of the model is copied or written: sessions that have it add its part to each product. See
/// [`Session::set_adapters`](crate::Session::set_adapters).
#[derive(Clone)]
pub struct Adapter(Shared<Inner>);

struct Inner {
    model: Model,
    file: File,
    /// Sorted by where their matrices lie in the model's file.
    pairs: Vec<Pair>,
    embedding: Option<Pair>,
    alpha: f32,
    rank: usize,
    fingerprint: u64,
}

/// What is added to one matrix of the model.
struct Pair {
    /// That matrix: of several experts, all of them.
    of: Matrix,
    /// Rows of one expert, or of the matrix.
    rows: usize,
    /// `rank` rows as long as those of `of`, for each expert; of the embedding, `rank` values for each token.
    a: Matrix,
    /// Rows of `rank` values, as many as `of` has; of the embedding, as many as the stream has values.
    b: Matrix,
}

/// What an adapter adds to some rows of a matrix: `factor * b . (a . x)`.
pub(crate) struct Low {
    pub(crate) a: Matrix,
    pub(crate) b: Matrix,
    pub(crate) factor: f32,
}

impl Low {
    /// Values between the two products.
    pub(crate) fn rank(&self) -> usize {
        self.b.k
    }
}

impl Adapter {
    /// Maps the adapter at `path` and checks it against `model`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotGguf`], [`Error::Malformed`]; [`Error::Inconsistent`] if it is no adapter, or one of another model:
    /// the tensor that does not fit is named with both shapes; [`Error::Unsupported`] for what cannot be added here.
    #[cfg(feature = "std")]
    pub fn open(model: &Model, path: impl AsRef<std::path::Path>) -> Result<Adapter> {
        Adapter::from_mapping(model, Mapping::open(path.as_ref())?)
    }

    /// Opens `length` bytes of an open file from `offset` on, to its end if `None`. The file may be closed afterwards.
    ///
    /// # Errors
    /// As [`Adapter::open`]; [`Error::Argument`] if the range is not inside the file.
    #[cfg(feature = "std")]
    pub fn from_file(
        model: &Model,
        file: &std::fs::File,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Adapter> {
        Adapter::from_mapping(model, Mapping::from_file(file, offset, length)?)
    }

    /// Opens an adapter in memory, in place.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn from_bytes(model: &Model, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Adapter> {
        Adapter::from_mapping(model, Mapping::from_bytes(bytes)?)
    }

    /// Opens an adapter from any mapping, and keeps it and the model alive.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn from_mapping(model: &Model, mapping: Mapping) -> Result<Adapter> {
        let file = File::open(mapping)?;
        check_kind(&file, model)?;
        let alpha = file.f32("adapter.lora.alpha")?.unwrap_or(0.0);
        if !alpha.is_finite() {
            return Err(Error::Inconsistent(text!("adapter.lora.alpha is {alpha}, which is no scale")));
        }
        let (mut pairs, mut embedding) = (Vec::new(), None);
        for (name, a) in file.tensors() {
            let Some((base, b)) = counterpart(&file, name)? else { continue };
            let pair = Pair::new(model, base, a, b)?;
            if base == EMBEDDING {
                embedding = Some(pair);
                continue;
            }
            let bytes = (size_of_val(&pairs[..]) + size_of::<Pair>()) as u64;
            pairs
                .try_reserve(1)
                .map_err(|_| Error::Memory { what: "the adapter's list of tensors", bytes })?;
            pairs.push(pair);
        }
        pairs.sort_unstable_by_key(|pair: &Pair| pair.of.start());
        let rank = pairs.iter().chain(&embedding).map(|pair| pair.b.k).max().unwrap_or(0);
        if rank == 0 {
            return Err(Error::Inconsistent(text!("the adapter has no pairs of .lora_a and .lora_b")));
        }
        let fingerprint = file.fingerprint();
        let inner = Inner { model: model.clone(), file, pairs, embedding, alpha, rank, fingerprint };
        Shared::new(inner, "the adapter").map(Adapter)
    }

    /// The model that it was opened for.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// The file: metadata and directory of tensors.
    pub fn file(&self) -> &File {
        &self.0.file
    }

    /// The greatest rank of its pairs: what it counts for in
    /// [`SessionOptions::adapter_rank`](crate::SessionOptions::adapter_rank).
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// The number that its parts are multiplied with, over their rank; 0 if the file has none, and they count as they are.
    pub fn alpha(&self) -> f32 {
        self.0.alpha
    }

    /// Matrices of the model that it adds to.
    pub fn matrices(&self) -> usize {
        self.0.pairs.len() + usize::from(self.0.embedding.is_some())
    }

    /// A number that tells this adapter's file from another's, as [`Model::fingerprint`] does.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }

    /// Whether `other` is a clone of this one.
    pub fn is_same(&self, other: &Adapter) -> bool {
        core::ptr::eq(&*self.0, &*other.0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.file.mapping().bytes()
    }

    /// What it adds, with that scale, to the rows of `weight`, a matrix of the model or some rows of one.
    pub(crate) fn low(&self, weight: &Matrix, scale: f32) -> Option<Low> {
        let behind = self.0.pairs.partition_point(|pair| pair.of.start() <= weight.start());
        let pair = &self.0.pairs[behind.checked_sub(1)?];
        let first = pair.of.row_of(weight)?;
        let rank = pair.b.k;
        Some(Low {
            // Rows of a lie by experts; those of one matrix are one expert's.
            a: pair.a.part(first / pair.rows * rank, rank),
            b: pair.b.part(first, weight.rows),
            factor: self.factor(pair, scale),
        })
    }

    /// What it adds to the streams that tokens start with: `factor * b . (row of a)`.
    pub(crate) fn embedding(&self, scale: f32) -> Option<Low> {
        let pair = self.0.embedding.as_ref()?;
        Some(Low { a: pair.a.clone(), b: pair.b.clone(), factor: self.factor(pair, scale) })
    }

    /// `scale * alpha / rank`, as llama.cpp has it.
    fn factor(&self, pair: &Pair, scale: f32) -> f32 {
        if self.0.alpha == 0.0 { scale } else { scale * self.0.alpha / pair.b.k as f32 }
    }
}

impl core::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Adapter")
            .field("rank", &self.rank())
            .field("alpha", &self.alpha())
            .field("matrices", &self.matrices())
            .finish()
    }
}

/// Whether a file says of itself that it is an adapter, and no model.
pub(crate) fn is_adapter(file: &File) -> Result<bool> {
    Ok(file.string("general.type")? == Some("adapter"))
}

/// An error unless the file is an adapter of that architecture which can be added here.
fn check_kind(file: &File, model: &Model) -> Result<()> {
    if !is_adapter(file)? {
        return Err(Error::Inconsistent(text!(
            "this is no adapter: general.type is {:?} where one has \"adapter\"",
            file.string("general.type")?.unwrap_or_default()
        )));
    }
    let kind = file.string("adapter.type")?.unwrap_or_default();
    if kind != "lora" {
        return Err(Error::Unsupported(text!("an adapter of the type {kind:?}; known is \"lora\"")));
    }
    let ours = model.file().string("general.architecture")?.unwrap_or_default();
    let its = file.string("general.architecture")?.unwrap_or_default();
    if its != ours {
        return Err(Error::Inconsistent(text!(
            "the adapter is of a model of the architecture {its:?}, and this one is {ours:?}"
        )));
    }
    if file.get("adapter.alora.invocation_tokens").is_some() {
        return Err(Error::Unsupported(text!(
            "an adapter that is activated by tokens (adapter.alora.invocation_tokens); only one for all tokens can be added"
        )));
    }
    Ok(())
}

/// Of a tensor `NAME.lora_a`, the name and the tensor `NAME.lora_b`; nothing of a `.lora_b` that has its `.lora_a`, nor of a norm's
/// gains, which llama.cpp leaves out too.
fn counterpart<'a>(file: &'a File, name: &'a str) -> Result<Option<(&'a str, &'a TensorInfo)>> {
    let find = |base: &str, end: &str| {
        let other = text!("{base}{end}");
        let found = file.tensor(other.as_str());
        found.ok_or_else(|| Error::Inconsistent(text!("tensor {name} has no counterpart {other}")))
    };
    if let Some(base) = name.strip_suffix(".lora_a") {
        return Ok(Some((base, find(base, ".lora_b")?)));
    }
    if let Some(base) = name.strip_suffix(".lora_b") {
        return find(base, ".lora_a").map(|_| None);
    }
    if name.ends_with("_norm.weight") {
        return Ok(None);
    }
    Err(Error::Unsupported(text!("tensor {name} of the adapter is neither a .lora_a nor a .lora_b")))
}

impl Pair {
    /// The pair for the matrix `base` of the model.
    fn new(model: &Model, base: &str, a: &TensorInfo, b: &TensorInfo) -> Result<Pair> {
        let Some(tensor) = model.file().tensor(base) else {
            return Err(Error::Inconsistent(text!(
                "the adapter is for a tensor {base}, which the model does not have: is it of another model?"
            )));
        };
        let [k, rows, experts, _] = tensor.shape;
        let rank = b.shape[0];
        let (a_shape, b_shape) = match base {
            // A token's row of a is looked up, so it is not turned.
            EMBEDDING => ([rank, rows, 1, 1], [rank, k, 1, 1]),
            _ => ([k, rank, experts, 1], [rank, rows, experts, 1]),
        };
        for (end, found, wanted) in [("a", a, a_shape), ("b", b, b_shape)] {
            if found.shape != wanted {
                return Err(Error::Inconsistent(text!(
                    "tensor {base}.lora_{end} has shape {}; of rank {rank}, for the model's {}, it would be {}",
                    Shape(&found.shape),
                    Shape(&tensor.shape),
                    Shape(&wanted)
                )));
            }
        }
        let of = view(text!("{base}"), tensor)?;
        let program = model.program();
        let is_used = base == EMBEDDING || program.matrices().any(|each| of.row_of(each.matrix).is_some());
        if !is_used {
            return Err(Error::Unsupported(text!(
                "the adapter is for {base}, which is no matrix that tokens are multiplied with"
            )));
        }
        // Scratch of the kernels is for rows of the model's matrices.
        if rank > program.k_max() as u64 {
            return Err(Error::Unsupported(text!(
                "tensor {base}.lora_b has rank {rank}; a model this wide takes at most {}",
                program.k_max()
            )));
        }
        let (a, b) = (view(text!("{base}.lora_a"), a)?, view(text!("{base}.lora_b"), b)?);
        // The shape was the view's, whose rows are a multiple of these.
        Ok(Pair { rows: of.rows / experts as usize, of, a, b })
    }
}

/// All rows of a tensor.
fn view(name: Text, tensor: &TensorInfo) -> Result<Matrix> {
    let [k, rows, experts, _] = tensor.shape;
    // The product of all extents was checked when the directory was read.
    Tensors::view(name, tensor, k as usize, (rows * experts) as usize)
}

/// A shape without the extents of 1 at its end.
struct Shape<'a>(&'a [u64]);

impl core::fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let stated = self.0.iter().rposition(|&extent| extent != 1).map_or(1, |last| last + 1);
        write!(f, "{:?}", &self.0[..stated.max(2).min(self.0.len())])
    }
}
