//! The flags that say how tokens are chosen, under llama.cpp's names, and the chain of samplers that they make.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};

use bantam::{DRY_BREAKERS, Sampler, SamplerOptions, Stage, TokenId, Tokenizer};
use clap::Args;

use crate::failure::{Failure, Result};

type Parsed<T> = std::result::Result<T, String>;

/// How tokens are chosen.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct Sampling {
    /// Temperature: below 1 the likely tokens become likelier, above 1 less so; 0 always takes the likeliest token
    #[arg(long = "temp", visible_alias = "temperature", value_name = "T", default_value_t = 0.8, value_parser = not_negative)]
    temperature: f32,
    /// Let the temperature move by up to R around --temp: down where the model is certain, up where it is not
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = not_negative)]
    dynatemp_range: f32,
    /// How the model's entropy becomes that temperature: more than 1 keeps it low for longer
    #[arg(long = "dynatemp-exp", value_name = "E", default_value_t = 1.0, value_parser = not_negative)]
    dynatemp_exponent: f32,
    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 40)]
    top_k: u32,
    /// Keep the likeliest tokens until their probabilities add up to P; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.95, value_parser = share)]
    top_p: f32,
    /// Keep the tokens that are at least P times as likely as the likeliest; 0 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.05, value_parser = share)]
    min_p: f32,
    /// Keep the tokens that are about as surprising as the model expects, until they add up to P; 1 keeps all
    #[arg(long = "typical", visible_alias = "typical-p", value_name = "P", default_value_t = 1.0, value_parser = share)]
    typical_p: f32,
    /// Keep the tokens whose logit is at most N standard deviations below the greatest; 0 or less keeps all
    #[arg(long = "top-nsigma", visible_alias = "top-n-sigma", value_name = "N", default_value_t = 0.0, value_parser = number, allow_negative_numbers = true)]
    top_n_sigma: f32,
    /// How often, of 0 to 1, all choices above --xtc-threshold but the least likely are taken away (XTC): for more surprising texts
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    xtc_probability: f32,
    /// What is a top choice for XTC; more than 0.5 turns it off
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = share)]
    xtc_threshold: f32,
    /// Steer the surprise of the answer instead, by mirostat 1 or 2: only --temp and --logit-bias are used beside it; 0 does not
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    mirostat: u8,
    /// How fast mirostat learns
    #[arg(long = "mirostat-lr", value_name = "N", default_value_t = 0.1, value_parser = not_negative)]
    mirostat_rate: f32,
    /// The surprise of a token that mirostat aims at, in bits
    #[arg(long = "mirostat-ent", value_name = "N", default_value_t = 5.0, value_parser = not_negative)]
    mirostat_target: f32,
    /// Make tokens that were there before less likely: divides their logits; 1 leaves them, 1.1 is usual
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive)]
    repeat_penalty: f32,
    /// How many tokens back this and the next two penalties look, -1 for all
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(i64).range(-1..), allow_negative_numbers = true)]
    repeat_last_n: i64,
    /// Take N from the logit of tokens that were there before, however often
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = number, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Take N from the logit of tokens for each time that they were there before
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = number, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Make tokens less likely that would go on with a repetition (DRY), by N * base^(length - allowed length); 0 does not, 0.8 is usual
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = not_negative)]
    dry_multiplier: f32,
    /// The base of DRY's penalty; less than 1 turns it off
    #[arg(long, value_name = "N", default_value_t = 1.75, value_parser = not_negative)]
    dry_base: f32,
    /// How many tokens may be repeated before DRY's penalty grows
    #[arg(long, value_name = "N", default_value_t = 2)]
    dry_allowed_length: u32,
    /// How many tokens back DRY looks for repetitions, -1 for all
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(i64).range(-1..), allow_negative_numbers = true)]
    dry_penalty_last_n: i64,
    /// A text behind which DRY looks for no repetition, instead of line break, colon, quote and asterisk; may be given several times,
    /// with \n for a line break; "none" for none
    #[arg(long, value_name = "TEXT", value_parser = breaker, allow_hyphen_values = true)]
    dry_sequence_breaker: Vec<String>,
    /// Add a number to the logit of a token, as 15043+1 or 15043-0.5; 15043-inf forbids it; may be given several times
    #[arg(short = 'l', long, value_name = "TOKEN(+/-)BIAS", value_parser = bias)]
    logit_bias: Vec<(TokenId, f32)>,
    /// The samplers and their order, separated by semicolons; those that are missing are off [default:
    /// penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature]
    #[arg(long, value_name = "NAMES", value_parser = stages)]
    samplers: Option<Stages>,
    /// Seed of the random draws: the same seed gives the same answer; -1 for a fresh one, which -v shows
    #[arg(short = 's', long, value_name = "S", default_value = "-1", value_parser = seed, allow_negative_numbers = true)]
    seed: Seed,
}

impl Sampling {
    /// The chain of these flags, for a model of this vocabulary; its choices tell of that many likeliest tokens.
    pub(crate) fn sampler(&self, tokenizer: &Tokenizer, top_logprobs: usize) -> Result<Sampler> {
        if self.mirostat > 0 && self.samplers.is_some() {
            let what =
                "--mirostat takes the place of the other samplers: leave --samplers out, or --mirostat";
            return Err(Failure::Usage(what.into()));
        }
        let stages = self.samplers.clone().unwrap_or_default();
        let breakers: Vec<&str> = match self.dry_sequence_breaker.as_slice() {
            [] => DRY_BREAKERS.into(),
            given => given.iter().map(String::as_str).filter(|text| *text != "none").collect(),
        };
        let options = SamplerOptions {
            temperature: self.temperature,
            dynatemp_range: self.dynatemp_range,
            dynatemp_exponent: self.dynatemp_exponent,
            top_k: self.top_k as usize,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            top_n_sigma: self.top_n_sigma,
            xtc_probability: self.xtc_probability,
            xtc_threshold: self.xtc_threshold,
            mirostat: self.mirostat,
            mirostat_target: self.mirostat_target,
            mirostat_rate: self.mirostat_rate,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: last_n(self.repeat_last_n),
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            dry_multiplier: self.dry_multiplier,
            dry_base: self.dry_base,
            dry_allowed_length: self.dry_allowed_length as usize,
            dry_last_n: last_n(self.dry_penalty_last_n),
            dry_breakers: &breakers,
            logit_bias: &self.logit_bias,
            stages: &stages.0,
            // The standard library's hasher is keyed by the system's randomness.
            seed: self.seed.0.unwrap_or_else(|| RandomState::new().hash_one(std::process::id())),
            top_logprobs,
        };
        let vocab_size = tokenizer.vocab_size();
        if let Some((token, _)) = self.logit_bias.iter().find(|(token, _)| *token as usize >= vocab_size) {
            return Err(Failure::Usage(format!(
                "--logit-bias: token {token} is outside the model's vocabulary of {vocab_size}"
            )));
        }
        Sampler::with_tokenizer(options, tokenizer).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// The stages of the chain, as they are written.
#[derive(Clone)]
struct Stages(Vec<Stage>);

impl Default for Stages {
    fn default() -> Stages {
        Stages(Stage::ALL.into())
    }
}

impl std::fmt::Display for Stages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.0.iter().map(|stage| stage.name()).collect();
        f.write_str(&names.join(";"))
    }
}

fn stages(text: &str) -> Parsed<Stages> {
    let names = text.split(';').map(|name| name.trim()).filter(|name| !name.is_empty());
    let stages = names.map(|name| {
        // llama.cpp reads these too.
        let plain = match name.replace('-', "_").as_str() {
            "typical" | "typical_p" => "typ_p".to_owned(),
            "temp" => "temperature".to_owned(),
            "top_nsigma" => "top_n_sigma".to_owned(),
            plain => plain.to_owned(),
        };
        Stage::by_name(&plain)
            .ok_or_else(|| format!("no sampler is named {name}; there are {}", Stages::default()))
    });
    let stages: Vec<_> = stages.collect::<Parsed<_>>()?;
    if stages.len() > 16 { Err("there may be up to 16".to_owned()) } else { Ok(Stages(stages)) }
}

/// Where the random draws start, if that was said.
#[derive(Clone, Copy)]
struct Seed(Option<u64>);

fn seed(text: &str) -> Parsed<Seed> {
    if text == "-1" {
        return Ok(Seed(None));
    }
    let number = text.parse().map_err(|_| "it must be a whole number, or -1 for a fresh one".to_owned())?;
    Ok(Seed(Some(number)))
}

/// A number of tokens to look back; below zero all.
fn last_n(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn number(text: &str) -> Parsed<f32> {
    let number: f32 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if number.is_finite() { Ok(number) } else { Err("it must be a finite number".to_owned()) }
}

fn share(text: &str) -> Parsed<f32> {
    number(text)
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or("it must be a number of 0 to 1".into())
}

fn not_negative(text: &str) -> Parsed<f32> {
    number(text).ok().filter(|number| *number >= 0.0).ok_or("it must be a number, 0 or greater".into())
}

fn positive(text: &str) -> Parsed<f32> {
    number(text).ok().filter(|number| *number >= f32::MIN_POSITIVE).ok_or("it must be greater than 0".into())
}

/// A token's number, then a signed number or infinity.
fn bias(text: &str) -> Parsed<(TokenId, f32)> {
    let wrong =
        || "it must be the number of a token and a bias, as 15043+1, 15043-0.5 or 15043-inf".to_owned();
    let (token, bias) = text.split_at(text.find(['+', '-']).ok_or_else(wrong)?);
    let (token, bias): (TokenId, f32) =
        (token.parse().map_err(|_| wrong())?, bias.parse().map_err(|_| wrong())?);
    match bias {
        f32::INFINITY => Err("a bias of +inf would leave no choice; forbid other tokens instead".to_owned()),
        bias if bias.is_nan() => Err(wrong()),
        bias => Ok((token, bias)),
    }
}

/// A text with the escapes that a shell makes hard to write.
fn breaker(text: &str) -> Parsed<String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other @ ('"' | '\'' | '\\')) => other,
                _ => return Err(r#"an escape must be one of \n \t \r \" \' \\"#.to_owned()),
            },
            c => c,
        });
    }
    if (1..=40).contains(&plain.len()) { Ok(plain) } else { Err("it must have 1 to 40 bytes".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_are_read_as_llama_cpp_writes_them() {
        assert_eq!(bias("15043+1"), Ok((15043, 1.0)));
        assert_eq!(bias("15043-0.5"), Ok((15043, -0.5)));
        assert_eq!(bias("7-inf"), Ok((7, f32::NEG_INFINITY)));
        for wrong in ["", "7", "+1", "x+1", "7+", "7+x", "7+nan", "7+inf", "-7+1"] {
            assert!(bias(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn samplers_are_read_in_their_order() {
        assert_eq!(stages("top_k;temperature").unwrap().0, [Stage::TopK, Stage::Temperature]);
        assert_eq!(stages("min-p; typical-p;").unwrap().0, [Stage::MinP, Stage::TypicalP]);
        assert!(stages("").unwrap().0.is_empty());
        assert!(stages("top_k;grammar").err().unwrap().contains("grammar"));
        assert_eq!(stages(&Stages::default().to_string()).unwrap().0, Stage::ALL);
    }

    #[test]
    fn breakers_may_be_escaped() {
        assert_eq!(breaker(r"\n\n"), Ok("\n\n".to_owned()));
        assert_eq!(breaker(r#"\"a\\"#), Ok("\"a\\".to_owned()));
        assert!(breaker(r"\x").is_err() && breaker("").is_err());
    }
}
