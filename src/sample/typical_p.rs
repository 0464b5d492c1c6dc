//! Floor 3. Locally typical sampling: keeps the candidates whose information, `-ln p`, is nearest to the entropy, until their
//! probabilities add up to more than `p`; 1 keeps all. Meister et al., arXiv:2202.00666.
#![forbid(unsafe_code)]

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, p: f32) {
    if p < 1.0 {
        candidates.keep_typical(f64::from(p));
    }
}
