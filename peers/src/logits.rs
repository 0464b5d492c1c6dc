//! `golden logits`, `logits` and `perplexity`: greedy continuations, top logits and perplexity by llama.cpp, of a model
//! and of its F32 form, and how far its own runs of them are apart.
//!
//! Invariant: one thread, f16 KV, no flash attention, weights in the layout of the file, so that a run repeats exactly.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::json;

use crate::llama::{self, Context, Load, Model, Outputs, Settings, Token, Yarn};
use crate::noise;
use crate::prompts::{PROMPTS, Prompt};

/// Tokens of a greedy continuation.
const STEPS: usize = 24;
/// Tokens of a window of the perplexity.
const WINDOW: usize = 512;
/// Largest logits that a sampled row keeps.
const TOP: usize = 64;

/// A prompt with what llama.cpp makes of it.
#[derive(Serialize)]
pub(crate) struct Continuation {
    kind: String,
    text: String,
    pub(crate) ids: Vec<Token>,
    /// The token of each step: the one with the largest logit.
    pub(crate) generated: Vec<Token>,
    /// For each step the two largest logits, as pairs of id and value.
    pub(crate) top2: Vec<[(Token, f32); 2]>,
    /// Text of `generated`.
    answer: String,
    /// The first step whose token ends an answer; the steps go on after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_position: Option<Sample>,
}

/// A part of the logits of the last prompt position.
#[derive(Serialize)]
struct Sample {
    /// The largest logits, in falling order.
    top: Vec<(Token, f32)>,
    /// The logits of the ids 0, 97, 194 and so on.
    every_97th: Vec<f32>,
}

/// Ids between two logits of a sampled row.
const STRIDE: usize = 97;

/// Writes `<model>.json`, the same of the model's F32 form, `noise.json` and `perplexity.json` into `folder`. The F32
/// form, four bytes per weight, is left beside the model.
pub(crate) fn write(path: &Path, text: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let model = Model::open(path, Load::Plain)?;
    let continuations = follow_all(&model, &folder.join(name(path)?))?;
    let exact_path = exact_form(path)?;
    llama::dequantize(path, &exact_path)?;
    let exact = Model::open(&exact_path, Load::Plain)?;
    let exact_continuations = follow_all(&exact, &folder.join(name(&exact_path)?))?;
    let noise = noise::measure(&model, &continuations, &exact, &exact_continuations)?;
    println!("noise: {noise}");
    save(&folder.join("noise.json"), &format!("{}\n", serde_json::to_string_pretty(&noise)?))?;
    let value = perplexity(&model, text)?;
    println!("perplexity: {value}");
    save(&folder.join("perplexity.json"), &format!("{}\n", serde_json::to_string_pretty(&value)?))
}

/// Continues every prompt and saves what comes out, a line per prompt.
fn follow_all(model: &Model, path: &Path) -> Result<Vec<Continuation>> {
    let mut continuations = Vec::new();
    for prompt in PROMPTS {
        let continuation = follow(model, prompt, STEPS)?;
        println!("{}: {:?}", prompt.kind, continuation.answer);
        continuations.push(continuation);
    }
    let lines: Vec<_> = continuations.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    save(path, &format!("[\n{}\n]\n", lines.join(",\n")))?;
    Ok(continuations)
}

/// Prints the continuation of `text` as JSON.
pub(crate) fn print(path: &Path, text: &str, steps: usize) -> Result<()> {
    let model = Model::open(path, Load::Plain)?;
    let prompt = Prompt { kind: "given", text: text.to_owned().leak(), sampled: true };
    println!("{}", serde_json::to_string_pretty(&follow(&model, &prompt, steps)?)?);
    Ok(())
}

/// Prints the perplexity of a text file as JSON.
pub(crate) fn print_perplexity(path: &Path, text: &Path) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&perplexity(&Model::open(path, Load::Plain)?, text)?)?);
    Ok(())
}

pub(crate) fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// `SmolLM2-135M-Instruct.Q4_1.gguf` -> `smollm2-135m-q4_1.json`.
fn name(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).context("a model file needs a name")?;
    Ok(format!("{}.json", stem.to_lowercase().replace("-instruct", "").replace('.', "-")))
}

/// `SmolLM2-135M-Instruct.Q4_1.gguf` -> `SmolLM2-135M-Instruct.F32.gguf` beside it.
fn exact_form(path: &Path) -> Result<PathBuf> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).context("a model file needs a name")?;
    let (name, format) = stem.rsplit_once('.').context("the format is the last part of a model's name")?;
    ensure!(format != "F32", "{} is in F32 already", path.display());
    Ok(path.with_file_name(format!("{name}.F32.gguf")))
}

/// Continues a prompt greedily; among equal logits the lowest id wins.
fn follow(model: &Model, prompt: &Prompt, steps: usize) -> Result<Continuation> {
    let ids = model.tokenize(prompt.text, true, true)?;
    ensure!(!ids.is_empty(), "the prompt has no tokens");
    let mut context = Context::open(model, &settings(ids.len() + steps))?;
    context.decode(&ids, Outputs::Last)?;
    let last_position = match prompt.sampled {
        true => Some(sample(context.last_logits()?)),
        false => None,
    };
    let (mut generated, mut top2, mut ends_at) = (Vec::new(), Vec::new(), None);
    for step in 0..steps {
        let row = top(context.last_logits()?, 2);
        let [first, second] = row[..] else { anyhow::bail!("a vocabulary of {} tokens", row.len()) };
        generated.push(first.0);
        top2.push([first, second]);
        if ends_at.is_none() && model.is_end(first.0)? {
            ends_at = Some(step);
        }
        context.decode(&[first.0], Outputs::Last)?;
    }
    let answer = String::from_utf8_lossy(&model.detokenize(&generated)?).into_owned();
    Ok(Continuation {
        kind: prompt.kind.to_owned(),
        text: prompt.text.to_owned(),
        ids,
        generated,
        top2,
        answer,
        ends_at,
        last_position,
    })
}

pub(crate) fn settings(positions: usize) -> Settings {
    Settings { positions, threads: 1, flash_attention: false, yarn: Yarn::default() }
}

fn sample(logits: &[f32]) -> Sample {
    Sample { top: top(logits, TOP), every_97th: logits.iter().copied().step_by(STRIDE).collect() }
}

/// The `count` largest logits with their ids, in falling order.
fn top(logits: &[f32], count: usize) -> Vec<(Token, f32)> {
    let mut pairs: Vec<(Token, f32)> = (0..).zip(logits.iter().copied()).collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    pairs.truncate(count);
    pairs
}

/// Perplexity of a text: its tokens, without BOS, are cut into windows of 512 that do not overlap, the last one shorter.
/// Each window starts with an empty cache, and each of its tokens but the first is predicted from those before it in
/// the window. The perplexity is exp of the mean negative natural logarithm of the predicted probabilities.
fn perplexity(model: &Model, path: &Path) -> Result<serde_json::Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let ids = model.tokenize(&text, false, false)?;
    let mut context = Context::open(model, &settings(WINDOW))?;
    let (mut sum, mut predicted) = (0f64, 0usize);
    for window in ids.chunks(WINDOW) {
        context.rewind(0)?;
        context.decode(window, Outputs::All)?;
        for (position, &next) in window.iter().skip(1).enumerate() {
            sum -= log_probability(context.logits(position)?, usize::try_from(next)?);
            predicted += 1;
        }
    }
    ensure!(predicted > 0, "{} has fewer than two tokens", path.display());
    let mean = sum / predicted as f64;
    Ok(json!({
        "tokens": ids.len(), "window": WINDOW, "predicted": predicted,
        "mean_negative_log_likelihood": mean, "perplexity": mean.exp(), "ggml": llama::version(),
    }))
}

/// Natural logarithm of the softmax of `logits` at `id`, in f64.
fn log_probability(logits: &[f32], id: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    f64::from(logits[id] - largest) - sum.ln()
}
