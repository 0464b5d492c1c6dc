//! Floor 4. Choosing the next token from a session's logits, and what the choice tells.
#![forbid(unsafe_code)]

use super::Session;
use crate::error::{Error, Result, text};
use crate::sample::{Choice, Sampler, TOP_LOGPROBS_MAX, TokenLogprob, TokenMask};
use crate::tokenizer::TokenId;

/// The most likely tokens of the last choice.
#[derive(Clone, Copy)]
pub(super) struct Top {
    tokens: [TokenLogprob; TOP_LOGPROBS_MAX],
    len: usize,
}

impl Default for Top {
    fn default() -> Top {
        Top { tokens: [TokenLogprob::default(); TOP_LOGPROBS_MAX], len: 0 }
    }
}

impl Session {
    /// Chooses the next token from the logits. It is not read yet: [`Session::decode`] does that.
    ///
    /// # Errors
    /// As [`Session::choose`].
    pub fn sample(&mut self, sampler: &mut Sampler) -> Result<TokenId> {
        Ok(self.choose(sampler, None)?.token)
    }

    /// Chooses the next token from the logits, of those that `allowed` allows if that is given, and says how likely the model
    /// itself thought it. It is not read yet: [`Session::decode`] does that. Penalties look at the session's tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] if the logits do not belong to the last position (see [`Session::has_logits`]), if no token is
    /// allowed, or if the sampler has a bias for a token outside the vocabulary; [`Error::Inconsistent`] if no logit is a number, as
    /// damaged weights make them. The sampler is as it was then.
    pub fn choose(&mut self, sampler: &mut Sampler, allowed: Option<TokenMask<'_>>) -> Result<Choice> {
        self.check_memory()?;
        if !self.scored {
            return Err(Error::Argument(text!(
                "there is nothing to choose from: prefill or decode a token first"
            )));
        }
        let work = &mut self.work;
        let vocab_size = self.model.hyper().vocab_size;
        let logits = &work.logits[self.column * vocab_size..][..vocab_size];
        // The first is one, but of a model that is damaged.
        if !logits.iter().any(|&logit| logit > f32::NEG_INFINITY) {
            return Err(Error::Inconsistent(text!(
                "no token has a logit that is a number: the model, an adapter or the session that was restored is damaged; fetch it again"
            )));
        }
        let history = &work.tokens[..self.position];
        let top = &mut self.top.tokens;
        let (choice, len) =
            sampler.choose(self.model.backend(), logits, history, allowed, &mut work.room, top)?;
        self.top.len = len;
        Ok(choice)
    }

    /// The most likely tokens at the last choice, the likeliest first and equal ones by token: as many as
    /// [`SamplerOptions::top_logprobs`](crate::SamplerOptions::top_logprobs) of its sampler asked for. Their probabilities are
    /// the model's own, whether or not they were allowed; tokens that cannot come are left out.
    pub fn top_logprobs(&self) -> &[TokenLogprob] {
        &self.top.tokens[..self.top.len]
    }
}
