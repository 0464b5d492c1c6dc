//! Floor 3. Choosing the next token: a chain of samplers that narrow and reshape a list of candidates, then a draw.
//!
//! The chain is fixed in its order: top-k, top-p, min-p, temperature, draw. Each sampler is one file with one function on
//! [`Candidates`]; a setting that turns it off leaves the candidates as they are. Nothing allocates, and all arithmetic is
//! our own, so the same seed gives the same tokens on every platform.
#![forbid(unsafe_code)]

mod candidates;
mod min_p;
mod random;
mod temperature;
mod top_k;
mod top_p;

use crate::error::{Error, Result, text};
use crate::tokenizer::TokenId;
pub(crate) use candidates::{Candidate, Candidates};
use random::Random;

/// The settings of a sampler chain. The default is what most chats want. Fields may be added: write the rest as
/// `..SamplerOptions::default()`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits: below 1 sharpens, above 1 flattens, 0 always takes the most likely token.
    pub temperature: f32,
    /// Keeps the `k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the most likely tokens until their probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this share as likely as the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Where the random draws start: the same seed gives the same tokens.
    pub seed: u64,
}

impl Default for SamplerOptions {
    fn default() -> SamplerOptions {
        SamplerOptions { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, seed: 0 }
    }
}

/// A chain of samplers and its stream of random numbers.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplerOptions,
    random: Random,
}

impl Sampler {
    /// A chain with these settings.
    ///
    /// # Errors
    /// [`Error::Argument`] for a temperature that is negative or not a number, or a share outside 0 to 1.
    pub fn new(options: SamplerOptions) -> Result<Sampler> {
        let SamplerOptions { temperature, top_p, min_p, .. } = options;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::Argument(text!(
                "the temperature is {temperature}; it must be a number, 0 or greater"
            )));
        }
        for (name, share) in [("top-p", top_p), ("min-p", min_p)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::Argument(text!("{name} is {share}; it must be 0 to 1")));
            }
        }
        Ok(Sampler { options, random: Random::new(options.seed) })
    }

    /// A chain that always takes the most likely token.
    pub fn greedy() -> Sampler {
        let options = SamplerOptions { temperature: 0.0, ..SamplerOptions::default() };
        Sampler { options, random: Random::new(0) }
    }

    /// The chain's settings.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// Takes the candidates through the chain and draws one.
    pub(crate) fn sample(&mut self, mut candidates: Candidates<'_>) -> TokenId {
        let SamplerOptions { temperature, top_k, top_p, min_p, .. } = self.options;
        if temperature == 0.0 {
            return candidates.most_likely();
        }
        top_k::apply(&mut candidates, top_k);
        top_p::apply(&mut candidates, top_p);
        min_p::apply(&mut candidates, min_p);
        temperature::apply(&mut candidates, temperature);
        candidates.draw(self.random.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(logits: &[f32], options: SamplerOptions, draws: usize) -> alloc::vec::Vec<TokenId> {
        let mut sampler = Sampler::new(options).unwrap();
        let mut room = alloc::vec![Candidate::default(); logits.len()];
        (0..draws).map(|_| sampler.sample(Candidates::new(logits, &mut room))).collect()
    }

    const ALL: SamplerOptions =
        SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 7 };

    #[test]
    fn greedy_takes_the_first_of_the_greatest() {
        let mut room = [Candidate::default(); 4];
        let token = Sampler::greedy().sample(Candidates::new(&[1.0, 3.0, 3.0, f32::NAN], &mut room));
        assert_eq!(token, 1);
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0, -1.0];
        let draws = sample(&logits, ALL, 20_000);
        let total: f32 = logits.iter().map(|l| l.exp()).sum();
        for (token, logit) in logits.iter().enumerate() {
            let seen = draws.iter().filter(|&&t| t as usize == token).count() as f32 / 20_000.0;
            assert!((seen - logit.exp() / total).abs() < 0.015, "token {token}: {seen}");
        }
    }

    #[test]
    fn each_sampler_keeps_what_it_should() {
        let logits = [0.0f32, 4.0, 3.9, 1.0, -5.0];
        let kept = |options| {
            let mut tokens = sample(&logits, options, 4000);
            tokens.sort_unstable();
            tokens.dedup();
            tokens
        };
        assert_eq!(kept(SamplerOptions { top_k: 2, ..ALL }), [1, 2]);
        assert_eq!(kept(SamplerOptions { top_p: 0.5, ..ALL }), [1]);
        assert_eq!(kept(SamplerOptions { top_p: 0.9, ..ALL }), [1, 2]);
        assert_eq!(kept(SamplerOptions { min_p: 0.01, ..ALL }), [0, 1, 2, 3]);
        assert_eq!(kept(SamplerOptions { min_p: 1.0, ..ALL }), [1]);
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let logits: alloc::vec::Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 / 20.0).collect();
        let options = SamplerOptions { seed: 3, ..SamplerOptions::default() };
        assert_eq!(sample(&logits, options, 50), sample(&logits, options, 50));
        assert_ne!(sample(&logits, options, 50), sample(&logits, SamplerOptions { seed: 4, ..options }, 50));
    }

    #[test]
    fn logits_that_are_not_numbers_still_give_a_token() {
        for logits in [[f32::NAN; 3], [f32::NEG_INFINITY; 3], [f32::INFINITY, 0.0, f32::NAN]] {
            for top_k in [0, 2, 40] {
                let options = SamplerOptions { top_k, ..SamplerOptions::default() };
                assert!(sample(&logits, options, 10).iter().all(|&t| t < 3));
            }
        }
    }

    #[test]
    fn senseless_settings_are_errors() {
        for options in [
            SamplerOptions { temperature: -1.0, ..ALL },
            SamplerOptions { temperature: f32::NAN, ..ALL },
            SamplerOptions { top_p: 1.5, ..ALL },
            SamplerOptions { min_p: -0.1, ..ALL },
        ] {
            assert!(Sampler::new(options).is_err());
        }
    }
}
