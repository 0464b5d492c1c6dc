//! Floor 3, test. Samplers and chains leave what llama.cpp's leave: the same tokens with the same probabilities.
//!
//! llama.cpp adds and multiplies in 32 bits, one after the other. So a probability may differ by 1e-4 of itself, and where a
//! sum or a deviation of thousands of logits decides, the last tokens that are kept may be a few more or fewer.
#![forbid(unsafe_code)]

use std::string::{String, ToString};
use std::vec::Vec;
use std::{eprintln, format, println};

use serde::Deserialize;
use serde_json::Value;

use super::tests::room;
use super::*;
use crate::Model;

#[derive(Deserialize)]
struct Case {
    logits: Logits,
    history: Vec<TokenId>,
    stages: Vec<Value>,
    left: Option<Left>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize, PartialEq)]
struct Logits {
    file: Option<String>,
    tokens: Option<usize>,
    size: Option<f64>,
    period: Option<usize>,
    /// The logit of every token of the history instead.
    likely: Option<f32>,
}

#[derive(Deserialize)]
struct Left {
    count: usize,
    ids: u64,
    likeliest: Vec<(TokenId, f64)>,
}

#[derive(Deserialize)]
struct Step {
    left: Left,
    selected: TokenId,
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/samplers")
}

impl Logits {
    fn values(&self, history: &[TokenId]) -> Vec<f32> {
        if let Some(file) = &self.file {
            let bytes = std::fs::read(folder().join(file)).unwrap();
            return bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        }
        let (size, period) = (self.size.unwrap(), self.period.unwrap());
        let mut values: Vec<f32> = (0..self.tokens.unwrap())
            .map(|token| {
                let mut state = (token % period) as u64 + 1;
                let mut sum = 0;
                for _ in 0..3 {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    sum += state >> 40;
                }
                (size * (sum as f64 / 16_777_216.0 - 1.5)) as f32
            })
            .collect();
        if let Some(likely) = self.likely {
            history.iter().for_each(|&token| values[token as usize] = likely);
        }
        values
    }
}

/// The settings of a case, in which everything else is off.
fn settings<'a>(
    case: &'a Case,
    stages: &'a mut Vec<Stage>,
    breakers: &'a mut Vec<&'a str>,
    biases: &'a mut Vec<(TokenId, f32)>,
) -> SamplerOptions<'a> {
    let mut options =
        SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Default::default() };
    for stage in &case.stages {
        let (name, value) = stage.as_object().unwrap().iter().next().unwrap();
        let number = |key: &str| value[key].as_f64().unwrap() as f32;
        let count = |key: &str| value[key].as_i64().unwrap() as usize;
        let alone = || value.as_f64().unwrap() as f32;
        match name.as_str() {
            "logit_bias" => {
                let biased = value.as_array().unwrap().iter();
                biases.extend(biased.map(|bias| {
                    let number = bias[1].as_f64().map_or(f32::NEG_INFINITY, |bias| bias as f32);
                    (bias[0].as_u64().unwrap() as TokenId, number)
                }));
                continue;
            }
            "mirostat" => {
                options.mirostat = count("version") as u8;
                (options.mirostat_target, options.mirostat_rate) = (number("target"), number("rate"));
                continue;
            }
            "penalties" => {
                (options.repeat_last_n, options.repeat_penalty) = (count("last_n"), number("repeat"));
                (options.frequency_penalty, options.presence_penalty) =
                    (number("frequency"), number("presence"));
            }
            "dry" => {
                (options.dry_multiplier, options.dry_base) = (number("multiplier"), number("base"));
                (options.dry_allowed_length, options.dry_last_n) = (count("allowed_length"), count("last_n"));
                breakers
                    .extend(value["breakers"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()));
            }
            "top_n_sigma" => options.top_n_sigma = alone(),
            "top_k" => options.top_k = value.as_u64().unwrap() as usize,
            "typ_p" => options.typical_p = alone(),
            "top_p" => options.top_p = alone(),
            "min_p" => options.min_p = alone(),
            "xtc" => {
                (options.xtc_probability, options.xtc_threshold) =
                    (number("probability"), number("threshold"));
            }
            "temperature" => {
                (options.temperature, options.dynatemp_range) = (number("temperature"), number("range"));
                options.dynatemp_exponent = number("exponent");
            }
            _ => panic!("{name}"),
        }
        stages.push(Stage::by_name(name).unwrap());
    }
    (options.stages, options.dry_breakers, options.logit_bias) = (stages, breakers, biases);
    options
}

impl Left {
    /// What is wrong about `left`, if anything is.
    fn differs(&self, mut left: Vec<(TokenId, f64)>, logits: usize, ties: bool) -> Option<String> {
        left.retain(|(_, share)| *share as f32 > 0.0);
        left.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let slack = if logits > 10_000 { 1 + self.count / 100 } else { 0 };
        if left.len().abs_diff(self.count) > slack {
            return Some(format!("{} are left, not {}", left.len(), self.count));
        }
        let ids: u64 = left.iter().map(|(id, _)| u64::from(*id)).sum();
        if !ties && left.len() == self.count && ids != self.ids && slack == 0 {
            return Some("other tokens are left".to_string());
        }
        for (i, (&(id, share), &(expected_id, expected))) in left.iter().zip(&self.likeliest).enumerate() {
            // One more or less that is left changes the share of all.
            let others = left.len().abs_diff(self.count) as f64 / self.count as f64;
            let tolerance = (1e-4 + 2.0 * others) * expected;
            if (share - expected).abs() > tolerance {
                return Some(format!("{i}: token {id} has {share}, not {expected}"));
            }
            if !ties
                && id != expected_id
                && (share - left[self.likeliest.len().min(left.len()) - 1].1).abs() > 1e-6 * share
            {
                let near =
                    self.likeliest.iter().any(|other| other.0 == id && (other.1 - share).abs() < tolerance);
                if !near {
                    return Some(format!("{i}: token {id} instead of {expected_id}"));
                }
            }
        }
        None
    }
}

#[test]
fn chains_leave_what_llama_cpp_leaves() {
    let cases = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let model = path.exists().then(|| Model::open(&path).unwrap());
    if model.is_none() {
        assert!(std::env::var_os("CI").is_none(), "the demo model is missing; scripts/fetch-model gets it");
        println!("skipped: DRY with breakers wants the demo model; scripts/fetch-model gets it");
    }
    let (mut wrong, mut ran, mut before, mut logits) = (0, 0, None::<&Case>, Vec::new());
    for case in &cases {
        let (mut stages, mut breakers, mut biases) = Default::default();
        let options = settings(case, &mut stages, &mut breakers, &mut biases);
        let sampler = match (&model, options.dry_breakers.is_empty()) {
            (_, true) => Sampler::new(options).unwrap(),
            (Some(model), _) => Sampler::with_tokenizer(options, model.tokenizer()).unwrap(),
            (None, _) => continue,
        };
        if before.is_none_or(|before| before.logits != case.logits || case.logits.likely.is_some()) {
            logits = case.logits.values(&case.history);
        }
        before = Some(case);
        let ties = case.logits.period.is_some_and(|period| period < logits.len())
            || case.logits.size == Some(0.0)
            || case.logits.likely.is_some();
        let mut complain = |what: String| {
            eprintln!("{what}: {:?} of {} logits", case.stages, logits.len());
            wrong += 1;
        };
        ran += 1;
        let mut room = room(logits.len());
        if let Some(left) = &case.left {
            let shares = sampler.clone().left(&logits, &case.history, &mut room);
            left.differs(shares, logits.len(), ties).map(&mut complain);
        }
        let mut mu = sampler.mu;
        for (i, step) in case.steps.iter().enumerate() {
            let shares = sampler.clone().left_of_mirostat(&logits, mu, &mut room);
            let selected = shares.iter().find(|(token, _)| *token == step.selected);
            let Some(&(_, share)) = selected else {
                // Of equal tokens another may be left.
                if !ties {
                    complain(format!("step {i}: token {} is not left", step.selected));
                }
                break;
            };
            mirostat::learn(&sampler.settings.mirostat, &mut mu, share);
            if let Some(what) = step.left.differs(shares, logits.len(), ties) {
                complain(format!("step {i}: {what}"));
                break;
            }
        }
    }
    println!("{ran} cases");
    assert_eq!(wrong, 0, "cases that differ");
}

impl Sampler {
    fn scanned<'a>(logits: &'a [f32], history: &'a [TokenId], room: &'a mut Room) -> Candidates<'a> {
        let backend = Backend::detect();
        room.parts().spread.scan(backend, logits, 1.0);
        Candidates::new(backend, logits, history, room.parts(), None)
    }

    /// What the chain leaves to be drawn from.
    fn left(&mut self, logits: &[f32], history: &[TokenId], room: &mut Room) -> Vec<(TokenId, f64)> {
        let mut candidates = Sampler::scanned(logits, history, room);
        self.narrow(&mut candidates);
        if self.settings.is_greedy() {
            candidates.keep_greatest();
        }
        candidates.shares()
    }

    /// What mirostat leaves to be drawn from.
    fn left_of_mirostat(&mut self, logits: &[f32], mu: f32, room: &mut Room) -> Vec<(TokenId, f64)> {
        let mut candidates = Sampler::scanned(logits, &[], room);
        self.narrow(&mut candidates);
        mirostat::narrow(&mut candidates, &self.settings.mirostat, mu);
        candidates.shares()
    }
}
