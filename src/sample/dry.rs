//! Floor 3. DRY (don't repeat yourself): penalises tokens that would go on with a repetition, by the more the longer it is already.
//! By p-e-w, text-generation-webui #5677; the repetitions are found by the Z-algorithm, in one walk back through the history.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::breakers::Breakers;
use super::{Candidate, Candidates};
use crate::tokenizer::TokenId;

/// How repetitions are penalised: by `multiplier * base^(length - allowed_length)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dry {
    pub(super) multiplier: f32,
    pub(super) base: f32,
    pub(super) allowed_length: usize,
    /// Tokens that are looked at.
    pub(super) last_n: usize,
}

impl Dry {
    /// Whether it does anything.
    pub(super) fn is_on(&self) -> bool {
        self.multiplier != 0.0 && self.base >= 1.0 && self.last_n > 0
    }
}

pub(super) fn apply(candidates: &mut Candidates<'_>, dry: &Dry, breakers: Option<&Breakers>) {
    // The window is as long as the longest history.
    let n = dry.last_n.min(candidates.history.len()).min(candidates.window.len());
    if !dry.is_on() || n <= dry.allowed_length {
        return;
    }
    let history = candidates.history;
    let back = |i: usize| history[history.len() - 1 - i];
    let limit = breakers.and_then(|breakers| breakers.nearest(n, back)).unwrap_or(n);
    if limit < dry.allowed_length {
        return;
    }
    repetitions(candidates.window, n, back);
    // What ends a repetition is followed by the token that would go on with it.
    let mut found = 0;
    for k in 1..n {
        let length = (candidates.window[k].1 as usize).min(limit);
        if length >= dry.allowed_length {
            candidates.window[found] = (length as f32, back(k - 1));
            found += 1;
        }
    }
    // The longest of each token first.
    candidates.window[..found].sort_unstable_by(|a, b| a.1.cmp(&b.1).then(b.0.total_cmp(&a.0)));
    let exponent_max =
        if dry.base > 1.000_001 { (88.722_84 / math::ln(dry.base)) as usize } else { usize::MAX };
    let mut before = None;
    for i in 0..found {
        let (length, token) = candidates.window[i];
        if before.replace(token) == Some(token) || breakers.is_some_and(|breakers| breakers.is_alone(token)) {
            continue;
        }
        let exponent = (length as usize - dry.allowed_length).min(exponent_max);
        let penalty = f64::from(dry.multiplier) * math::pow_f64(f64::from(dry.base), exponent as f64);
        candidates.adjust(token, |logit| logit - penalty as f32);
    }
}

/// Notes for each `k` of `1..n` how many tokens up to the one before which `k` more come are those at the end, in order.
///
/// Of the part between `left` and `right`, counted from the end, it is known that it repeats the end. So what is known of the
/// end holds in it too, and each token is compared about once.
fn repetitions(window: &mut [Candidate], n: usize, back: impl Fn(usize) -> TokenId) {
    let (mut left, mut right) = (0, 0);
    for k in 1..n {
        let mut length = if k < right { (window[k - left].1 as usize).min(right - k) } else { 0 };
        if k + length >= right {
            while k + length < n && back(length) == back(k + length) {
                length += 1;
            }
            (left, right) = (k, k + length);
        }
        window[k].1 = length as u32;
    }
}
