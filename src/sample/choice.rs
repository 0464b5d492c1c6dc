//! Floor 3. What a choice tells of itself: how likely the model thought its token, and how sure it was.
//!
//! All of it is of the model's own distribution, the softmax of the logits as they come: before biases, penalties, masks and
//! temperature.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::spread::Spread;
use crate::tokenizer::TokenId;

/// The most likely tokens that [`SamplerOptions::top_logprobs`](super::SamplerOptions::top_logprobs) may ask for.
pub const TOP_LOGPROBS_MAX: usize = 64;

/// A token that was chosen. The numbers are of the model's own distribution, before biases, penalties, masks and temperature.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The token.
    pub token: TokenId,
    /// The natural logarithm of its probability; -inf for a token whose logit is -inf or no number.
    pub logprob: f32,
    /// The entropy of the distribution, in nats: 0 if one token is certain, the logarithm of the vocabulary's size if all are
    /// equally likely.
    pub entropy: f32,
    /// By how much the log-probability of the most likely token is above that of the second.
    pub margin: f32,
}

/// A token and the natural logarithm of its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TokenLogprob {
    /// The token.
    pub token: TokenId,
    /// The natural logarithm of its probability in the model's own distribution.
    pub logprob: f32,
}

/// The model's own distribution over all tokens, from the scan of its logits.
#[derive(Clone, Copy)]
pub(crate) struct Own {
    max: f32,
    /// The logarithm of the sum of all `exp(logit - max)`.
    log_sum: f64,
    entropy: f32,
    margin: f32,
}

impl Own {
    /// Of `logits` and what the scan of them found.
    pub(crate) fn new(logits: &[f32], spread: &Spread<'_>) -> Own {
        let total = spread.total(1.0);
        let log_sum = math::ln_f64(total.sum);
        let [first, second] = spread.greatest_two(logits);
        Own {
            max: total.max,
            log_sum,
            // Rounding may leave a little less than nothing.
            entropy: ((log_sum - total.weighted / total.sum) as f32).max(0.0),
            margin: if first == second { 0.0 } else { first - second },
        }
    }

    /// The log-probability of a token of this logit.
    pub(crate) fn logprob(&self, logit: f32) -> f32 {
        // Infinities have no difference. Where no logit is a number greater than -inf, all are as likely.
        let below = if logit == self.max || self.max == f32::NEG_INFINITY { 0.0 } else { logit - self.max };
        if below.is_nan() { f32::NEG_INFINITY } else { (f64::from(below) - self.log_sum) as f32 }
    }

    /// The choice of `token`.
    pub(crate) fn choice(&self, token: TokenId, logit: f32) -> Choice {
        Choice { token, logprob: self.logprob(logit), entropy: self.entropy, margin: self.margin }
    }
}
