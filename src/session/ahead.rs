//! Floor 4. Reading ahead: a token and the guesses behind it as one batch, of which the session holds what turns out right.
//!
//! Invariant: the position, the tokens, the logits and every error are those of decoding one token after the other. Guesses
//! that were read lie behind the position until the tokens that are decoded turn out to be them.
#![forbid(unsafe_code)]

use super::Session;
use crate::error::{Error, Result};
use crate::speculate::{DRAFT_MAX, Drafter};
use crate::tokenizer::TokenId;

/// What became of the guesses of [`Session::speculate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drafts {
    /// Times that the model was run over a token and guesses behind it.
    pub passes: u64,
    /// Guesses that were read in them.
    pub drafted: u64,
    /// Guesses that turned out right.
    pub accepted: u64,
}

impl Session {
    /// Reads one token, as [`Session::decode`] does, and along with it what `drafter` expects to follow. Where its guesses
    /// are the tokens that are read next, by this method or by `decode`, those have been read already, and nothing is left
    /// to be computed. All that can be seen of a session is what it would be had the tokens been read one by one: the same
    /// logits to the last bit, the same errors.
    ///
    /// ```no_run
    /// use bantam::{DRAFT_MAX, Lookup, Model, Pool, Sampler, Session, SessionOptions};
    /// # use std::sync::Arc;
    /// # let (model, prompt) = (Model::open("model.gguf")?, [1, 2, 3]);
    /// let options = SessionOptions { draft_max: DRAFT_MAX, ..SessionOptions::default() };
    /// let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &options)?;
    /// let mut drafter = Lookup::new();
    /// let mut sampler = Sampler::greedy();
    /// session.prefill(&prompt)?;
    /// loop {
    ///     let token = session.sample(&mut sampler)?;
    ///     if model.tokenizer().is_end_of_generation(token) {
    ///         break;
    ///     }
    ///     session.speculate(token, &mut drafter)?;
    /// }
    /// println!("{:?}", session.drafts());
    /// # Ok::<(), bantam::Error>(())
    /// ```
    ///
    /// Without room for guesses, [`SessionOptions::draft_max`](super::SessionOptions::draft_max), it is `decode`.
    ///
    /// # Errors
    /// As [`Session::decode`].
    pub fn speculate(&mut self, token: TokenId, drafter: &mut (impl Drafter + ?Sized)) -> Result<()> {
        self.check(&[token])?;
        if self.step_ahead(token)? {
            return Ok(());
        }
        let mut batch = [token; 1 + DRAFT_MAX];
        let drafted = self.draft(token, drafter, &mut batch[1..]);
        self.drafts.drafted += drafted as u64;
        self.drafts.passes += u64::from(drafted > 0);
        self.read(&batch[..1 + drafted])
    }

    /// What became of all guesses so far.
    pub fn drafts(&self) -> Drafts {
        self.drafts
    }

    /// Has `drafter` guess what follows `token`: as many tokens as there is room for, all of the vocabulary.
    fn draft(&mut self, token: TokenId, drafter: &mut (impl Drafter + ?Sized), out: &mut [TokenId]) -> usize {
        let room = self.guesses_max().min(self.context() - self.position - 1).min(out.len());
        if room == 0 || self.cancel.is_cancelled() {
            return 0;
        }
        self.work.tokens[self.position] = token;
        let drafted = drafter.draft(&self.work.tokens[..=self.position], &self.costs, &mut out[..room]);
        let vocab_size = self.model.hyper().vocab_size;
        out[..drafted.min(room)].iter().take_while(|&&token| (token as usize) < vocab_size).count()
    }

    /// Holds `token` if it is the one that was read ahead.
    pub(super) fn step_ahead(&mut self, token: TokenId) -> Result<bool> {
        if self.ahead == 0 || self.work.tokens[self.position] != token {
            return Ok(false);
        }
        if self.cancel.is_cancelled() {
            self.forget_logits();
            return Err(Error::Cancelled);
        }
        self.position += 1;
        self.column += 1;
        self.ahead -= 1;
        self.drafts.accepted += 1;
        Ok(true)
    }

    /// Reads a token and the guesses behind it, and holds the token. Where there is room for guesses, what that took is
    /// noted, also of a token alone: guesses pay or not by comparison with it.
    pub(super) fn read(&mut self, batch: &[TokenId]) -> Result<()> {
        self.forget_logits();
        #[cfg(feature = "std")]
        let start = (self.guesses_max() > 0).then(std::time::Instant::now);
        self.run(batch)?;
        self.score(0..batch.len())?;
        #[cfg(feature = "std")]
        if let Some(start) = start {
            self.costs.note(batch.len(), start.elapsed().as_secs_f32());
        }
        self.work.tokens[self.position..][..batch.len()].copy_from_slice(batch);
        self.position += 1;
        self.ahead = batch.len() - 1;
        self.scored = true;
        Ok(())
    }
}
