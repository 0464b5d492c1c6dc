//! What several tests need: golden files, the demo model or a word on why it is not there, a tiny model made byte by byte,
//! sessions, and the macros that make one test per backend (they are the kernels').
#![allow(dead_code, unused_imports, reason = "every test uses a part")]

pub(crate) mod adapters;
pub(crate) mod architectures;
pub(crate) mod dequantized;
pub(crate) mod gguf;
#[macro_use]
#[path = "../../kernels/tests/common/mod.rs"]
pub(crate) mod kernels;
pub(crate) mod reference;
pub(crate) mod tiny;
pub(crate) mod variants;

use std::path::PathBuf;
use std::sync::Arc;

use bantam::mmap::Mapping;
use bantam::{Backend, Model, ModelOptions, Pool, Session, SessionOptions, TokenId};
pub(crate) use kernels::{Random, on};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file below `tests/golden`.
pub(crate) fn golden(name: &str) -> String {
    let path = root().join("tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The demo model. Without it a test is skipped, but never in CI.
pub(crate) fn demo_model() -> Option<PathBuf> {
    let path = root().join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the demo model is missing; scripts/fetch-model gets it");
    println!("skipped: the demo model is missing; scripts/fetch-model gets it");
    None
}

/// Whether scalar is all that runs here, so that tests of whole prompts use it.
pub(crate) fn only_scalar() -> bool {
    bantam::Backend::available().count() == 1
}

/// The demo model on a backend, if it is there.
pub(crate) fn demo(backend: Backend) -> Option<Model> {
    let mapping = Mapping::open(&demo_model()?).unwrap();
    Some(Model::from_mapping(mapping, &forced(backend)).unwrap())
}

/// A model of these bytes on a backend.
pub(crate) fn model(bytes: Vec<u8>, backend: Backend) -> Model {
    Model::from_mapping(Mapping::from_bytes(bytes).unwrap(), &forced(backend)).unwrap()
}

/// The options that force a backend.
pub(crate) fn forced(backend: Backend) -> ModelOptions<'static> {
    ModelOptions { backend: Some(backend.name()) }
}

/// A session of `context` positions that prefills `batch` tokens at once, on a pool of its own.
pub(crate) fn session(model: &Model, threads: usize, context: usize, batch: usize) -> Session {
    Session::open(model, Arc::new(Pool::new(threads).unwrap()), &sized(context, batch)).unwrap()
}

/// The options of a session of that size.
pub(crate) fn sized(context: usize, batch: usize) -> SessionOptions {
    let mut options = SessionOptions::default();
    (options.context, options.batch) = (Some(context), Some(batch));
    options
}

/// That many tokens of the model, the same on every machine.
pub(crate) fn tokens(model: &Model, count: usize) -> Vec<TokenId> {
    let mut random = Random::new(count as u64);
    (0..count).map(|_| random.below(model.hyper().vocab_size) as TokenId).collect()
}

/// The logits, as bits: equal only if they are the same to the last.
pub(crate) fn bits(session: &Session) -> Vec<u32> {
    assert!(session.has_logits());
    // What is not a number would hide every difference.
    assert!(session.logits().iter().all(|logit| logit.is_finite()));
    assert!(session.logits().iter().any(|logit| *logit != session.logits()[0]));
    session.logits().iter().map(|logit| logit.to_bits()).collect()
}
