//! Floor 4. How far an answer has come in its grammar, and what may follow.
#![forbid(unsafe_code)]

use std::vec::Vec;

use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

use super::limits;
use crate::error::{Error, Result, text};
use crate::tokenizer::TokenId;

/// The state of one answer. A clone goes its own way from here.
///
/// An error of [`allowed`](Constraint::allowed) or [`forced`](Constraint::forced) is final: the grammar took more than its
/// limits allow, and the answer cannot be continued.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    vocab_size: usize,
    accepted: usize,
    /// What may come next; asked for and not yet outdated.
    allowed: Option<SimpleVob>,
}

impl Constraint {
    pub(super) fn new(matcher: Matcher, vocab_size: usize) -> Constraint {
        Constraint { matcher, vocab_size, accepted: 0, allowed: None }
    }

    /// The tokens that may come next: bit `t % 32` of word `t / 32` says it of token `t`. A token beyond the last word may
    /// not. The tokens that end an answer are allowed where the answer is a whole sentence, and only those once nothing
    /// else can follow.
    ///
    /// # Errors
    /// [`Error::Grammar`] if finding out takes more than the limits allow.
    pub fn allowed(&mut self) -> Result<&[u32]> {
        let mask = match self.allowed.take() {
            Some(mask) => mask,
            None => self.matcher.compute_mask_or_eos().map_err(|error| limits::explain(&error))?,
        };
        let words = self.vocab_size.div_ceil(32);
        let mask = self.allowed.insert(mask).as_slice();
        Ok(mask.get(..words).unwrap_or(mask))
    }

    /// Whether token `id` may come next, without finding out about all others.
    ///
    /// # Errors
    /// As [`Constraint::allowed`].
    pub fn is_allowed(&mut self, id: TokenId) -> Result<bool> {
        if id as usize >= self.vocab_size {
            return Ok(false);
        }
        if let Some(mask) = &self.allowed {
            return Ok(mask.is_allowed(id));
        }
        Ok(self.matcher.validate_tokens(&[id]).map_err(|error| limits::explain(&error))? == 1)
    }

    /// Takes token `id` for the next of the answer.
    ///
    /// # Errors
    /// [`Error::Argument`] for a token that is not allowed; the state is then as it was. [`Error::Grammar`] as
    /// [`Constraint::allowed`].
    pub fn accept(&mut self, id: TokenId) -> Result<()> {
        if !self.is_allowed(id)? {
            return Err(Error::Argument(text!("token {id} is not allowed here by the grammar")));
        }
        self.allowed = None;
        // After the end there is nothing to follow.
        if !self.matcher.is_stopped() {
            self.matcher.consume_token(id).map_err(|error| limits::explain(&error))?;
            self.accepted += 1;
        }
        Ok(())
    }

    /// Whether the answer so far is a whole sentence of the grammar.
    ///
    /// # Errors
    /// As [`Constraint::allowed`].
    pub fn is_complete(&mut self) -> Result<bool> {
        self.matcher.is_accepting().map_err(|error| limits::explain(&error))
    }

    /// Whether nothing but the end can follow.
    pub fn must_stop(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// The tokens that have to come next, as the model's tokenizer writes them: they need no choice, and may be read as one
    /// batch. They have still to be accepted.
    pub fn forced(&mut self) -> Vec<TokenId> {
        if self.must_stop() { Vec::new() } else { self.matcher.compute_ff_tokens() }
    }

    /// How many tokens were accepted, those taken back not counted.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// Takes back the last `count` accepted tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] if fewer were accepted; [`Error::Grammar`] after an error.
    pub fn roll_back(&mut self, count: usize) -> Result<()> {
        if count > self.accepted {
            return Err(Error::Argument(text!(
                "{count} tokens to take back, but only {} were accepted",
                self.accepted
            )));
        }
        self.allowed = None;
        self.matcher.rollback(count).map_err(|error| limits::explain(&error))?;
        self.accepted -= count;
        Ok(())
    }
}

impl core::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Constraint")
            .field("accepted", &self.accepted)
            .field("must_stop", &self.must_stop())
            .finish_non_exhaustive()
    }
}
