//! Floor 3. Min-p: keeps candidates at least `p` times as likely as the most likely one; 0 keeps all.
//! Nguyen et al., arXiv:2407.01082.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, p: f32) {
    if p > 0.0 {
        let cut = candidates.max() + math::ln(p) * candidates.temperature();
        candidates.keep_from(cut);
    }
}
