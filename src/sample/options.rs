//! Floor 3. The settings of a sampler chain, and the order of its stages.
#![forbid(unsafe_code)]

use super::choice::TOP_LOGPROBS_MAX;
use crate::error::{Error, Result, text};
use crate::tokenizer::TokenId;

/// A stage of the chain. The names of all, in their order: `penalties`, `dry`, `top_n_sigma`, `top_k`, `typ_p`, `top_p`, `min_p`,
/// `xtc`, `temperature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Repetition, presence and frequency penalties.
    Penalties,
    /// DRY.
    Dry,
    /// Top-n-sigma.
    TopNSigma,
    /// Top-k.
    TopK,
    /// Locally typical sampling.
    TypicalP,
    /// Top-p.
    TopP,
    /// Min-p.
    MinP,
    /// XTC.
    Xtc,
    /// Temperature.
    Temperature,
}

impl Stage {
    /// Every stage, in the order of the chain if no other is asked for: llama.cpp's.
    pub const ALL: [Stage; 9] = [
        Stage::Penalties,
        Stage::Dry,
        Stage::TopNSigma,
        Stage::TopK,
        Stage::TypicalP,
        Stage::TopP,
        Stage::MinP,
        Stage::Xtc,
        Stage::Temperature,
    ];

    /// llama.cpp's name of the stage.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Penalties => "penalties",
            Stage::Dry => "dry",
            Stage::TopNSigma => "top_n_sigma",
            Stage::TopK => "top_k",
            Stage::TypicalP => "typ_p",
            Stage::TopP => "top_p",
            Stage::MinP => "min_p",
            Stage::Xtc => "xtc",
            Stage::Temperature => "temperature",
        }
    }

    /// The stage of that name.
    pub fn by_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// The texts behind which DRY looks for no repetition, if no others are given.
pub const DRY_BREAKERS: &[&str] = &["\n", ":", "\"", "*"];

/// The settings of a sampler chain, with llama.cpp's names and defaults. Fields may be added: write the rest as
/// `..SamplerOptions::default()`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions<'a> {
    /// Divides the logits: below 1 sharpens, above 1 flattens, 0 always takes the most likely token.
    pub temperature: f32,
    /// The temperature moves by up to this around [`SamplerOptions::temperature`], after the entropy of the candidates; 0, the
    /// default, leaves it.
    pub dynatemp_range: f32,
    /// How entropy becomes temperature: the share of the greatest entropy to this power is the share of the range.
    pub dynatemp_exponent: f32,
    /// Keeps the `k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the most likely tokens until their probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this share as likely as the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Keeps the tokens whose information is nearest to the entropy, until their probabilities add up to more than this; 1, the
    /// default, keeps all.
    pub typical_p: f32,
    /// Keeps tokens whose logit is at most so many standard deviations below the greatest; 0, the default, or less keeps all.
    pub top_n_sigma: f32,
    /// How often [`SamplerOptions::xtc_threshold`] is applied; 0 by default.
    pub xtc_probability: f32,
    /// Of the tokens at least so likely only the least likely is kept; more than 0.5 keeps all.
    pub xtc_threshold: f32,
    /// 1 or 2 chooses by mirostat of that version, behind biases and temperature and instead of all other stages; 0, the
    /// default, does not.
    pub mirostat: u8,
    /// The surprise of a token, `-log2 p`, that mirostat aims at.
    pub mirostat_target: f32,
    /// How fast mirostat learns.
    pub mirostat_rate: f32,
    /// Divides positive logits of repeated tokens, and multiplies others; 1, the default, leaves them.
    pub repeat_penalty: f32,
    /// The tokens whose repetition is penalised, by this and the next two: so many last ones.
    pub repeat_last_n: usize,
    /// Taken from the logit of a repeated token, once; 0 by default.
    pub presence_penalty: f32,
    /// Taken from the logit of a repeated token for each time it stands there; 0 by default.
    pub frequency_penalty: f32,
    /// Penalises what goes on with a repetition by `multiplier * base^(length - allowed length)`; 0, the default, does not.
    pub dry_multiplier: f32,
    /// The base of that power; less than 1 penalises nothing.
    pub dry_base: f32,
    /// The longest repetition that is not penalised beyond the multiplier.
    pub dry_allowed_length: usize,
    /// The tokens in which repetitions are looked for: so many last ones.
    pub dry_last_n: usize,
    /// Texts behind which no repetition is looked for. They need a tokenizer: see
    /// [`Sampler::with_tokenizer`](super::Sampler::with_tokenizer).
    pub dry_breakers: &'a [&'a str],
    /// Numbers that are added to the logits of some tokens, before everything else; -inf forbids a token.
    pub logit_bias: &'a [(TokenId, f32)],
    /// The stages and their order, at most 16; those that are missing are off.
    pub stages: &'a [Stage],
    /// Where the random draws start: the same seed gives the same tokens.
    pub seed: u64,
    /// How many of the most likely tokens a choice tells of, at most [`TOP_LOGPROBS_MAX`]: see
    /// [`Session::top_logprobs`](crate::Session::top_logprobs).
    pub top_logprobs: usize,
}

impl Default for SamplerOptions<'_> {
    fn default() -> Self {
        SamplerOptions {
            temperature: 0.8,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            mirostat: 0,
            mirostat_target: 5.0,
            mirostat_rate: 0.1,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_last_n: 64,
            dry_breakers: DRY_BREAKERS,
            logit_bias: &[],
            stages: &Stage::ALL,
            seed: 0,
            top_logprobs: 0,
        }
    }
}

impl SamplerOptions<'_> {
    /// Whether all of it makes sense.
    pub(super) fn check(&self) -> Result<()> {
        let all = f32::MIN..=f32::MAX;
        let numbers = [
            ("temperature", self.temperature, 0.0..=f32::MAX),
            ("range of the temperature", self.dynatemp_range, 0.0..=f32::MAX),
            ("exponent of the dynamic temperature", self.dynatemp_exponent, 0.0..=f32::MAX),
            ("top-p", self.top_p, 0.0..=1.0),
            ("min-p", self.min_p, 0.0..=1.0),
            ("typical-p", self.typical_p, 0.0..=1.0),
            ("top-n-sigma", self.top_n_sigma, all.clone()),
            ("probability of XTC", self.xtc_probability, 0.0..=1.0),
            ("threshold of XTC", self.xtc_threshold, 0.0..=1.0),
            ("target of mirostat", self.mirostat_target, 0.0..=f32::MAX),
            ("learning rate of mirostat", self.mirostat_rate, 0.0..=f32::MAX),
            ("repetition penalty", self.repeat_penalty, f32::MIN_POSITIVE..=f32::MAX),
            ("presence penalty", self.presence_penalty, all.clone()),
            ("frequency penalty", self.frequency_penalty, all.clone()),
            ("multiplier of DRY", self.dry_multiplier, 0.0..=f32::MAX),
            ("base of DRY", self.dry_base, 0.0..=f32::MAX),
        ];
        for (name, value, range) in numbers {
            if !range.contains(&value) {
                return Err(Error::Argument(match (*range.start(), *range.end()) {
                    (f32::MIN, _) => text!("the {name} is {value}; it must be a number"),
                    (least, f32::MAX) if least > 0.0 => {
                        text!("the {name} is {value}; it must be a number, greater than 0")
                    }
                    (_, f32::MAX) => text!("the {name} is {value}; it must be a number, 0 or greater"),
                    (least, most) => text!("the {name} is {value}; it must be {least} to {most}"),
                }));
            }
        }
        if self.mirostat > 2 {
            let version = self.mirostat;
            return Err(Error::Argument(text!("mirostat is {version}; it must be 1 or 2, or 0 for none")));
        }
        if let Some((token, bias)) =
            self.logit_bias.iter().find(|(_, bias)| bias.is_nan() || *bias == f32::INFINITY)
        {
            return Err(Error::Argument(text!(
                "the bias of token {token} is {bias}; it must be a number or -inf"
            )));
        }
        if self.stages.len() > super::STAGES_MAX {
            let (stages, most) = (self.stages.len(), super::STAGES_MAX);
            return Err(Error::Argument(text!(
                "{stages} stages are too many for a chain, which has up to {most}"
            )));
        }
        if self.top_logprobs > TOP_LOGPROBS_MAX {
            let n = self.top_logprobs;
            return Err(Error::Argument(text!(
                "{n} log-probabilities were asked for; there are at most {TOP_LOGPROBS_MAX}"
            )));
        }
        Ok(())
    }
}
