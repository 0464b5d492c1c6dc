//! Floor 4. What an embedder is opened with, and the memory that it then has: counted first, and carved by the same code.
#![forbid(unsafe_code)]

use bantam_kernels::KvFormat;

use super::Embedder;
use crate::arena::{Arena, Slab};
use crate::error::{Error, Result, text};
use crate::forward::Scratch;
use crate::kv::{KvCache, KvShape};
use crate::model::program::Step;
use crate::model::{Model, Pooling};
use crate::session::Plan;
use crate::tokenizer::TokenId;

/// The longest text if none is asked for, or what the model reads if that is less.
const CONTEXT_DEFAULT: usize = 2048;

/// The tokens of several texts that go through a model at once: enough for the wide kernels, few enough for the caches.
const PASS: usize = 512;

/// How to open an embedder. Fields may be added: write the rest as `..EmbedOptions::default()`.
#[derive(Clone, Debug)]
pub struct EmbedOptions {
    /// The most tokens of a text; `None` is what the model reads, up to 2048.
    pub context: Option<usize>,
    /// How texts become vectors; `None` is what the file says.
    pub pooling: Option<Pooling>,
    /// Brings vectors to length 1, so that their product is a cosine.
    pub normalize: bool,
}

impl Default for EmbedOptions {
    fn default() -> EmbedOptions {
        EmbedOptions { context: None, pooling: None, normalize: true }
    }
}

impl EmbedOptions {
    /// How texts become vectors.
    pub(super) fn pooling_of(&self, model: &Model) -> Result<Pooling> {
        let architecture = model.architecture();
        let pooling = self.pooling.or(model.pooling()).ok_or_else(|| {
            Error::Unsupported(text!(
                "the file does not say how texts become vectors ({architecture}.pooling_type), so it was hardly made for it; \
                 choose a pooling to try: last or mean"
            ))
        })?;
        if pooling == Pooling::Rank && model.program().head.is_none() {
            return Err(Error::Argument(text!(
                "this {architecture} model cannot rank: it has no head (tensors cls, cls.output); embed texts and compare vectors"
            )));
        }
        Ok(pooling)
    }
}

/// What is carved beside keys and values.
pub(super) struct Work {
    pub(super) scratch: Scratch,
    /// The tokens of a pass.
    pub(super) tokens: Slab<TokenId>,
    /// Of each text of a pass, as [`Texts`](crate::forward::Texts) has them.
    pub(super) ends: Slab<u32>,
    pub(super) seconds: Slab<u32>,
}

impl Work {
    pub(super) fn carve(
        model: &Model,
        context: usize,
        threads: usize,
        arena: &mut Arena,
    ) -> Result<(KvCache, Work)> {
        let batch = context.max(PASS);
        let kv = KvCache::carve(model, kv_shape(model, batch), arena)?;
        let scratch = Scratch::carve_for_texts(model.program(), model.backend(), batch, threads, arena)?;
        let (tokens, ends, seconds) = (arena.slab(batch)?, arena.slab(batch)?, arena.slab(batch)?);
        Ok((kv, Work { scratch, tokens, ends, seconds }))
    }
}

/// The keys and values of a batch, all of them there at once.
fn kv_shape(model: &Model, batch: usize) -> KvShape {
    KvShape::new(model.program(), batch, batch, batch, KvFormat::F16)
}

impl Embedder {
    pub(super) fn count(model: &Model, options: &EmbedOptions, threads: usize) -> Result<(Plan, Arena)> {
        options.pooling_of(model)?;
        check_layers(model)?;
        let training = model.hyper().context_length;
        let context = options.context.unwrap_or(CONTEXT_DEFAULT.min(training));
        if !(1..=training).contains(&context) {
            return Err(Error::Argument(text!(
                "texts of {context} tokens; this model reads 1 to {training}, so choose a context of that"
            )));
        }
        let mut arena = Arena::counting("the embedder's memory");
        KvCache::carve(model, kv_shape(model, context.max(PASS)), &mut arena)?;
        let kv_bytes = arena.used_bytes();
        let mut arena = Arena::counting("the embedder's memory");
        Work::carve(model, context, threads, &mut arena)?;
        let plan = Plan { context, kv_bytes, scratch_bytes: arena.used_bytes() - kv_bytes };
        Ok((plan, arena))
    }
}

/// Refuses layers that no embedder runs.
fn check_layers(model: &Model) -> Result<()> {
    let (program, architecture) = (model.program(), model.architecture());
    if program.recurrent().layers > 0 {
        return Err(Error::Unsupported(text!(
            "layers of {architecture} carry a state from token to token, which no embedder keeps"
        )));
    }
    let looks_ahead = |step: &Step| match step {
        Step::Attend { attention, sinks, .. } => attention.window.is_some() || sinks.is_some(),
        _ => false,
    };
    if !program.causal && program.steps.iter().any(looks_ahead) {
        return Err(Error::Unsupported(text!("windows and sinks of {architecture} in both directions")));
    }
    Ok(())
}
