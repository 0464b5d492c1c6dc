//! Floor 3. Top-p (nucleus): keeps the most likely candidates until their probabilities add up to `p`; 1 keeps all.
//! Holtzman et al., arXiv:1904.09751.
#![forbid(unsafe_code)]

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, p: f32) {
    if p < 1.0 {
        candidates.keep_likeliest(f64::from(p));
    }
}
