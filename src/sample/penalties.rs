//! Floor 3. Penalties on tokens that stand among the last ones: the repetition penalty of Keskar et al., arXiv:1909.05858 (positive
//! logits are divided, others multiplied), then a presence penalty once and a frequency penalty per occurrence.
#![forbid(unsafe_code)]

use super::Candidates;

/// How tokens are penalised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Penalties {
    /// Tokens that are looked at.
    pub(super) last_n: usize,
    pub(super) repeat: f32,
    pub(super) frequency: f32,
    pub(super) presence: f32,
}

pub(super) fn apply(candidates: &mut Candidates<'_>, penalties: &Penalties) {
    let Penalties { last_n, repeat, frequency, presence } = *penalties;
    if (repeat, frequency, presence) == (1.0, 0.0, 0.0) {
        return;
    }
    // The window is as long as the longest history.
    let length = last_n.min(candidates.history.len()).min(candidates.window.len());
    let last = &candidates.history[candidates.history.len() - length..];
    for (counted, &token) in candidates.window.iter_mut().zip(last) {
        *counted = (0.0, token);
    }
    candidates.window[..length].sort_unstable_by_key(|counted| counted.1);
    let mut from = 0;
    while from < length {
        let token = candidates.window[from].1;
        let count = candidates.window[from..length].iter().take_while(|counted| counted.1 == token).count();
        let minus = count as f32 * frequency + presence;
        candidates.adjust(token, |logit| {
            let repeated = if logit <= 0.0 { logit * repeat } else { logit / repeat };
            repeated - minus
        });
        from += count;
    }
}
