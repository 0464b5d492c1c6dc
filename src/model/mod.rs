//! Floor 2. A model: a mapped file, its shapes, its program, and the backend that runs it.
#![forbid(unsafe_code)]

mod architectures;
mod description;
pub(crate) mod hyper;
pub(crate) mod pooling;
pub(crate) mod program;
pub(crate) mod rope;
pub(crate) mod weights;
mod windows;

use bantam_kernels::{Backend, BackendError, Format};

use crate::arena::Shared;
use crate::error::{Error, Result, text};
use crate::gguf::File;
use crate::mmap::Mapping;
use crate::tokenizer::Tokenizer;
use description::Description;
pub use hyper::HyperParameters;
use hyper::Keys;
pub use pooling::Pooling;
use program::Program;
use weights::Tensors;

/// How to open a model. The default is the best backend of this CPU. Fields may be added: write the rest as
/// `..ModelOptions::default()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelOptions<'a> {
    /// The backend by name, `avx2`; the best that the CPU has if `None`. With `std`, the environment variable
    /// `BANTAM_BACKEND` stands in for a missing name.
    pub backend: Option<&'a str>,
}

/// An open model. Cloning shares it; it may be used from any thread.
#[derive(Clone)]
pub struct Model(Shared<Inner>);

struct Inner {
    file: File,
    hyper: HyperParameters,
    program: Program,
    tokenizer: Tokenizer,
    backend: Backend,
}

impl Model {
    /// Maps the GGUF file at `path`. The weights stay in the file's pages.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotGguf`], [`Error::Malformed`], [`Error::Inconsistent`], [`Error::Unsupported`].
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Model> {
        Model::from_mapping(Mapping::open(path.as_ref())?, &ModelOptions::default())
    }

    /// Opens `length` bytes of an open file from `offset` on, to its end if `None`: a model inside an archive. The file
    /// is borrowed and may be closed afterwards. From a raw descriptor, see [`std::os::fd::BorrowedFd`].
    ///
    /// # Errors
    /// As [`Model::open`]; [`Error::Argument`] if the range is not inside the file.
    #[cfg(feature = "std")]
    pub fn from_file(file: &std::fs::File, offset: u64, length: Option<u64>) -> Result<Model> {
        Model::from_mapping(Mapping::from_file(file, offset, length)?, &ModelOptions::default())
    }

    /// Opens a model in memory, in place: `&'static [u8]`, `Vec<u8>`, `Arc<[u8]>` or a mapping of one's own.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Model> {
        Model::from_mapping(Mapping::from_bytes(bytes)?, &ModelOptions::default())
    }

    /// Opens a model from any mapping, with options.
    ///
    /// # Errors
    /// As [`Model::open`]; [`Error::Argument`] if the backend is unknown or the CPU lacks it.
    pub fn from_mapping(mapping: Mapping, options: &ModelOptions<'_>) -> Result<Model> {
        let backend = choose_backend(options.backend)?;
        let file = File::open(mapping)?;
        if crate::lora::is_adapter(&file)? {
            return Err(Error::Unsupported(text!(
                "this file is an adapter (LoRA): open the model that it is for, and this as an adapter of that model"
            )));
        }
        let architecture = file.string("general.architecture")?.ok_or_else(|| {
            Error::Inconsistent(text!("metadata key general.architecture is missing: is this a model?"))
        })?;
        let Some(describe) = architectures::by_name(architecture) else {
            return Err(Error::Unsupported(text!(
                "architecture {architecture:?}; known are {}",
                Names(Model::architectures)
            )));
        };
        if file.tensors().next().is_none() {
            return Err(Error::Unsupported(text!("the file holds a vocabulary only, and no weights to run")));
        }
        let keys = Keys { file: &file, architecture, uneven: architectures::is_uneven(architecture) };
        let hyper = HyperParameters::read(keys)?;
        let tensors = Tensors::new(&file)?;
        let mut description = Description::new(keys, &hyper, &tensors);
        describe(&mut description)?;
        let program = description.finish()?;
        tensors.finish(architecture)?;
        let tokenizer = Tokenizer::from_gguf(&file)?;
        if tokenizer.vocab_size() > hyper.vocab_size {
            return Err(Error::Inconsistent(text!(
                "the vocabulary has {} tokens and the embedding {} rows",
                tokenizer.vocab_size(),
                hyper.vocab_size
            )));
        }
        #[cfg(all(feature = "std", unix))]
        program.spans()?.into_iter().for_each(|span| file.mapping().ask_for_large_pages(span));
        Shared::new(Inner { file, hyper, program, tokenizer, backend }, "the model").map(Model)
    }

    /// The names of the architectures that can be run, as `general.architecture` spells them.
    pub fn architectures() -> impl Iterator<Item = &'static str> {
        architectures::names()
    }

    /// The file: metadata and directory of tensors.
    pub fn file(&self) -> &File {
        &self.0.file
    }

    /// The name of the model's architecture, as `general.architecture` spells it.
    pub fn architecture(&self) -> &str {
        // It was read to open the model.
        self.file().string("general.architecture").ok().flatten().unwrap_or_default()
    }

    /// The model's shapes.
    pub fn hyper(&self) -> &HyperParameters {
        &self.0.hyper
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// The backend that runs the model.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// Whether the model writes: it scores what comes next, and [`Session`](crate::Session) runs it. One that does not is an
    /// encoder, which [`Embedder`](crate::Embedder) runs.
    pub fn writes(&self) -> bool {
        self.0.program.output.is_some() && self.0.program.causal
    }

    /// How the file says that texts become vectors, if it does.
    pub fn pooling(&self) -> Option<Pooling> {
        self.0.program.pooling
    }

    /// Bytes of weights that one token is multiplied with: what decoding has to read.
    pub fn bytes_per_token(&self) -> u64 {
        self.0.program.matrices().map(|each| each.bytes() as u64).sum()
    }

    /// Multiply-adds of one token with the weights.
    pub fn macs_per_token(&self) -> u64 {
        self.0.program.matrices().map(|each| each.rows() as u64 * each.matrix.k as u64).sum()
    }

    /// The weight formats that a token is multiplied with.
    pub fn formats(&self) -> impl Iterator<Item = Format> {
        let used = |format: &Format| self.0.program.matrices().any(|each| each.matrix.format == *format);
        Format::ALL.iter().copied().filter(used)
    }

    /// A number that tells this model's file from another's: the same for every opening of the same bytes. It is made of
    /// the metadata, the directory of tensors, and a few weights of each; so other weights of the same shapes have another
    /// one, most likely, and no page of the file is read that is not needed for that.
    pub fn fingerprint(&self) -> u64 {
        self.file().fingerprint()
    }

    /// Whether `other` is a clone of this one, and not only a model of the same file.
    pub fn is_same(&self, other: &Model) -> bool {
        core::ptr::eq(&*self.0, &*other.0)
    }

    pub(crate) fn program(&self) -> &Program {
        &self.0.program
    }
}

impl core::fmt::Debug for Model {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Model").field("hyper", &self.0.hyper).field("backend", &self.0.backend).finish()
    }
}

/// The backend of that name, else of the environment's, else the best.
fn choose_backend(name: Option<&str>) -> Result<Backend> {
    #[cfg(feature = "std")]
    let environment = std::env::var("BANTAM_BACKEND").ok();
    #[cfg(feature = "std")]
    let name = name.or(environment.as_deref());
    let Some(name) = name else { return Ok(Backend::detect()) };
    Backend::by_name(name).map_err(|error| {
        let known = Names(Backend::names);
        Error::Argument(match error {
            BackendError::Unknown => text!("there is no backend {name:?}; known are {known}"),
            BackendError::Unsupported => text!("this CPU cannot run the backend {name:?}"),
        })
    })
}

/// Shows a list of names.
struct Names<T>(T);

impl<F: Fn() -> I, I: Iterator<Item = &'static str>> core::fmt::Display for Names<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, name) in (self.0)().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
