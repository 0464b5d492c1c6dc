//! Floor 3. Logit bias: adds a number to the logits of some tokens; -inf forbids one.
#![forbid(unsafe_code)]

use super::Candidates;
use crate::tokenizer::TokenId;

/// `biases` are sorted by their tokens.
pub(super) fn apply(candidates: &mut Candidates<'_>, biases: &[(TokenId, f32)]) {
    for &(token, bias) in biases {
        candidates.adjust(token, |logit| logit + bias);
    }
}
