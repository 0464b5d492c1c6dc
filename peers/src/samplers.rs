//! `golden samplers`: what llama.cpp's samplers, alone and in chains, leave of given logits.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::chain::{Chain, Left, Stage};
use crate::llama::{Context, Load, Model, Outputs, Settings, Token, Yarn};

/// Of what is left, so many tokens are written, the likeliest first; of all, how many they are and the sum of their ids.
const WRITTEN: usize = 12;

/// A model's logits are cut down to this many of the likeliest, and every 16th of the others.
const LIKELIEST: usize = 512;

/// A text behind which the model's logits are taken.
const PROMPTS: [(&str, &str); 2] = [
    ("certain", "The capital of France is"),
    ("undecided", "Yesterday the old painter from the village opened a"),
];

/// Numbers from a formula that needs nothing but exact sums and products: `size` times the sum of three digits of a
/// congruential generator, less their mean; equal ones every `period`.
fn formula(tokens: usize, size: f64, period: usize) -> Vec<f32> {
    (0..tokens)
        .map(|token| {
            let mut state = (token % period) as u64 + 1;
            let mut sum = 0;
            for _ in 0..3 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                sum += state >> 40;
            }
            (size * (sum as f64 / 16_777_216.0 - 1.5)) as f32
        })
        .collect()
}

/// Logits, and how the test gets them.
fn sources(model: &Path) -> Result<Vec<(Value, Vec<f32>)>> {
    let mut sources = Vec::new();
    for (tokens, size, period) in [
        (1, 1.0, 9),
        (2, 6.0, 9),
        (5, 4.0, 9),
        (300, 6.0, 1000),
        (300, 6.0, 40),
        (3000, 8.0, 5000),
        (49152, 9.0, 99991),
        (49152, 16.0, 99991),
        (49152, 0.0, 99991),
    ] {
        let description = json!({"tokens": tokens, "size": size, "period": period});
        sources.push((description, formula(tokens, size, period)));
    }
    let model = Model::open(model, Load::Plain)?;
    for (name, text) in PROMPTS {
        let settings = Settings { positions: 64, threads: 1, flash_attention: false, yarn: Yarn::default() };
        let mut context = Context::open(&model, &settings)?;
        context.decode(&model.tokenize(text, true, true)?, Outputs::Last)?;
        let logits = context.last_logits()?;
        let mut ids: Vec<usize> = (0..logits.len()).collect();
        ids.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        let mut kept: Vec<usize> = ids[..LIKELIEST].to_vec();
        kept.extend(ids[LIKELIEST..].iter().filter(|id| **id % 16 == 0));
        kept.sort_unstable();
        let logits = kept.into_iter().map(|id| logits[id]).collect();
        sources.push((json!({"file": format!("{name}.f32")}), logits));
    }
    Ok(sources)
}

/// A history in which tokens and runs of tokens repeat.
fn history(tokens: usize) -> Vec<Token> {
    let run = [3, 7, 7, 1, 12, 3, 7, 7, 1, 12, 40, 5, 3, 7, 7, 1, 9, 2, 2, 2, 2, 5, 12, 40, 5, 3, 7, 7, 1];
    run.iter().map(|token| token % tokens as Token).collect()
}

fn temperature(temperature: f32) -> Stage<'static> {
    Stage::Temperature { temperature, range: 0.0, exponent: 1.0 }
}

fn dry(multiplier: f32, base: f32, allowed_length: i32, last_n: i32) -> Stage<'static> {
    Stage::Dry { multiplier, base, allowed_length, last_n, breakers: &[] }
}

/// The default chain, with some stages changed.
fn chain(changed: &[Stage<'static>]) -> Vec<Stage<'static>> {
    let default = [
        Stage::Penalties { last_n: 64, repeat: 1.0, frequency: 0.0, presence: 0.0 },
        dry(0.0, 1.75, 2, 64),
        Stage::TopNSigma(-1.0),
        Stage::TopK(40),
        Stage::TypicalP(1.0),
        Stage::TopP(0.95),
        Stage::MinP(0.05),
        Stage::Xtc { probability: 0.0, threshold: 0.1 },
        temperature(0.8),
    ];
    let same = |a: &Stage<'_>, b: &Stage<'_>| std::mem::discriminant(a) == std::mem::discriminant(b);
    default
        .into_iter()
        .map(|stage| *changed.iter().find(|other| same(other, &stage)).unwrap_or(&stage))
        .collect()
}

/// Chains to be run on every logits.
fn chains() -> Vec<Vec<Stage<'static>>> {
    let mut chains: Vec<Vec<Stage<'static>>> = Vec::new();
    let mut alone = |stages: &[Stage<'static>]| chains.extend(stages.iter().map(|stage| vec![*stage]));
    alone(&[1, 2, 40, 1000, 0].map(Stage::TopK));
    alone(&[0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0].map(Stage::TopP));
    alone(&[0.0, 0.001, 0.05, 0.3, 1.0].map(Stage::MinP));
    alone(&[0.0, 0.2, 0.5, 0.9, 0.99, 1.0].map(Stage::TypicalP));
    alone(&[-1.0, 0.0, 0.5, 1.0, 2.5].map(Stage::TopNSigma));
    alone(&[0.0, 0.25, 0.8, 1.0, 1.7, 30.0].map(temperature));
    for (range, exponent) in [(0.5, 1.0), (2.0, 1.0), (0.3, 0.5), (0.7, 3.0)] {
        alone(&[Stage::Temperature { temperature: 0.9, range, exponent }]);
    }
    for threshold in [0.0005, 0.02, 0.1, 0.3, 0.6] {
        alone(&[Stage::Xtc { probability: 1.0, threshold }]);
    }
    for (last_n, repeat, frequency, presence) in [
        (64, 1.3, 0.0, 0.0),
        (64, 1.0, 0.4, 0.0),
        (64, 1.0, 0.0, 0.7),
        (8, 1.1, 0.2, 0.3),
        (0, 2.0, 1.0, 1.0),
        (64, 0.8, -0.5, -0.2),
    ] {
        alone(&[Stage::Penalties { last_n, repeat, frequency, presence }]);
    }
    for (multiplier, base, allowed, last_n) in [
        (0.8, 1.75, 2, 64),
        (0.5, 1.2, 1, 64),
        (1.0, 3.0, 4, 64),
        (0.8, 1.75, 2, 10),
        (0.8, 1.0, 0, 64),
        (0.8, 1.75, 30, 64),
    ] {
        alone(&[dry(multiplier, base, allowed, last_n)]);
    }
    alone(&[Stage::LogitBias(&[(0, 2.5), (1, f32::NEG_INFINITY), (4, -3.0), (1, 1.0)])]);

    chains.push(chain(&[]));
    chains.push(chain(&[temperature(0.0)]));
    chains.push(chain(&[Stage::TopK(0)]));
    chains.push(chain(&[Stage::TopK(0), Stage::TypicalP(0.8), Stage::TopP(1.0)]));
    chains.push(chain(&[Stage::TopNSigma(1.0), Stage::MinP(0.02), temperature(1.5)]));
    chains.push(chain(&[Stage::Xtc { probability: 1.0, threshold: 0.1 }, Stage::MinP(0.0)]));
    chains.push(chain(&[
        Stage::TopK(0),
        Stage::TopP(1.0),
        Stage::MinP(0.02),
        Stage::Xtc { probability: 1.0, threshold: 0.05 },
    ]));
    chains.push(chain(&[
        Stage::Penalties { last_n: 20, repeat: 1.1, frequency: 0.1, presence: 0.2 },
        dry(0.8, 1.75, 2, 64),
        Stage::Temperature { temperature: 1.0, range: 0.6, exponent: 1.2 },
    ]));
    // Other orders.
    chains.push(vec![temperature(1.4), Stage::TopP(0.9)]);
    chains.push(vec![temperature(0.6), Stage::MinP(0.1), Stage::TypicalP(0.9)]);
    chains.push(vec![
        temperature(2.0),
        Stage::Penalties { last_n: 64, repeat: 1.3, frequency: 0.1, presence: 0.0 },
        Stage::TopK(20),
    ]);
    chains.push(vec![Stage::TopK(30), dry(0.8, 1.75, 2, 64), Stage::TopP(0.9)]);
    chains.push(vec![Stage::MinP(0.01), Stage::TopNSigma(1.0), Stage::TopK(5)]);
    chains.push(vec![
        Stage::LogitBias(&[(3, f32::NEG_INFINITY), (2, 4.0)]),
        Stage::TopK(10),
        temperature(0.5),
    ]);
    chains
}

/// A number as short as it can be without becoming another.
fn short(number: f32) -> Value {
    // JSON has no infinity.
    number.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// A stage as the test reads it.
fn described(stage: &Stage<'_>) -> Value {
    match *stage {
        Stage::LogitBias(biases) => {
            let biases: Vec<_> = biases.iter().map(|&(token, bias)| json!([token, short(bias)])).collect();
            json!({"logit_bias": biases})
        }
        Stage::Penalties { last_n, repeat, frequency, presence } => json!({"penalties": {
            "last_n": last_n, "repeat": short(repeat), "frequency": short(frequency), "presence": short(presence),
        }}),
        Stage::Dry { multiplier, base, allowed_length, last_n, breakers } => json!({"dry": {
            "multiplier": short(multiplier), "base": short(base), "allowed_length": allowed_length,
            "last_n": last_n, "breakers": breakers,
        }}),
        Stage::TopNSigma(n) => json!({"top_n_sigma": short(n)}),
        Stage::TopK(k) => json!({"top_k": k}),
        Stage::TypicalP(p) => json!({"typ_p": short(p)}),
        Stage::TopP(p) => json!({"top_p": short(p)}),
        Stage::MinP(p) => json!({"min_p": short(p)}),
        Stage::Xtc { probability, threshold } => {
            json!({"xtc": {"probability": short(probability), "threshold": short(threshold)}})
        }
        Stage::Temperature { temperature, range, exponent } => json!({"temperature": {
            "temperature": short(temperature), "range": short(range), "exponent": short(exponent),
        }}),
        Stage::Mirostat { version, target, rate } => {
            json!({"mirostat": {"version": version, "target": short(target), "rate": short(rate)}})
        }
        Stage::Dist => Value::Null,
    }
}

/// Seven digits of a number, which is positive.
fn rounded(p: f32) -> f64 {
    format!("{p:.6e}").parse().unwrap_or(f64::from(p))
}

/// What is left and can be drawn: how many, the sum of their ids, and the likeliest.
fn left(mut left: Vec<Left>) -> Value {
    left.retain(|(_, p)| *p > 0.0);
    left.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let ids: i64 = left.iter().map(|(id, _)| i64::from(*id)).sum();
    let likeliest: Vec<_> = left.iter().take(WRITTEN).map(|(id, p)| json!([id, rounded(*p)])).collect();
    json!({"count": left.len(), "ids": ids, "likeliest": likeliest})
}

/// Writes the files into `folder`.
pub(crate) fn write(model: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut lines = Vec::new();
    for (description, logits) in sources(model)? {
        if let Some(file) = description["file"].as_str() {
            let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
            std::fs::write(folder.join(file), bytes)?;
        }
        let history = history(logits.len());
        for stages in chains() {
            if stages.iter().any(|stage| matches!(stage, Stage::LogitBias(_))) && logits.len() < 5 {
                continue;
            }
            let with_dist: Vec<_> = stages.iter().copied().chain([Stage::Dist]).collect();
            let mut chain = Chain::new(&with_dist, logits.len(), None)?;
            chain.accept(&history);
            let (remaining, _) = chain.apply(&logits)?;
            let looks_back = |stage: &Stage<'_>| matches!(stage, Stage::Penalties { .. } | Stage::Dry { .. });
            let history = if stages.iter().any(looks_back) { &history[..] } else { &[] };
            lines.push(json!({
                "logits": description, "history": history,
                "stages": stages.iter().map(described).collect::<Vec<_>>(), "left": left(remaining),
            }));
        }
        if logits.len() < 300 {
            continue;
        }
        for (version, target, rate) in [(1, 5.0, 0.1), (1, 3.0, 0.3), (2, 5.0, 0.1), (2, 2.0, 0.5)] {
            let stage = Stage::Mirostat { version, target, rate };
            let mut chain = Chain::new(&[temperature(0.9), stage], logits.len(), None)?;
            let mut steps = Vec::new();
            for _ in 0..6 {
                let (remaining, selected) = chain.apply(&logits)?;
                steps.push(json!({"left": left(remaining), "selected": selected}));
            }
            lines.push(json!({"logits": description, "history": [], "stages": [described(&temperature(0.9)), described(&stage)], "steps": steps}));
        }
    }
    breakers(model, &mut lines)?;
    let mut file = String::from("[\n");
    for (i, line) in lines.iter().enumerate() {
        writeln!(file, "{line}{}", if i + 1 < lines.len() { "," } else { "" })?;
    }
    file.push_str("]\n");
    let target = folder.join("cases.json");
    std::fs::write(&target, file).with_context(|| format!("writing {}", target.display()))?;
    println!("{} cases -> {}", lines.len(), target.display());
    Ok(())
}

/// DRY with sequence breakers, which are texts, on the model's vocabulary.
fn breakers(model: &Path, lines: &mut Vec<Value>) -> Result<()> {
    let model = Model::open(model, Load::Vocabulary)?;
    let tokens = model.vocabulary_size();
    let logits = formula(tokens, 9.0, 99991);
    for text in [
        "one: two three four. one: two three four. one: two three",
        "She said \"come here\" and he said \"come here\" and then she said \"come",
        "a b c d e\na b c d e\na b c d e\na b c",
        "the cat*the cat*the cat*the",
        "User: hello there, my friend. User: hello there, my",
        "end of line.\n\nend of line.\n\nend of",
    ] {
        let history = model.tokenize(text, false, false)?;
        for breakers in
            [&["\n", ":", "\"", "*"][..], &["User:", "ll"], &[".\n\n", " and he"], &["xyzzy"], &[]]
        {
            for allowed_length in [1, 2] {
                let stage = Stage::Dry { multiplier: 0.8, base: 1.75, allowed_length, last_n: 64, breakers };
                let mut chain = Chain::new(&[stage, Stage::TopK(1000), Stage::Dist], tokens, Some(&model))?;
                chain.accept(&history);
                // The tokens of the history are likely, so that what befalls them is seen.
                let mut logits = logits.clone();
                history.iter().for_each(|&token| logits[token as usize] = 12.0);
                let (remaining, _) = chain.apply(&logits)?;
                lines.push(json!({
                    "logits": {"tokens": tokens, "size": 9.0, "period": 99991, "likely": 12.0},
                    "history": history, "stages": [described(&stage), described(&Stage::TopK(1000))], "left": left(remaining),
                }));
            }
        }
    }
    Ok(())
}
