//! Floor 4. What a session is opened with, and the memory that it then has: counted first, and carved by the same code.
#![forbid(unsafe_code)]

use bantam_kernels::KvFormat;
use bantam_kernels::backend::NARROW;

use super::Session;
use crate::arena::{Arena, Slab};
use crate::error::{Error, Result, text};
use crate::forward::Scratch;
use crate::kv::KvShape;
use crate::model::Model;
use crate::sample::Room;
use crate::speculate::DRAFT_MAX;
use crate::tokenizer::TokenId;

/// The context that is used if none is asked for, or the model's own if that is smaller.
pub const CONTEXT_DEFAULT: usize = 4096;

/// The columns of a prefill's batch if not asked otherwise: enough for the wide kernels, little enough memory.
pub const BATCH_DEFAULT: usize = 256;

/// The most bytes that the buffers of a batch take if its size was not asked for: for a model so wide that they would
/// take more, a batch is as much smaller.
const BATCH_BYTES: usize = 14 << 20;
/// Such a batch is a multiple of so many columns.
const BATCH_STEP: usize = 32;
/// The least columns of such a batch: with fewer, unpacking the weights for the wide kernels would cost too much.
const BATCH_LEAST: usize = 64;

/// How to open a session. Fields may be added: write the rest as `..SessionOptions::default()`.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Positions of the cache; `None` is the smaller of [`CONTEXT_DEFAULT`] and the model's training context.
    pub context: Option<usize>,
    /// Tokens that prefill takes through the layers at once; `None` is [`BATCH_DEFAULT`], or less for a wide model.
    pub batch: Option<usize>,
    /// How keys and values are kept.
    pub kv_format: KvFormat,
    /// The most guesses that [`Session::speculate`] verifies at once: up to [`DRAFT_MAX`], and one less than the batch. Each
    /// takes memory for the logits behind it. 0, the default, reads one token at a time, and so do sessions of models whose
    /// layers carry a state from token to token: it would have to be taken back with every guess that is wrong.
    pub draft_max: usize,
    /// The fewest that it verifies, if there are as many, whether or not that seems to pay.
    pub draft_min: usize,
    /// The most sessions that [`Session::decode_together`] reads at once with this one's memory as the first: up to 16, and
    /// to the batch. Each takes memory for its logits. 0 and 1 are the same.
    pub together_max: usize,
    /// Room for adapters ([`Session::set_adapters`]): the most that the ranks of those set at once sum up to. 0, the default,
    /// is none.
    pub adapter_rank: usize,
    /// How many tokens a session of a model with sliding windows can go back without reading any again: this many, and at least
    /// a batch. Layers with a window keep keys and values of as many tokens beside those of the window. Sessions of other
    /// models can always go back.
    pub rewind_max: usize,
    /// Makes what a session computes for a token the same to the last bit however the tokens before it came, as one prompt,
    /// in pieces, or as an answer. Sessions of models whose matrices are all quantised are so without it. Others round products
    /// in other places for more than 16 tokens at once than for fewer: this keeps their batches to 16, at about half the
    /// speed of prompts.
    pub exact: bool,
}

/// What a session needs, known before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Positions of the cache.
    pub context: usize,
    /// Bytes of keys and values, and of the states of layers that carry one.
    pub kv_bytes: usize,
    /// Bytes of everything else: buffers of a batch, logits, candidates.
    pub scratch_bytes: usize,
}

impl Plan {
    /// All bytes that the session will allocate.
    pub fn total_bytes(&self) -> usize {
        self.kv_bytes.saturating_add(self.scratch_bytes)
    }
}

/// What is carved from the scratch arena.
pub(super) struct Work {
    pub(super) scratch: Scratch,
    /// Tokens that are held, and those read ahead.
    pub(super) tokens: Slab<TokenId>,
    /// Columns of `vocab_size` logits: one, and one for each guess, or for each session that is decoded together.
    pub(super) logits: Slab<f32>,
    pub(super) room: Room,
}

impl Session {
    pub(super) fn count(model: &Model, options: &SessionOptions, threads: usize) -> Result<(Plan, Counted)> {
        if !model.writes() {
            let architecture = model.architecture();
            return Err(Error::Unsupported(text!(
                "this {architecture} model reads texts and writes none: an embedder makes vectors of them"
            )));
        }
        let training = model.hyper().context_length;
        let context = options.context.unwrap_or(CONTEXT_DEFAULT.min(training));
        if context == 0 {
            return Err(Error::Argument(text!("a context of 0 tokens holds nothing; it must be at least 1")));
        }
        if options.batch == Some(0) {
            return Err(Error::Argument(text!("a batch must have at least 1 token")));
        }
        let kv_shape = Session::kv_shape(model, options, context);
        kv_shape.check(model.program())?;
        let mut kv = Arena::counting("the KV cache of the context");
        Session::carve_held(model, kv_shape, &mut kv)?;
        let mut scratch = Arena::counting("the session's scratch");
        Work::carve(model, options, kv_shape, threads, &mut scratch)?;
        let plan = Plan { context, kv_bytes: kv.used_bytes(), scratch_bytes: scratch.used_bytes() };
        Ok((plan, Counted { kv, scratch }))
    }

    pub(super) fn kv_shape(model: &Model, options: &SessionOptions, context: usize) -> KvShape {
        let batch = batch(model, options, context);
        KvShape::new(model.program(), context, batch, options.rewind_max, options.kv_format)
    }
}

/// The two arenas of a session, counted.
pub(super) struct Counted {
    pub(super) kv: Arena,
    pub(super) scratch: Arena,
}

/// The batch if none is asked for: whole tiles of the wide kernels.
fn batch_default(model: &Model) -> usize {
    let fitting = BATCH_BYTES / Scratch::column_bytes(model.program()).max(1);
    (fitting / BATCH_STEP * BATCH_STEP).clamp(BATCH_LEAST, BATCH_DEFAULT)
}

/// The tokens that go through the layers at once.
fn batch(model: &Model, options: &SessionOptions, context: usize) -> usize {
    let mut matrices = model.program().matrices();
    let has_one_order = matrices.all(|each| model.backend().has_one_order(each.matrix.format));
    let most = if options.exact && !has_one_order { NARROW } else { usize::MAX };
    options.batch.unwrap_or_else(|| batch_default(model)).min(context).min(most)
}

impl Work {
    pub(super) fn carve(
        model: &Model,
        options: &SessionOptions,
        kv: KvShape,
        threads: usize,
        arena: &mut Arena,
    ) -> Result<Work> {
        let batch = batch(model, options, kv.context);
        let vocab_size = model.hyper().vocab_size;
        let columns = options.together_max.min(NARROW).max(1 + options.draft_max.min(DRAFT_MAX)).min(batch);
        Ok(Work {
            scratch: Scratch::carve(
                model.program(),
                kv.context,
                model.backend(),
                batch,
                threads,
                options.adapter_rank,
                arena,
            )?,
            tokens: arena.slab(kv.context)?,
            // A product that overflows asks for more than there can be, which the arena refuses.
            logits: arena.slab(vocab_size.saturating_mul(columns))?,
            room: Room::carve(vocab_size, kv.context, arena)?,
        })
    }
}
