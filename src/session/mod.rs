//! Floor 4. A session: the tokens of one conversation, their keys and values, and the logits behind the last.
//!
//! Invariant: all of a session's memory is had at open; prefilling, decoding and sampling allocate nothing.
#![forbid(unsafe_code)]

mod adapt;
mod ahead;
mod choose;
mod fork;
mod plan;
mod recurrent;
mod saved;
mod shift;
mod together;
mod trim;

use alloc::sync::Arc;
use core::ops::Range;

use crate::arena::{Arena, Buffer};
use crate::cancel::Cancel;
use crate::error::{Error, Result, text};
use crate::forward::{Consecutive, Forward};
use crate::kv::KvCache;
use crate::model::Model;
use crate::pool::Pool;
use crate::recurrent::Recurrent;
use crate::speculate::Costs;
use crate::tokenizer::TokenId;
pub use ahead::Drafts;
use choose::Top;
use plan::Work;
pub use plan::{BATCH_DEFAULT, CONTEXT_DEFAULT, Plan, SessionOptions};
use trim::Spilled;

/// One conversation with a model. It keeps the model and the pool alive, and may move between threads.
///
/// ```no_run
/// use bantam::{EncodeOptions, Model, Pool, Sampler, Session, SessionOptions};
/// use std::sync::Arc;
///
/// let model = Model::open("models/SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let options = SessionOptions::default();
/// println!("{} bytes will be used", Session::plan(&model, &options, 2)?.total_bytes());
/// let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &options)?;
///
/// let mut prompt = Vec::new();
/// model.tokenizer().encode("The capital of France is", EncodeOptions::default(), &mut prompt)?;
/// session.prefill(&prompt)?;
///
/// let mut sampler = Sampler::greedy();
/// for _ in 0..16 {
///     let token = session.sample(&mut sampler)?;
///     if model.tokenizer().is_end_of_generation(token) {
///         break;
///     }
///     print!("{}", String::from_utf8_lossy(model.tokenizer().token_bytes(token).unwrap_or_default()));
///     session.decode(token)?;
/// }
/// # Ok::<(), bantam::Error>(())
/// ```
pub struct Session {
    model: Model,
    pool: Arc<Pool>,
    cancel: Cancel,
    options: SessionOptions,
    plan: Plan,
    /// Positions whose keys and values are in the cache.
    position: usize,
    /// Tokens behind them that were read as guesses: they are held once they are decoded.
    ahead: usize,
    /// Whether there are logits behind the last position.
    scored: bool,
    /// Which column of the logits they are; those of the guesses follow it.
    column: usize,
    kv: KvCache,
    /// What the layers carry: of the tokens that are held, or of some of them, or of more.
    recurrent: Recurrent,
    work: Work,
    costs: Costs,
    drafts: Drafts,
    top: Top,
    /// Where keys, values and logits are, if they are not in memory.
    spilled: Spilled,
}

impl Session {
    /// What a session of these options will allocate when run by a pool made for `threads`, to the byte.
    ///
    /// # Errors
    /// [`Error::Argument`] for a context or batch of 0, or a cache format that the model's heads do not fit.
    pub fn plan(model: &Model, options: &SessionOptions, threads: usize) -> Result<Plan> {
        let (plan, _) = Session::count(model, options, threads)?;
        Ok(plan)
    }

    /// Opens a session and has all its memory.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Session::plan`]; [`Error::Memory`] with the number of bytes that could not be had;
    /// [`Error::Changed`] if the model's file was cut short.
    pub fn open(model: &Model, pool: Arc<Pool>, options: &SessionOptions) -> Result<Session> {
        model.file().mapping().check()?;
        let (plan, counted) = Session::count(model, options, pool.capacity())?;
        let arenas = (Arena::allocate(&counted.kv)?, Arena::allocate(&counted.scratch)?);
        Session::carve(model, pool, options, plan, arenas)
    }

    /// Opens a session in memory of the caller's, of at least [`Plan::total_bytes`]. Beside that it takes some kilobytes from
    /// the heap, and none later.
    ///
    /// ```no_run
    /// # use bantam::{Buffer, Model, Pool, Session, SessionOptions};
    /// # use std::{ptr::NonNull, sync::Arc};
    /// # let model = Model::open("model.gguf")?;
    /// let options = SessionOptions { context: Some(512), ..SessionOptions::default() };
    /// let bytes = Session::plan(&model, &options, 1)?.total_bytes();
    /// # #[repr(align(64))]
    /// # struct Aligned([u8; 1 << 24]);
    /// # let memory = Box::leak(Box::new(Aligned([0; 1 << 24])));
    /// # assert!(bytes <= memory.0.len());
    /// // SAFETY: the memory is there for good, and used for nothing else.
    /// let buffer = unsafe { Buffer::new(NonNull::from(&mut memory.0).cast(), bytes) };
    /// let session = Session::open_in(&model, Arc::new(Pool::new(1)?), &options, buffer)?;
    /// # Ok::<(), bantam::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Session::open`]; [`Error::Memory`] if the buffer is too short, [`Error::Argument`] if it does not start at a multiple
    /// of [`Buffer::ALIGN`].
    pub fn open_in(
        model: &Model,
        pool: Arc<Pool>,
        options: &SessionOptions,
        buffer: Buffer,
    ) -> Result<Session> {
        model.file().mapping().check()?;
        let (plan, counted) = Session::count(model, options, pool.capacity())?;
        let (kv, rest) = Arena::lend(&counted.kv, buffer)?;
        let (scratch, _) = Arena::lend(&counted.scratch, rest)?;
        Session::carve(model, pool, options, plan, (kv, scratch))
    }

    fn carve(
        model: &Model,
        pool: Arc<Pool>,
        options: &SessionOptions,
        plan: Plan,
        (mut kv, mut arena): (Arena, Arena),
    ) -> Result<Session> {
        let kv_shape = Session::kv_shape(model, options, plan.context);
        let (kv, recurrent) = Session::carve_held(model, kv_shape, &mut kv)?;
        let threads = pool.capacity();
        let mut work = Work::carve(model, options, kv_shape, threads, &mut arena)?;
        work.scratch.prepare(&model.program().ropes, model.file().mapping().bytes(), plan.context);
        Ok(Session {
            model: model.clone(),
            pool,
            cancel: Cancel::new()?,
            options: options.clone(),
            plan,
            position: 0,
            ahead: 0,
            scored: false,
            column: 0,
            kv,
            recurrent,
            work,
            costs: Costs::new(options.draft_min),
            drafts: Drafts::default(),
            top: Top::default(),
            spilled: Spilled::default(),
        })
    }

    /// The session's model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What the session has allocated.
    pub fn memory(&self) -> Plan {
        self.plan
    }

    /// Threads of the session's pool.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The session's pool, whose threads may change between two calls of the session or during one: see
    /// [`Pool::set_threads`].
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Positions of the cache.
    pub fn context(&self) -> usize {
        self.plan.context
    }

    /// Tokens that [`Session::prefill`] takes through the layers at once.
    pub fn batch(&self) -> usize {
        self.work.scratch.batch
    }

    /// Tokens that the session holds.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The tokens that the session holds.
    pub fn tokens(&self) -> &[TokenId] {
        &self.work.tokens[..self.position]
    }

    /// A switch that stops [`Session::prefill`] and [`Session::decode`] from another thread, within milliseconds. It
    /// stays set until it is reset.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Lets `cancel` stop this session, instead of a switch of its own.
    pub fn set_cancel(&mut self, cancel: Cancel) {
        self.cancel = cancel;
    }

    /// Reads `tokens` behind those already held; [`Session::logits`] then scores what follows them.
    ///
    /// # Errors
    /// [`Error::Argument`] for no tokens or one outside the vocabulary, [`Error::ContextFull`], [`Error::Changed`] if the
    /// model's file was cut short: nothing has happened then. [`Error::Cancelled`]: the batches already through are kept,
    /// [`Session::position`] tells how many tokens that is; never all, so the rest can be prefilled as if nothing had been.
    pub fn prefill(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.check_files()?;
        self.prefill_unchecked(tokens)
    }

    /// As [`Session::prefill`], without asking the system whether the file is still whole.
    pub(crate) fn prefill_unchecked(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.check(tokens)?;
        self.forget_logits();
        let batch = self.work.scratch.batch;
        let (whole, last) = tokens.split_at((tokens.len() - 1) / batch * batch);
        for batch in whole.chunks(batch) {
            self.run(batch)?;
            self.hold(batch);
        }
        self.run_and_score(last)
    }

    /// Reads one token, as [`Session::prefill`] does but without asking the system anything.
    ///
    /// # Errors
    /// As [`Session::prefill`], but for [`Error::Changed`].
    pub fn decode(&mut self, token: TokenId) -> Result<()> {
        self.check(&[token])?;
        if self.step_ahead(token)? { Ok(()) } else { self.read(&[token]) }
    }

    /// Makes `tokens` what the session holds, and reads only those behind what it holds of them already; how many those are.
    /// [`Session::logits`] then scores what follows. Of a prompt that is held whole, the last token is read again unless
    /// its logits are there.
    ///
    /// # Errors
    /// As [`Session::prefill`], for a prompt as a whole: nothing has happened then, unless it was cancelled.
    pub fn prompt(&mut self, tokens: &[TokenId]) -> Result<usize> {
        self.check_files()?;
        self.check_at(0, tokens)?;
        let common = self.shared_prefix(tokens);
        if common == tokens.len() && common == self.position && self.scored {
            return Ok(0);
        }
        let kept = common.min(tokens.len() - 1);
        self.rewind(kept);
        self.prefill_unchecked(&tokens[kept..])?;
        Ok(tokens.len() - kept)
    }

    /// How many tokens at the start of `tokens` the session holds.
    pub fn shared_prefix(&self, tokens: &[TokenId]) -> usize {
        self.tokens().iter().zip(tokens).take_while(|(held, token)| held == token).count()
    }

    /// Reads `tokens` and shows the logits behind each of them: `each(i, logits)` with what follows `tokens[i]`.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn score_each(&mut self, tokens: &[TokenId], mut each: impl FnMut(usize, &[f32])) -> Result<()> {
        self.check(tokens)?;
        self.check_files()?;
        self.forget_logits();
        let (vocab_size, columns) = (self.model.hyper().vocab_size, self.columns());
        let mut shown = 0;
        for batch in tokens.chunks(self.work.scratch.batch) {
            self.run(batch)?;
            for from in (0..batch.len()).step_by(columns) {
                let to = batch.len().min(from + columns);
                self.score(from..to)?;
                self.column = to - from - 1;
                for logits in self.work.logits.chunks_exact(vocab_size).take(to - from) {
                    each(shown, logits);
                    shown += 1;
                }
            }
            self.hold(batch);
        }
        self.scored = true;
        Ok(())
    }

    /// The score of every token of the vocabulary behind the last one read. Zeros before the first prefill.
    pub fn logits(&self) -> &[f32] {
        let vocab_size = self.model.hyper().vocab_size;
        &self.work.logits[self.column * vocab_size..][..vocab_size]
    }

    /// Whether [`Session::logits`] belongs to the last position: not before the first prefill, nor after a cancelled one.
    pub fn has_logits(&self) -> bool {
        self.scored
    }

    /// Forgets every token behind the first `position`. A session that holds fewer stays as it is.
    ///
    /// Nothing is computed. Some architectures carry a state from token to token that cannot be cut shorter; sessions of such
    /// models keep a few of older tokens, and the next call reads the tokens that are held once more from the last of those on.
    /// One is always from before the last batch of the last prompt.
    ///
    /// In models with sliding windows, going back by more than a batch and
    /// [`SessionOptions::rewind_max`] tokens may need keys that are gone: then the next call that reads something reads all
    /// tokens that are held again.
    pub fn rewind(&mut self, position: usize) {
        if position < self.position {
            self.position = position;
            self.forget_logits();
        }
        if position == 0 {
            self.forget_spilled();
        }
    }

    /// What `prefill` promises to find out before anything happens.
    fn check(&self, tokens: &[TokenId]) -> Result<()> {
        self.check_at(self.position, tokens)
    }

    /// As [`Session::check`], for tokens from `position` on.
    fn check_at(&self, position: usize, tokens: &[TokenId]) -> Result<()> {
        self.check_memory()?;
        if tokens.is_empty() {
            return Err(Error::Argument(text!("there are no tokens to read: the prompt is empty")));
        }
        let needed = position.saturating_add(tokens.len());
        if needed > self.plan.context {
            return Err(Error::ContextFull { needed, context: self.plan.context });
        }
        let vocab_size = self.model.hyper().vocab_size;
        match tokens.iter().find(|&&token| token as usize >= vocab_size) {
            Some(token) => {
                Err(Error::Argument(text!("token {token} is outside the vocabulary of {vocab_size}")))
            }
            None => Ok(()),
        }
    }

    /// Columns that can be scored at once.
    fn columns(&self) -> usize {
        self.work.logits.len() / self.model.hyper().vocab_size
    }

    /// Guesses that can be read at once.
    fn guesses_max(&self) -> usize {
        if self.recurrent.is_none() { self.options.draft_max.min(self.columns() - 1) } else { 0 }
    }

    /// What comes next is not what the logits belong to, nor what was read ahead.
    fn forget_logits(&mut self) {
        (self.scored, self.column, self.ahead) = (false, 0, 0);
    }

    /// Takes one batch through the layers. It is held once its caller says so.
    fn run(&mut self, batch: &[TokenId]) -> Result<()> {
        self.catch_up()?;
        if batch.len() > 1 {
            self.recurrent.mark();
        }
        let Session { kv, recurrent, position, .. } = self;
        recurrent.begin();
        let mut positions = Consecutive { kv, recurrent, position: *position };
        let scratch = &mut self.work.scratch;
        Forward::new(&self.model, &self.pool, &self.cancel, scratch).run(batch, &mut positions)?;
        self.recurrent.commit(batch.len());
        Ok(())
    }

    /// Scores what follows some columns of the last batch, in the first columns of the logits.
    fn score(&mut self, columns: Range<usize>) -> Result<()> {
        let Work { scratch, logits, .. } = &mut self.work;
        Forward::new(&self.model, &self.pool, &self.cancel, scratch).logits(columns, logits)
    }

    /// The session holds a batch that went through the layers.
    fn hold(&mut self, batch: &[TokenId]) {
        self.work.tokens[self.position..][..batch.len()].copy_from_slice(batch);
        self.position += batch.len();
    }

    /// Takes the last batch of a call through the layers and scores what follows it; only then is it held.
    fn run_and_score(&mut self, batch: &[TokenId]) -> Result<()> {
        self.run(batch)?;
        self.score(batch.len() - 1..batch.len())?;
        self.hold(batch);
        self.scored = true;
        Ok(())
    }
}
