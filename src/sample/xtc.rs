//! Floor 3. XTC (exclude top choices): with some probability, takes away all candidates at least as likely as a threshold but the
//! least likely of them. By p-e-w, text-generation-webui #6335.
#![forbid(unsafe_code)]

use super::Candidates;
use super::random::Random;

pub(super) fn apply(candidates: &mut Candidates<'_>, probability: f32, threshold: f32, random: &mut Random) {
    // More than half is the share of one at most.
    if probability <= 0.0 || threshold > 0.5 || candidates.count() < 2 {
        return;
    }
    if random.unit() <= f64::from(probability) {
        candidates.drop_likelier(f64::from(threshold));
    }
}
