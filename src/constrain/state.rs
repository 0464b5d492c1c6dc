//! Floor 4. How far an answer has come in its grammar, and what may follow.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::vec::Vec;

use llguidance::Matcher;
use llguidance::toktrie::{SimpleVob, TokTrie};

use super::numerals::Place;
use super::{Inner, explain};
use crate::error::{Error, Result, text};
use crate::tokenizer::TokenId;

/// The state of one answer. A clone goes its own way from here.
///
/// An error of [`allowed`](Constraint::allowed) or [`forced`](Constraint::forced) is final: the grammar took more than its
/// limits allow, and the answer cannot be continued.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    inner: Arc<Inner>,
    /// Behind each accepted token, and in the beginning, where the answer is in its JSON, if that is what it is.
    places: Vec<Place>,
    accepted: usize,
    /// What may come next; asked for and not yet outdated.
    allowed: Option<SimpleVob>,
    /// A token that is known to be allowed next.
    known: Option<TokenId>,
}

impl Constraint {
    pub(super) fn new(matcher: Matcher, inner: Arc<Inner>, json: Option<Place>) -> Constraint {
        let places = json.into_iter().collect();
        Constraint { matcher, inner, places, accepted: 0, allowed: None, known: None }
    }

    fn tree(inner: &Inner) -> &TokTrie {
        inner.factory.tok_env().tok_trie()
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
            None => {
                let mut mask = self.matcher.compute_mask_or_eos().map_err(|error| explain::error(&error))?;
                if let Some(place) = self.places.last() {
                    self.inner.numerals.narrow(*place, Constraint::tree(&self.inner), &mut mask);
                }
                mask
            }
        };
        let words = self.inner.vocab_size.div_ceil(32);
        let mask = self.allowed.insert(mask).as_slice();
        Ok(mask.get(..words).unwrap_or(mask))
    }

    /// Whether token `id` may come next, without finding out about all others.
    ///
    /// # Errors
    /// As [`Constraint::allowed`].
    pub fn is_allowed(&mut self, id: TokenId) -> Result<bool> {
        if id as usize >= self.inner.vocab_size {
            return Ok(false);
        }
        let is_long = |place: &Place| place.clone().pass(Constraint::tree(&self.inner).token(id));
        if self.allowed.is_none() && self.places.last().is_some_and(is_long) {
            // Whether it may all the same depends on the others.
            self.allowed()?;
        }
        if let Some(mask) = &self.allowed {
            return Ok(mask.is_allowed(id));
        }
        let is_allowed = self.known == Some(id)
            || self.matcher.validate_tokens(&[id]).map_err(|error| explain::error(&error))? == 1;
        self.known = is_allowed.then_some(id);
        Ok(is_allowed)
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
        (self.allowed, self.known) = (None, None);
        // After the end there is nothing to follow.
        if !self.matcher.is_stopped() {
            self.matcher.consume_token(id).map_err(|error| explain::error(&error))?;
            self.accepted += 1;
            if let Some(mut place) = self.places.last().copied() {
                place.pass(Constraint::tree(&self.inner).token(id));
                self.places.push(place);
            }
        }
        Ok(())
    }

    /// Whether the answer so far is a whole sentence of the grammar.
    ///
    /// # Errors
    /// As [`Constraint::allowed`].
    pub fn is_complete(&mut self) -> Result<bool> {
        self.matcher.is_accepting().map_err(|error| explain::error(&error))
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
        (self.allowed, self.known) = (None, None);
        self.matcher.rollback(count).map_err(|error| explain::error(&error))?;
        self.accepted -= count;
        self.places.truncate(self.accepted + 1);
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
