//! Floor 5. A draft model: a smaller model with the same vocabulary, whose likeliest tokens are the guesses.
#![forbid(unsafe_code)]

use core::iter::repeat_n;

use super::{Chance, Costs, DRAFT_MAX, Drafter};
use crate::error::{Error, Result, text};
use crate::model::Model;
use crate::sample::Sampler;
use crate::session::Session;
use crate::tokenizer::TokenId;

/// Guesses with a session of another model. What that model takes, it takes from the time that is to be saved: it should be
/// several times smaller.
///
/// ```no_run
/// # use bantam::{Model, Pool, Sampler, Session, SessionOptions, DraftModel, DRAFT_MAX};
/// # use std::sync::Arc;
/// let (model, small) = (Model::open("large.gguf")?, Model::open("small.gguf")?);
/// let pool = Arc::new(Pool::new(2)?);
/// let options = SessionOptions { draft_max: DRAFT_MAX, ..SessionOptions::default() };
/// let mut session = Session::open(&model, pool.clone(), &options)?;
/// let small = Session::open(&small, pool, &SessionOptions { context: Some(session.context()), ..Default::default() })?;
/// let mut drafter = DraftModel::new(small, &model)?;
/// session.prefill(&[1, 2, 3])?;
/// let token = session.sample(&mut Sampler::greedy())?;
/// session.speculate(token, &mut drafter)?;
/// # Ok::<(), bantam::Error>(())
/// ```
pub struct DraftModel {
    session: Session,
    sampler: Sampler,
    chance: Chance,
    /// What a guess costs, in passes of one column of the model that verifies it.
    each: f32,
    /// The tokens that were held when the last guess was made, and what was guessed.
    guessed_at: usize,
    guess: [TokenId; DRAFT_MAX],
    len: usize,
    /// Calls without a guess, as none paid.
    idle: u32,
}

/// After so many tokens without a guess one is made to see whether guesses pay again.
const IDLE_MAX: u32 = 32;

impl DraftModel {
    /// Guesses with `session` for sessions of the model `verifier`. Give it the context of the session that it guesses for:
    /// behind the end of its own it guesses nothing. Let both share a pool, as they run in turns, and a switch
    /// ([`Session::set_cancel`]), as a guess may begin with reading a long prompt.
    ///
    /// # Errors
    /// [`Error::Argument`] if the two models' vocabularies differ: their tokens would not mean the same.
    pub fn new(session: Session, verifier: &Model) -> Result<DraftModel> {
        same_vocabulary(session.model(), verifier)?;
        // Both are read from memory; the smaller one's arithmetic takes at most that share of the larger one's.
        let bytes = |model: &Model| model.bytes_per_token().max(1) as f32;
        let each = bytes(session.model()) / bytes(verifier);
        Ok(DraftModel {
            session,
            sampler: Sampler::greedy(),
            chance: Chance::new(0.7, 8.0),
            each,
            guessed_at: 0,
            guess: [0; DRAFT_MAX],
            len: 0,
            idle: 0,
        })
    }

    /// The session that guesses.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Compares the last guess with what came instead.
    fn learn(&mut self, tokens: &[TokenId]) {
        let came = tokens.get(self.guessed_at..).unwrap_or_default();
        for (guess, token) in self.guess[..self.len].iter().zip(came) {
            self.chance.note(guess == token);
            if guess != token {
                break;
            }
        }
        self.len = 0;
    }

    /// Reads what it has not read yet, and guesses `len` tokens; fewer if something is in the way.
    fn guess(&mut self, tokens: &[TokenId], len: usize) {
        let held = self.session.shared_prefix(tokens);
        // At least the last is read again: the logits behind it are what a guess is drawn from.
        let held = held.min(tokens.len().saturating_sub(1));
        self.session.rewind(held);
        let mut read = self.session.prefill_unchecked(&tokens[held..]);
        while read.is_ok() && self.len < len {
            let Ok(token) = self.session.sample(&mut self.sampler) else { break };
            self.guess[self.len] = token;
            self.len += 1;
            // The last one is read when it has turned out right.
            if self.len < len {
                read = self.session.decode(token);
            }
        }
    }
}

impl Drafter for DraftModel {
    fn draft(&mut self, tokens: &[TokenId], costs: &Costs, out: &mut [TokenId]) -> usize {
        self.learn(tokens);
        let worth = |chance: f32| costs.worth(repeat_n(chance, out.len().min(DRAFT_MAX)), self.each);
        let mut len = worth(self.chance.get());
        if len == 0 {
            // Of guesses that would not pay if all of them were right, none is made to see.
            if worth(1.0) == 0 {
                return 0;
            }
            self.idle += 1;
            if self.idle < IDLE_MAX {
                return 0;
            }
            len = out.len().min(1);
        }
        self.idle = 0;
        self.guess(tokens, len);
        self.guessed_at = tokens.len();
        out[..self.len].copy_from_slice(&self.guess[..self.len]);
        self.len
    }
}

/// Whether every token means the same to both.
fn same_vocabulary(draft: &Model, verifier: &Model) -> Result<()> {
    let sizes = (draft.hyper().vocab_size, verifier.hyper().vocab_size);
    if sizes.0 != sizes.1 {
        return Err(Error::Argument(text!(
            "the draft model has {} tokens and the model {}: choose one with the same vocabulary",
            sizes.0,
            sizes.1
        )));
    }
    for token in 0..sizes.0 as TokenId {
        let (a, b) = (draft.tokenizer(), verifier.tokenizer());
        if (a.token_bytes(token), a.is_control(token)) != (b.token_bytes(token), b.is_control(token)) {
            return Err(Error::Argument(text!(
                "token {token} of the draft model is another one than the model's: choose one with the same vocabulary"
            )));
        }
    }
    Ok(())
}
