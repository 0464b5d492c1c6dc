//! How far llama.cpp's own runs over the same tokens are apart. Activations are rounded to 8 bits before every product
//! with quantised weights, so a difference in the last bit anywhere grows to a level that belongs to the model: no two
//! engines are closer than that. Here it is measured between one engine and itself.
#![forbid(unsafe_code)]

use anyhow::Result;
use serde_json::{Value, json};

use crate::llama::{self, Context, Model, Outputs, Settings, Token};
use crate::logits::{Continuation, settings};

/// How a prompt is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefill {
    /// In one batch.
    Whole,
    /// Token by token.
    ByToken,
}

/// Deviations of the quantised model from its F32 form, and of both from themselves when run in another way.
pub(crate) fn measure(
    model: &Model,
    continuations: &[Continuation],
    exact: &Model,
    exact_continuations: &[Continuation],
) -> Result<Value> {
    let flash = |positions| Settings { flash_attention: true, ..settings(positions) };
    Ok(json!({
        "ggml": llama::version(),
        "quantised_from_f32": deviation(model, exact_continuations, settings, Prefill::Whole)?,
        "quantised_flash_attention": deviation(model, continuations, flash, Prefill::Whole)?,
        "quantised_by_token": deviation(model, continuations, settings, Prefill::ByToken)?,
        "f32_flash_attention": deviation(exact, exact_continuations, flash, Prefill::Whole)?,
        "f32_by_token": deviation(exact, exact_continuations, settings, Prefill::ByToken)?,
    }))
}

/// Runs `model` over the tokens of `continuations` and compares the logits of their two top tokens at every step.
fn deviation(
    model: &Model,
    continuations: &[Continuation],
    settings: impl Fn(usize) -> Settings,
    prefill: Prefill,
) -> Result<Value> {
    let (mut steps, mut logits_squared, mut gaps_squared) = (0u32, 0.0, 0.0);
    let (mut flips, mut flipped_gap_max) = (0u32, 0f32);
    for known in continuations {
        let mut context = Context::open(model, &settings(known.ids.len() + known.generated.len()))?;
        let batch = if prefill == Prefill::Whole { known.ids.len() } else { 1 };
        for tokens in known.ids.chunks(batch) {
            context.decode(tokens, Outputs::Last)?;
        }
        for (&token, [first, second]) in known.generated.iter().zip(&known.top2) {
            let logits = context.last_logits()?;
            let [a, b] = [first, second].map(|(id, logit)| f64::from(logits[*id as usize] - logit));
            logits_squared += a * a + b * b;
            gaps_squared += (a - b) * (a - b);
            steps += 1;
            if largest(logits) != token {
                flips += 1;
                flipped_gap_max = flipped_gap_max.max(first.1 - second.1);
            }
            context.decode(&[token], Outputs::Last)?;
        }
    }
    Ok(json!({
        "steps": steps,
        "logit_rms": (logits_squared / f64::from(2 * steps)).sqrt(),
        "gap_rms": (gaps_squared / f64::from(steps)).sqrt(),
        "flips": flips,
        "flipped_gap_max": flipped_gap_max,
    }))
}

/// The token with the largest logit, the lowest id among equals.
pub(crate) fn largest(logits: &[f32]) -> Token {
    let best = (0..).zip(logits).max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.map_or(0, |(id, _)| id)
}
