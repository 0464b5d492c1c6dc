//! Floor 3. Choosing the next token: a chain of samplers that narrow and reshape the candidates, then a draw.
//!
//! The chain has llama.cpp's order: logit bias, penalties, DRY, top-n-sigma, top-k, typical-p, top-p, min-p, XTC, temperature, draw;
//! or bias, temperature, mirostat. Each sampler is one file with one function on [`Candidates`]; a setting that turns it off
//! leaves the candidates as they are. Nothing allocates once a [`Sampler`] is made, and all arithmetic is our own, so the
//! same seed gives the same tokens on every platform.
//!
//! One scan of the logits ([`spread`]) serves the chain, which finds the likely tokens by it, and what a [`Choice`] tells.
#![forbid(unsafe_code)]

mod breakers;
mod candidates;
mod choice;
mod confidence;
mod dry;
#[cfg(all(test, feature = "std"))]
mod golden;
mod logit_bias;
mod mask;
mod min_p;
mod mirostat;
mod options;
mod penalties;
mod random;
mod room;
mod spread;
mod temperature;
#[cfg(test)]
mod tests;
mod top_k;
mod top_n_sigma;
mod top_p;
mod typical_p;
mod xtc;

use alloc::vec::Vec;

use bantam_kernels::Backend;

use crate::arena::Shared;
use crate::error::{Error, Result, text};
use crate::tokenizer::{TokenId, Tokenizer};
use breakers::Breakers;
use candidates::{Candidate, Candidates};
use choice::Own;
pub use choice::{Choice, TOP_LOGPROBS_MAX, TokenLogprob};
pub use confidence::{Confidence, ConfidenceSummary};
use dry::Dry;
pub use mask::TokenMask;
use mirostat::Mirostat;
pub use options::{DRY_BREAKERS, SamplerOptions, Stage};
use penalties::Penalties;
use random::Random;
pub(crate) use room::Room;

/// The most stages of a chain.
const STAGES_MAX: usize = 16;

/// A chain of samplers, with its stream of random numbers and what mirostat has learnt. A clone goes on as the original would;
/// it takes no memory.
///
/// What was read and chosen before is not kept here: the session has it. So a sampler serves a session that was rewound, or
/// several in turn.
#[derive(Clone, Debug)]
pub struct Sampler {
    settings: Settings,
    lists: Option<Shared<Lists>>,
    random: Random,
    /// The bound of mirostat.
    mu: f32,
}

/// What of the options is numbers.
#[derive(Clone, Copy, Debug)]
struct Settings {
    temperature: f32,
    dynatemp_range: f32,
    dynatemp_exponent: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    typical_p: f32,
    top_n_sigma: f32,
    xtc_probability: f32,
    xtc_threshold: f32,
    mirostat: Mirostat,
    penalties: Penalties,
    dry: Dry,
    stages: [Option<Stage>; STAGES_MAX],
    seed: u64,
    top_logprobs: usize,
}

/// What of the options takes memory.
#[derive(Debug, Default)]
struct Lists {
    /// Sorted by token.
    biases: Vec<(TokenId, f32)>,
    breakers: Breakers,
}

impl Sampler {
    /// A chain with these settings.
    ///
    /// # Errors
    /// [`Error::Argument`] for a setting that makes no sense, and for DRY with sequence breakers, which takes
    /// [`Sampler::with_tokenizer`]; [`Error::Memory`].
    pub fn new(options: SamplerOptions<'_>) -> Result<Sampler> {
        Sampler::make(options, None)
    }

    /// A chain with these settings, and with DRY's sequence breakers as tokens of this vocabulary.
    ///
    /// # Errors
    /// As [`Sampler::new`].
    pub fn with_tokenizer(options: SamplerOptions<'_>, tokenizer: &Tokenizer) -> Result<Sampler> {
        Sampler::make(options, Some(tokenizer))
    }

    fn make(options: SamplerOptions<'_>, tokenizer: Option<&Tokenizer>) -> Result<Sampler> {
        options.check()?;
        let settings = Settings::new(&options);
        let mut lists = Lists::default();
        if !options.logit_bias.is_empty() {
            let bytes = size_of_val(options.logit_bias) as u64;
            let refused = Error::Memory { what: "the logit biases", bytes };
            lists.biases.try_reserve_exact(options.logit_bias.len()).map_err(|_| refused)?;
            lists.biases.extend(options.logit_bias);
            lists.biases.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        }
        if settings.dry.is_on() && !options.dry_breakers.is_empty() {
            let Some(tokenizer) = tokenizer else {
                return Err(Error::Argument(text!(
                    "the sequence breakers of DRY are texts: make the sampler with a tokenizer, or give none"
                )));
            };
            lists.breakers = Breakers::new(options.dry_breakers, tokenizer)?;
        }
        let plain = lists.biases.is_empty() && lists.breakers.is_empty();
        let lists = if plain { None } else { Some(Shared::new(lists, "the lists of a sampler")?) };
        Ok(Sampler::from(settings, lists))
    }

    fn from(settings: Settings, lists: Option<Shared<Lists>>) -> Sampler {
        let mu = 2.0 * settings.mirostat.target;
        Sampler { settings, lists, random: Random::new(settings.seed), mu }
    }

    /// A chain that always takes the most likely token, of equals the first.
    pub fn greedy() -> Sampler {
        let options = SamplerOptions { temperature: 0.0, ..SamplerOptions::default() };
        Sampler::from(Settings::new(&options), None)
    }

    /// Where the random draws started.
    pub fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// Starts over: with the seed's first draw, and with nothing learnt.
    pub fn reset(&mut self) {
        *self = Sampler::from(self.settings, self.lists.take());
    }

    /// What was learnt from a draw since `before` is forgotten, as its token is not taken. The random numbers go on: the next draw must not
    /// depend on that one.
    pub(crate) fn unlearn(&mut self, before: &Sampler) {
        self.mu = before.mu;
    }

    /// Chooses one of the tokens that `allowed` allows, by their logits behind `history`. Writes the most likely of all
    /// tokens to `top`, and says how many they are.
    ///
    /// # Errors
    /// [`Error::Argument`] if no token is allowed, or a bias is of a token outside the vocabulary.
    pub(crate) fn choose(
        &mut self,
        backend: Backend,
        logits: &[f32],
        history: &[TokenId],
        allowed: Option<TokenMask<'_>>,
        room: &mut Room,
        top: &mut [TokenLogprob],
    ) -> Result<(Choice, usize)> {
        let vocab_size = logits.len();
        let allowed = match allowed {
            None => None,
            Some(mask) => match mask.first(vocab_size) {
                Some(first) => Some((mask, first)),
                None => return Err(Error::Argument(text!("no token is allowed: the mask is empty"))),
            },
        };
        let outside = |(token, _): &&(TokenId, f32)| *token as usize >= vocab_size;
        if let Some((token, _)) = self.lists.as_ref().and_then(|lists| lists.biases.iter().find(outside)) {
            return Err(Error::Argument(text!(
                "token {token} of a bias is outside the vocabulary of {vocab_size}"
            )));
        }
        room.parts().spread.scan(backend, logits, 1.0);
        let own = Own::new(logits, &room.parts().spread);
        let wanted = self.settings.top_logprobs.min(top.len());
        let mut told = 0;
        if wanted > 0 {
            let mut candidates = Candidates::new(backend, logits, history, room.parts(), None);
            for (top, &(logit, token)) in top.iter_mut().zip(candidates.top(wanted)) {
                *top = TokenLogprob { token, logprob: own.logprob(logit) };
                told += 1;
            }
        }
        let token = self.sample(Candidates::new(backend, logits, history, room.parts(), allowed));
        Ok((own.choice(token, logits[token as usize]), told))
    }

    /// Takes the candidates through the chain and draws one.
    fn sample(&mut self, mut candidates: Candidates<'_>) -> TokenId {
        self.narrow(&mut candidates);
        let Sampler { settings, random, mu, .. } = self;
        if settings.mirostat.version > 0 {
            mirostat::draw(&mut candidates, &settings.mirostat, mu, random)
        } else if settings.is_greedy() {
            candidates.greatest().1
        } else {
            candidates.draw(random.unit()).0
        }
    }

    /// Takes the candidates through the chain, but for the end that draws.
    fn narrow(&mut self, candidates: &mut Candidates<'_>) {
        let Sampler { settings, lists, random, .. } = self;
        if let Some(lists) = lists {
            logit_bias::apply(candidates, &lists.biases);
        }
        if settings.mirostat.version > 0 {
            temperature::apply(candidates, settings.temperature, 0.0, 1.0);
            return;
        }
        for stage in settings.stages.iter().flatten() {
            settings.apply(*stage, candidates, lists.as_deref(), random);
        }
    }
}

impl Settings {
    fn new(options: &SamplerOptions<'_>) -> Settings {
        let mut stages = [None; STAGES_MAX];
        stages.iter_mut().zip(options.stages).for_each(|(to, from)| *to = Some(*from));
        Settings {
            temperature: options.temperature,
            dynatemp_range: options.dynatemp_range,
            dynatemp_exponent: options.dynatemp_exponent,
            top_k: options.top_k,
            top_p: options.top_p,
            min_p: options.min_p,
            typical_p: options.typical_p,
            top_n_sigma: options.top_n_sigma,
            xtc_probability: options.xtc_probability,
            xtc_threshold: options.xtc_threshold,
            mirostat: Mirostat {
                version: options.mirostat,
                target: options.mirostat_target,
                rate: options.mirostat_rate,
            },
            penalties: Penalties {
                last_n: options.repeat_last_n,
                repeat: options.repeat_penalty,
                frequency: options.frequency_penalty,
                presence: options.presence_penalty,
            },
            dry: Dry {
                multiplier: options.dry_multiplier,
                base: options.dry_base,
                allowed_length: options.dry_allowed_length,
                last_n: options.dry_last_n,
            },
            stages,
            seed: options.seed,
            top_logprobs: options.top_logprobs,
        }
    }

    /// Whether the greatest of what is left is taken, and nothing drawn.
    fn is_greedy(&self) -> bool {
        let cools = self.stages.contains(&Some(Stage::Temperature));
        cools && self.temperature == 0.0 && self.dynatemp_range == 0.0
    }

    /// Whether a stage never takes the greatest candidate away, nor draws.
    fn keeps_the_greatest(&self, stage: Stage) -> bool {
        match stage {
            Stage::TypicalP => self.typical_p >= 1.0,
            Stage::Xtc => self.xtc_probability == 0.0,
            Stage::Penalties | Stage::Dry => false,
            Stage::TopNSigma | Stage::TopK | Stage::TopP | Stage::MinP | Stage::Temperature => true,
        }
    }

    fn apply(
        &self,
        stage: Stage,
        candidates: &mut Candidates<'_>,
        lists: Option<&Lists>,
        random: &mut Random,
    ) {
        if self.is_greedy() && self.keeps_the_greatest(stage) {
            return;
        }
        match stage {
            Stage::Penalties => penalties::apply(candidates, &self.penalties),
            Stage::Dry => dry::apply(candidates, &self.dry, lists.map(|lists| &lists.breakers)),
            Stage::TopNSigma => top_n_sigma::apply(candidates, self.top_n_sigma),
            Stage::TopK => top_k::apply(candidates, self.top_k),
            Stage::TypicalP => typical_p::apply(candidates, self.typical_p),
            Stage::TopP => top_p::apply(candidates, self.top_p),
            Stage::MinP => min_p::apply(candidates, self.min_p),
            Stage::Xtc => xtc::apply(candidates, self.xtc_probability, self.xtc_threshold, random),
            Stage::Temperature => {
                temperature::apply(candidates, self.temperature, self.dynatemp_range, self.dynatemp_exponent);
            }
        }
    }
}
