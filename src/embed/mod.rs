//! Floor 4. An embedder: texts in, vectors out, or scores of how well a document answers a query.
//!
//! Invariant: all of an embedder's memory is had at open; what it makes of tokens allocates nothing, and does not depend on
//! what the texts around them say.
#![forbid(unsafe_code)]

mod plan;
mod tokens;

use alloc::sync::Arc;

use bantam_kernels::math;

use crate::arena::{Arena, Buffer};
use crate::cancel::Cancel;
use crate::error::{Error, Result, text};
use crate::forward::{Forward, Texts};
use crate::kv::KvCache;
use crate::model::{Model, Pooling};
use crate::pool::Pool;
use crate::session::Plan;
use crate::tokenizer::TokenId;
pub use plan::EmbedOptions;
use plan::Work;

/// What reads texts with a model, several at once, and makes a vector of each. It keeps the model and the pool alive, and may
/// move between threads.
///
/// ```no_run
/// use bantam::{EmbedOptions, Embedder, Input, Model, Pool};
/// use std::sync::Arc;
///
/// let model = Model::open("models/all-MiniLM-L6-v2.F16.gguf")?;
/// let mut embedder = Embedder::open(&model, Arc::new(Pool::new(2)?), &EmbedOptions::default())?;
/// let texts = ["A hen sits on her eggs.", "The bird is brooding.", "Shares fell on Friday."];
///
/// let mut tokens = [const { Vec::new() }; 3];
/// for (text, tokens) in texts.iter().zip(&mut tokens) {
///     embedder.encode(text, tokens)?;
/// }
/// let inputs: Vec<Input> = tokens.iter().map(|tokens| Input::from(&tokens[..])).collect();
/// let mut vectors = vec![0.0; embedder.values(&inputs)];
/// embedder.embed(&inputs, &mut vectors)?;
///
/// let vectors: Vec<&[f32]> = vectors.chunks_exact(embedder.dim()).collect();
/// // The vectors have length 1, so their product is the cosine of the angle between them.
/// let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
/// assert!(cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2]));
/// # Ok::<(), bantam::Error>(())
/// ```
pub struct Embedder {
    model: Model,
    pool: Arc<Pool>,
    cancel: Cancel,
    plan: Plan,
    pooling: Pooling,
    normalize: bool,
    kv: KvCache,
    work: Work,
}

/// The tokens of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// All of them, special ones among them.
    pub tokens: &'a [TokenId],
    /// How many belong to the first part of a pair, a query and a document: models may tell the parts apart. All of them in a
    /// text of one part.
    pub first: usize,
}

impl<'a> From<&'a [TokenId]> for Input<'a> {
    fn from(tokens: &'a [TokenId]) -> Input<'a> {
        Input { tokens, first: tokens.len() }
    }
}

impl Embedder {
    /// What an embedder of these options will allocate when run by a pool made for `threads`, to the byte.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if neither the file nor the options say how texts become vectors, or the model has layers that
    /// only a session runs; [`Error::Argument`] for a context of 0 or beyond the model's, or a ranking without a head.
    pub fn plan(model: &Model, options: &EmbedOptions, threads: usize) -> Result<Plan> {
        let (plan, ..) = Embedder::count(model, options, threads)?;
        Ok(plan)
    }

    /// Opens an embedder and has all its memory.
    ///
    /// # Errors
    /// As [`Embedder::plan`]; [`Error::Memory`] with the number of bytes that could not be had; [`Error::Changed`] if the model's
    /// file was cut short.
    pub fn open(model: &Model, pool: Arc<Pool>, options: &EmbedOptions) -> Result<Embedder> {
        model.file().mapping().check()?;
        let (plan, counted) = Embedder::count(model, options, pool.capacity())?;
        let arena = Arena::allocate(&counted)?;
        Embedder::carve(model, pool, options, plan, arena)
    }

    /// Opens an embedder in memory of the caller's, of at least [`Plan::total_bytes`].
    ///
    /// # Errors
    /// As [`Embedder::open`]; [`Error::Memory`] if the buffer is too short, [`Error::Argument`] if it does not start at a multiple
    /// of [`Buffer::ALIGN`].
    pub fn open_in(
        model: &Model,
        pool: Arc<Pool>,
        options: &EmbedOptions,
        buffer: Buffer,
    ) -> Result<Embedder> {
        model.file().mapping().check()?;
        let (plan, counted) = Embedder::count(model, options, pool.capacity())?;
        let (arena, _) = Arena::lend(&counted, buffer)?;
        Embedder::carve(model, pool, options, plan, arena)
    }

    fn carve(
        model: &Model,
        pool: Arc<Pool>,
        options: &EmbedOptions,
        plan: Plan,
        mut arena: Arena,
    ) -> Result<Embedder> {
        let (kv, mut work) = Work::carve(model, plan.context, pool.capacity(), &mut arena)?;
        work.scratch.prepare(&model.program().ropes, model.file().mapping().bytes(), plan.context);
        Ok(Embedder {
            model: model.clone(),
            pool,
            cancel: Cancel::new()?,
            plan,
            pooling: options.pooling_of(model)?,
            normalize: options.normalize,
            kv,
            work,
        })
    }

    /// The embedder's model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The embedder's pool, whose threads may change between two calls.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What the embedder has allocated.
    pub fn memory(&self) -> Plan {
        self.plan
    }

    /// The most tokens of a text.
    pub fn context(&self) -> usize {
        self.plan.context
    }

    /// How texts become vectors.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Values of a vector: the width of the model, or how many labels its head scores.
    pub fn dim(&self) -> usize {
        let dim = self.model.hyper().dim;
        match &self.model.program().head {
            Some(head) if self.pooling == Pooling::Rank => head.labels(dim),
            _ => dim,
        }
    }

    /// Values of all vectors of these texts: one for each text, or without pooling for each token.
    pub fn values(&self, texts: &[Input<'_>]) -> usize {
        let vectors = match self.pooling {
            Pooling::None => texts.iter().map(|text| text.tokens.len()).sum(),
            _ => texts.len(),
        };
        self.dim() * vectors
    }

    /// A switch that stops [`Embedder::embed`] from another thread, within milliseconds. It stays set until it is reset.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Lets `cancel` stop this embedder, instead of a switch of its own.
    pub fn set_cancel(&mut self, cancel: Cancel) {
        self.cancel = cancel;
    }

    /// Gives the memory that texts are read in back to the system: how many bytes that were. Nothing of a text is kept there, so the
    /// next call takes the memory again and makes the same vectors. Of an embedder in a caller's buffer nothing is given back.
    pub fn trim(&mut self) -> usize {
        self.kv.release() + self.work.scratch.release()
    }

    /// Makes vectors of texts, one behind the other in `out`. Several texts go through the model at once; what becomes of one
    /// depends neither on what the others say nor on the number of threads. With matrices that are all quantised, it has the
    /// same bits alone; otherwise it may differ in its last digits, since more than 16 tokens are multiplied in another order.
    ///
    /// Unless the options say otherwise, vectors are brought to length 1; scores never are.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text without tokens, a token outside the vocabulary, or an `out` that does not have the length
    /// that [`Embedder::values`] tells, [`Error::ContextFull`] for a text of more tokens than [`Embedder::context`], [`Error::Changed`]
    /// if the model's file was cut short: nothing has happened then. [`Error::Cancelled`], and [`Error::Inconsistent`] for weights that
    /// make values which are no numbers: what is in `out` means nothing.
    pub fn embed(&mut self, texts: &[Input<'_>], out: &mut [f32]) -> Result<()> {
        self.model.file().mapping().check()?;
        self.check(texts, out)?;
        let (mut rest, mut out) = (texts, out);
        while !rest.is_empty() {
            let (pass, behind) = rest.split_at(self.pass(rest));
            let (made, behind_made) = out.split_at_mut(self.values(pass));
            self.run(pass, made)?;
            (rest, out) = (behind, behind_made);
        }
        Ok(())
    }

    fn check(&self, texts: &[Input<'_>], out: &[f32]) -> Result<()> {
        let vocab_size = self.model.hyper().vocab_size;
        for (i, &Input { tokens, first }) in texts.iter().enumerate() {
            if tokens.is_empty() {
                return Err(Error::Argument(text!("text {i} has no tokens: there is nothing to read")));
            }
            if tokens.len() > self.plan.context {
                return Err(Error::ContextFull { needed: tokens.len(), context: self.plan.context });
            }
            if first > tokens.len() {
                let count = tokens.len();
                return Err(Error::Argument(text!(
                    "the first part of text {i} is {first} of its {count} tokens"
                )));
            }
            if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
                return Err(Error::Argument(text!(
                    "token {token} of text {i} is outside the vocabulary of {vocab_size}"
                )));
            }
        }
        let values = self.values(texts);
        if out.len() != values {
            return Err(Error::Argument(text!(
                "the vectors are {values} values; there is room for {}",
                out.len()
            )));
        }
        Ok(())
    }

    /// How many of these texts go through the model next.
    fn pass(&self, texts: &[Input<'_>]) -> usize {
        let mut room = self.work.tokens.len();
        let fits = |text: &&Input<'_>| {
            let fits = text.tokens.len() <= room;
            room = room.saturating_sub(text.tokens.len());
            fits
        };
        texts.iter().take_while(fits).count()
    }

    /// Takes texts that fit through the model.
    fn run(&mut self, texts: &[Input<'_>], out: &mut [f32]) -> Result<()> {
        let Embedder { model, pool, cancel, kv, work, .. } = self;
        let Work { scratch, tokens, ends, seconds } = work;
        let mut n = 0;
        for (text, (end, second)) in texts.iter().zip(ends.iter_mut().zip(seconds.iter_mut())) {
            tokens[n..][..text.tokens.len()].copy_from_slice(text.tokens);
            *second = (n + text.first) as u32;
            n += text.tokens.len();
            *end = n as u32;
        }
        let (ends, seconds) = (&ends[..texts.len()], &seconds[..texts.len()]);
        let mut texts = Texts { kv, ends, seconds };
        let mut forward = Forward::new(model, pool, cancel, scratch);
        forward.run(&tokens[..n], &mut texts)?;
        out.copy_from_slice(forward.pool(&texts, self.pooling)?);
        if self.normalize && self.pooling != Pooling::Rank {
            out.chunks_exact_mut(self.model.hyper().dim).for_each(normalize);
        }
        // In a database they would look like vectors for as long as it is kept.
        if !out.iter().all(|value| value.is_finite()) {
            return Err(Error::Inconsistent(text!(
                "a vector has values that are no numbers: weights are damaged"
            )));
        }
        Ok(())
    }
}

/// Brings a vector to length 1. One of zeros stays.
fn normalize(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    if square > 0.0 {
        let scale = math::pow_f64(square, -0.5) as f32;
        vector.iter_mut().for_each(|value| *value *= scale);
    }
}
