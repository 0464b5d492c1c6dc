//! Floor 3. Top-p (nucleus): keeps the most likely candidates until their probabilities add up to `p`; 1 keeps all.
//! Holtzman et al., arXiv:1904.09751.
#![forbid(unsafe_code)]

use super::Candidates;
use super::candidates::weight;

pub(super) fn apply(candidates: &mut Candidates<'_>, p: f32) {
    if p >= 1.0 {
        return;
    }
    let sorted = candidates.sorted();
    let max = sorted.first().map_or(0.0, |best| best.0);
    let total: f64 = sorted.iter().map(|candidate| weight(candidate.0, max)).sum();
    let wanted = f64::from(p) * total;
    let mut sum = 0.0;
    let reached = sorted.iter().position(|candidate| {
        sum += weight(candidate.0, max);
        sum >= wanted
    });
    if let Some(last) = reached {
        candidates.truncate(last + 1);
    }
}
