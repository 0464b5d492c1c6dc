//! Floor 3. Top-k: keeps the `k` most likely candidates; 0 keeps all.
#![forbid(unsafe_code)]

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, k: usize) {
    if k > 0 {
        candidates.keep_top(k);
    }
}
