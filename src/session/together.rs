//! Floor 4. Several sessions decoded as one batch: the weights, which are what decoding waits for, are read once for all.
//!
//! Invariant: what each session holds and scores afterwards is what it would be after [`Session::decode`] alone, to the last
//! bit; up to [`NARROW`](bantam_kernels::backend::NARROW) columns share one order of operations.
#![forbid(unsafe_code)]

use super::{Session, Work};
use crate::error::{Error, Result, text};
use crate::forward::{Forward, Positions};
use crate::kv::KvCache;
use crate::recurrent::{Recurrent, Turn};
use crate::tokenizer::TokenId;

impl Session {
    /// Reads one token in each of several sessions of one model: `tokens[i]` in `sessions[i]`. The first session's pool,
    /// buffers and cancel switch are used, and as many sessions are read at once as it was opened for
    /// ([`SessionOptions::together_max`](super::SessionOptions::together_max)). Nothing is allocated.
    ///
    /// ```no_run
    /// # use bantam::{Model, Pool, Sampler, Session, SessionOptions};
    /// # use std::sync::Arc;
    /// # let (model, prompt) = (Model::open("model.gguf")?, [1, 2, 3]);
    /// let options = SessionOptions { together_max: 2, ..SessionOptions::default() };
    /// let mut one = Session::open(&model, Arc::new(Pool::new(2)?), &options)?;
    /// one.prefill(&prompt)?;
    /// let mut other = one.fork()?;
    /// let mut sampler = Sampler::greedy();
    /// for _ in 0..16 {
    ///     let tokens = [one.sample(&mut sampler)?, other.sample(&mut sampler)?];
    ///     Session::decode_together(&mut [&mut one, &mut other], &tokens)?;
    /// }
    /// # Ok::<(), bantam::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if there are not as many tokens as sessions, if a session is of another model than the first or has
    /// other adapters, or
    /// for a token outside the vocabulary; [`Error::ContextFull`] if one of them is full: nothing has happened then.
    /// [`Error::Cancelled`]: those sessions that were through hold their tokens, the others what they held.
    pub fn decode_together(sessions: &mut [&mut Session], tokens: &[TokenId]) -> Result<()> {
        if sessions.len() != tokens.len() {
            return Err(Error::Argument(text!(
                "{} sessions and {} tokens: each session reads one",
                sessions.len(),
                tokens.len()
            )));
        }
        let Some((first, rest)) = sessions.split_first_mut() else { return Ok(()) };
        first.check(&tokens[..1])?;
        for (session, token) in rest.iter().zip(&tokens[1..]) {
            first.check_kin(session)?;
            first.check_same_adapters(session)?;
            session.check(&[*token])?;
        }
        // The first one is a column of the last batch, whose logits stay in its memory; to those before, it only lends it.
        let columns = first.columns();
        let (with_first, rest) = rest.split_at_mut(rest.len().min(columns - 1));
        let (with_first_tokens, rest_tokens) = tokens.split_at(1 + with_first.len());
        for (sessions, tokens) in rest.chunks_mut(columns).zip(rest_tokens.chunks(columns)) {
            first.decode_with(false, sessions, tokens)?;
        }
        first.decode_with(true, with_first, with_first_tokens)
    }

    /// Reads a token in each of `others`, and in this session before them if it is `among` them, with this one's buffers.
    fn decode_with(&mut self, among: bool, others: &mut [&mut Session], tokens: &[TokenId]) -> Result<()> {
        if among {
            self.catch_up()?;
            self.recurrent.begin();
        }
        for session in others.iter_mut() {
            session.forget_logits();
            session.catch_up()?;
            session.recurrent.begin();
        }
        let Session { kv, recurrent, work: Work { scratch, logits, .. }, position, .. } = self;
        let own = among.then_some((kv, recurrent, *position));
        let mut forward = Forward::new(&self.model, &self.pool, &self.cancel, scratch);
        (self.scored, self.column, self.ahead) = (false, 0, 0);
        forward.run(tokens, &mut Several { own, others })?;
        forward.logits(0..tokens.len(), logits)?;
        let vocab_size = self.model.hyper().vocab_size;
        let own = usize::from(among);
        let columns = logits.chunks_exact(vocab_size).skip(own);
        for ((session, token), column) in others.iter_mut().zip(&tokens[own..]).zip(columns) {
            session.work.logits[..vocab_size].copy_from_slice(column);
            session.recurrent.commit(1);
            session.hold(&[*token]);
            session.scored = true;
        }
        if among {
            self.recurrent.commit(1);
            self.hold(&tokens[..1]);
            self.scored = true;
        }
        Ok(())
    }
}

/// The next position of each of several sessions.
struct Several<'a, 'b> {
    /// The cache and the states of the session that lends its buffers, if it is one of them, and its position.
    own: Option<(&'a mut KvCache, &'a mut Recurrent, usize)>,
    others: &'a mut [&'b mut Session],
}

impl Positions for Several<'_, '_> {
    fn at(&self, c: usize) -> (&KvCache, usize) {
        match (&self.own, c) {
            (Some((kv, _, position)), 0) => (kv, *position),
            (own, c) => {
                let session = &self.others[c - usize::from(own.is_some())];
                (&session.kv, session.position)
            }
        }
    }

    fn at_mut(&mut self, c: usize) -> (&mut KvCache, usize) {
        match (&mut self.own, c) {
            (Some((kv, _, position)), 0) => (kv, *position),
            (own, c) => {
                let session = &mut self.others[c - usize::from(own.is_some())];
                (&mut session.kv, session.position)
            }
        }
    }

    fn run(&self, _: usize) -> usize {
        1
    }

    fn turn(&mut self, c: usize) -> Turn<'_> {
        match (&mut self.own, c) {
            (Some((_, recurrent, _)), 0) => recurrent.turn(),
            (own, c) => self.others[c - usize::from(own.is_some())].recurrent.turn(),
        }
    }
}
