//! Floor 3. How sure the model was of an answer: what the choices of its tokens tell together.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::choice::Choice;
use super::random::Random;
use crate::error::{Error, Result};

/// Gathers the choices of an answer. Its memory is had when it is made, 4 bytes per token.
///
/// Number, mean, least and entropy are of all choices, however many. Quantiles are of all choices too, while these are no more
/// than it has room for; of more they are those of a uniform sample of that many, drawn from a fixed seed (Vitter's
/// reservoir, algorithm R), so that the same answer always gives the same numbers.
///
/// ```
/// use bantam::Confidence;
///
/// let mut confidence = Confidence::new(4096)?;
/// # let choices: [bantam::Choice; 0] = [];
/// for choice in &choices {
///     confidence.push(choice);
/// }
/// assert!(confidence.summary().is_none(), "there was no choice");
/// # Ok::<(), bantam::Error>(())
/// ```
#[derive(Debug)]
pub struct Confidence {
    /// Log-probabilities of the sample, ascending.
    sample: Vec<f32>,
    room: usize,
    tokens: u64,
    sum: f64,
    entropies: f64,
    least: f32,
    random: Random,
}

/// The log-probabilities of an answer's tokens, natural logarithms in the model's own distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConfidenceSummary {
    /// Tokens that were chosen.
    pub tokens: u64,
    /// The mean of the log-probabilities: minus the logarithm of the answer's perplexity.
    pub mean_logprob: f32,
    /// The least log-probability.
    pub min_logprob: f32,
    /// The 10 % quantile of the log-probabilities: between two of them, linearly interpolated.
    pub logprob_q10: f32,
    /// The 25 % quantile.
    pub logprob_q25: f32,
    /// The mean of the entropies, in nats.
    pub mean_entropy: f32,
}

impl Confidence {
    /// One with room for the log-probabilities of so many tokens, at least one.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(tokens: usize) -> Result<Confidence> {
        let room = tokens.max(1);
        let mut sample = Vec::new();
        let bytes = room.saturating_mul(size_of::<f32>()) as u64;
        let refused = Error::Memory { what: "the log-probabilities of an answer", bytes };
        sample.try_reserve_exact(room).map_err(|_| refused)?;
        Ok(Confidence {
            sample,
            room,
            tokens: 0,
            sum: 0.0,
            entropies: 0.0,
            least: 0.0,
            random: Random::new(0),
        })
    }

    /// Takes another choice in.
    pub fn push(&mut self, choice: &Choice) {
        let logprob = choice.logprob;
        self.tokens += 1;
        self.sum += f64::from(logprob);
        self.entropies += f64::from(choice.entropy);
        self.least = self.least.min(logprob);
        if self.sample.len() == self.room {
            // Each choice so far is in the sample with the same probability; which one goes does not depend on its value.
            let place = (self.random.unit() * self.tokens as f64) as u64;
            if place >= self.room as u64 {
                return;
            }
            self.sample.remove(place as usize);
        }
        let at = self.sample.partition_point(|&other| other <= logprob);
        self.sample.insert(at, logprob);
    }

    /// Forgets all choices.
    pub fn clear(&mut self) {
        self.sample.clear();
        (self.tokens, self.sum, self.entropies, self.least) = (0, 0.0, 0.0, 0.0);
        self.random = Random::new(0);
    }

    /// What the choices so far tell; `None` if there were none.
    pub fn summary(&self) -> Option<ConfidenceSummary> {
        let last = self.sample.len().checked_sub(1)?;
        let tokens = self.tokens as f64;
        let quantile = |share: f64| {
            let place = share * last as f64;
            let below = place as usize;
            let (a, b) = (self.sample[below], self.sample[last.min(below + 1)]);
            // Equal infinities have nothing between them.
            if a == b { a } else { (f64::from(a) + (place - below as f64) * f64::from(b - a)) as f32 }
        };
        Some(ConfidenceSummary {
            tokens: self.tokens,
            mean_logprob: (self.sum / tokens) as f32,
            min_logprob: self.least,
            logprob_q10: quantile(0.1),
            logprob_q25: quantile(0.25),
            mean_entropy: (self.entropies / tokens) as f32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(room: usize, logprobs: impl IntoIterator<Item = f32>) -> ConfidenceSummary {
        let mut confidence = Confidence::new(room).unwrap();
        for logprob in logprobs {
            confidence.push(&Choice { logprob, entropy: -2.0 * logprob, ..Choice::default() });
        }
        confidence.summary().unwrap()
    }

    #[test]
    fn quantiles_are_interpolated() {
        // numpy.quantile([-4, -1, -3, -0.5, -2], [0.1, 0.25]) is [-3.6, -3].
        let of = summary(5, [-4.0, -1.0, -3.0, -0.5, -2.0]);
        assert_eq!((of.tokens, of.min_logprob, of.mean_logprob, of.mean_entropy), (5, -4.0, -2.1, 4.2));
        assert!((of.logprob_q10 + 3.6).abs() < 1e-6 && of.logprob_q25 == -3.0, "{of:?}");
        assert_eq!(summary(9, [-1.5]).logprob_q10, -1.5);
        assert_eq!(summary(9, [f32::NEG_INFINITY; 3]).logprob_q25, f32::NEG_INFINITY);
    }

    #[test]
    fn more_choices_than_there_is_room_for_are_sampled() {
        let logprobs = || (0..50_000u32).map(|i| -((i * 7919 % 50_000) as f32) / 50_000.0);
        let (of, again) = (summary(1000, logprobs()), summary(1000, logprobs()));
        assert_eq!(of, again);
        assert_eq!(of.tokens, 50_000);
        assert!((of.min_logprob + 1.0).abs() < 1e-4 && (of.mean_logprob + 0.5).abs() < 1e-4);
        // Three deviations of a quantile of a sample of 1000.
        assert!((of.logprob_q10 + 0.9).abs() < 0.03 && (of.logprob_q25 + 0.75).abs() < 0.045, "{of:?}");
    }

    #[test]
    fn what_was_forgotten_is_gone() {
        let mut confidence = Confidence::new(0).unwrap();
        confidence.push(&Choice { logprob: -3.0, ..Choice::default() });
        confidence.clear();
        assert_eq!(confidence.summary(), None);
        confidence.push(&Choice { logprob: -1.0, ..Choice::default() });
        assert_eq!(confidence.summary().unwrap().min_logprob, -1.0);
    }
}
