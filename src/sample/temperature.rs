//! Floor 3. Temperature: divides the logits, so that below 1 the likely become likelier, above 1 less so.
#![forbid(unsafe_code)]

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, temperature: f32) {
    if temperature == 1.0 {
        return;
    }
    let sorted = candidates.sorted();
    // Relative to the greatest, so that a tiny temperature cannot push it to infinity.
    let max = sorted.first().map_or(0.0, |best| best.0);
    for candidate in sorted {
        let below = if candidate.0 == max { 0.0 } else { candidate.0 - max };
        candidate.0 = below / temperature;
    }
}
