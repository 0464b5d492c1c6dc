//! Floor 3. Min-p: keeps candidates at least `p` times as likely as the most likely one; 0 keeps all.
//! Nguyen et al., arXiv:2407.01082.
#![forbid(unsafe_code)]

use super::Candidates;
use super::candidates::weight;

pub(super) fn apply(candidates: &mut Candidates<'_>, p: f32) {
    if p <= 0.0 {
        return;
    }
    let sorted = candidates.sorted();
    let max = sorted.first().map_or(0.0, |best| best.0);
    let kept = sorted.partition_point(|candidate| weight(candidate.0, max) >= f64::from(p));
    candidates.truncate(kept);
}
