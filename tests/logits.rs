//! The demo model against llama.cpp's own values (`tests/golden/logits`): greedy continuations, logits, perplexity.
//!
//! With quantised weights both engines round activations to 8 bits in every layer, and the smallest difference before
//! a rounding grows to a level that llama.cpp also shows against itself (`noise.json`). So tokens are compared one by
//! one on the model's F32 form, where nothing is rounded so; and the quantised model has to be as near to the F32 form
//! as llama.cpp's is, and as near to llama.cpp as that is to itself.

mod common;

use std::sync::Arc;

use bantam::mmap::Mapping;
use bantam::{Backend, EncodeOptions, Model};
use common::dequantized::dequantized;
use serde::Deserialize;

/// Where another token is chosen on the F32 form, its two candidates must be this close.
const NEAR_TIE: f32 = 0.02;
/// Both keep keys and values as halves, and llama.cpp rounds queries to halves too.
const F32_NMSE_MAX: f64 = 1e-6;
/// How much further from the F32 form than llama.cpp, or from llama.cpp than that from itself, a run may be. The figures
/// are means over 960 logits; other roundings move them by a few per cent.
const DEVIATION_MAX: f64 = 1.15;
/// A gap of the quantised model that is turned around, in multiples of the gaps' root mean square deviation between
/// two runs of llama.cpp. The widest that it turns around itself is one of 2.7.
const TURNED_GAP_MAX: f64 = 5.0;
/// The most columns that share the order of operations of one.
const COLUMNS: usize = 16;

#[derive(Deserialize)]
struct Prompt {
    kind: String,
    text: String,
    ids: Vec<u32>,
    generated: Vec<u32>,
    top2: Vec<[(u32, f32); 2]>,
    last_position: Option<LastPosition>,
}

#[derive(Deserialize)]
struct LastPosition {
    top: Vec<(u32, f32)>,
    every_97th: Vec<f32>,
}

#[derive(Deserialize)]
struct Noise {
    quantised_from_f32: Deviation,
    quantised_flash_attention: Deviation,
    f32_flash_attention: Deviation,
}

#[derive(Deserialize)]
struct Deviation {
    logit_rms: f64,
    gap_rms: f64,
}

#[derive(Deserialize)]
struct Perplexity {
    tokens: usize,
    predicted: i32,
    perplexity: f64,
}

/// How far a model's logits are from a golden file's, along the tokens of the file.
#[derive(Default)]
struct Comparison {
    steps: usize,
    /// The gap between the file's two top logits at every step where the model chooses another token.
    turned_gaps: Vec<f32>,
    /// Of these, the steps where it chooses neither of the two.
    strangers: usize,
    /// Of the two top logits of each step.
    logit_rms: f64,
    /// The worst of the samples after whole prompts.
    nmse: f64,
}

fn prompts(name: &str) -> Vec<Prompt> {
    serde_json::from_str(&common::golden(name)).unwrap()
}

fn noise() -> Noise {
    serde_json::from_str(&common::golden("logits/noise.json")).unwrap()
}

/// The demo model on every backend that is quick enough for whole prompts; none if it is not there.
fn demo_models() -> impl Iterator<Item = Model> {
    let quick = |backend: &Backend| backend.name() != "scalar" || common::only_scalar();
    Backend::available().filter(quick).filter_map(|backend| {
        let model = common::demo(backend)?;
        println!("backend {}: ran", backend.name());
        Some(model)
    })
}

fn most_likely(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// Compares along all prompts; `columns` tokens are read at once behind a prompt, which changes no bit.
fn compare(model: &Model, prompts: &[Prompt], columns: usize) -> Comparison {
    let mut session = common::session(model, 2, 1024, 256);
    let (mut all, mut squared) = (Comparison::default(), 0.0);
    for prompt in prompts {
        session.rewind(0);
        session.prefill(&prompt.ids).unwrap();
        if let Some(expected) = &prompt.last_position {
            all.nmse = all.nmse.max(nmse(session.logits(), expected));
        }
        let mut check = |step: usize, logits: &[f32]| {
            let [first, second] = prompt.top2[step];
            for (id, logit) in [first, second] {
                squared += f64::from(logits[id as usize] - logit).powi(2);
            }
            let ours = most_likely(logits);
            if ours != first.0 {
                all.turned_gaps.push(first.1 - second.1);
                all.strangers += usize::from(ours != second.0);
            }
            all.steps += 1;
        };
        check(0, session.logits());
        let mut step = 1;
        for tokens in prompt.generated[..prompt.top2.len() - 1].chunks(columns) {
            session.score_each(tokens, |i, logits| check(step + i, logits)).unwrap();
            step += tokens.len();
        }
    }
    all.logit_rms = (squared / (2 * all.steps) as f64).sqrt();
    let (name, turned) = (model.backend().name(), &all.turned_gaps);
    println!(
        "{name}: logits rms {:.4}, nmse {:.1e}; {} of {} steps turned: {turned:?}",
        all.logit_rms,
        all.nmse,
        turned.len(),
        all.steps
    );
    all
}

/// The logits of the file's two top tokens at every step, where prompts are read in batches of that many tokens.
fn top_logits(model: &Model, prompts: &[Prompt], batch: usize) -> Vec<f32> {
    let mut session = common::session(model, 2, 1024, batch);
    let mut all = Vec::new();
    for prompt in prompts {
        session.rewind(0);
        session.prefill(&prompt.ids).unwrap();
        all.extend(prompt.top2[0].map(|(id, _)| session.logits()[id as usize]));
        let behind = &prompt.generated[..prompt.top2.len() - 1];
        for (tokens, top2) in behind.chunks(COLUMNS).zip(prompt.top2[1..].chunks(COLUMNS)) {
            let show = |i: usize, logits: &[f32]| all.extend(top2[i].map(|(id, _)| logits[id as usize]));
            session.score_each(tokens, show).unwrap();
        }
    }
    all
}

/// Normalised mean square error: of the differences, in units of the expected values.
fn nmse(logits: &[f32], expected: &LastPosition) -> f64 {
    let top = expected.top.iter().map(|&(id, logit)| (logits[id as usize], logit));
    let sparse = expected.every_97th.iter().zip(logits.iter().step_by(97)).map(|(&e, &l)| (l, e));
    let (mut error, mut power) = (0.0, 0.0);
    for (ours, theirs) in top.chain(sparse) {
        error += f64::from(ours - theirs).powi(2);
        power += f64::from(theirs).powi(2);
    }
    error / power
}

#[test]
fn prompts_have_llama_cpps_tokens() {
    let Some(model) = demo_models().next() else { return };
    for prompt in prompts("logits/smollm2-135m-q4_1.json") {
        let mut ids = Vec::new();
        let options = EncodeOptions { parse_special: true, ..Default::default() };
        model.tokenizer().encode(&prompt.text, options, &mut ids).unwrap();
        assert_eq!(ids, prompt.ids, "{} {:?}", prompt.kind, prompt.text);
    }
}

#[test]
fn greedy_continuations_are_llama_cpps() {
    let Some(path) = common::demo_model() else { return };
    let demo = Model::open(path).unwrap();
    let exact: Arc<[u8]> = dequantized(demo.file()).into();
    // Scalar, written to be read, takes a second for a short prompt.
    let scalar = Backend::by_name("scalar").unwrap();
    for (backend, tokens_max) in [(demo.backend(), usize::MAX), (scalar, 9)] {
        let mapping = Mapping::from_bytes(exact.clone()).unwrap();
        let model = Model::from_mapping(mapping, &common::forced(backend)).unwrap();
        let mut prompts = prompts("logits/smollm2-135m-f32.json");
        prompts.retain(|prompt| prompt.ids.len() <= tokens_max);
        let found = compare(&model, &prompts, COLUMNS);
        assert!(found.turned_gaps.iter().all(|gap| *gap < NEAR_TIE), "{:?}", found.turned_gaps);
        assert_eq!(found.strangers, 0, "a token that is neither of llama.cpp's top two");
        assert!(found.nmse < F32_NMSE_MAX, "{}", found.nmse);
        let ratio = found.logit_rms / noise().f32_flash_attention.logit_rms;
        println!("{}: {ratio:.3} of llama.cpp's deviation from itself", backend.name());
        assert!(ratio < DEVIATION_MAX, "{ratio}");
        println!("backend {}: ran", backend.name());
    }
}

#[test]
fn quantised_weights_deviate_no_more_than_llama_cpps() {
    let theirs = noise().quantised_from_f32;
    for model in demo_models() {
        let found = compare(&model, &prompts("logits/smollm2-135m-f32.json"), COLUMNS);
        let ratio = found.logit_rms / theirs.logit_rms;
        println!("{}: {ratio:.3} of llama.cpp's deviation", model.backend().name());
        assert!(ratio < DEVIATION_MAX, "{ratio}");
    }
}

#[test]
fn quantised_continuations_part_from_llama_cpps_as_its_own_do() {
    let theirs = noise().quantised_flash_attention;
    for model in demo_models() {
        let found = compare(&model, &prompts("logits/smollm2-135m-q4_1.json"), 1);
        let ratio = found.logit_rms / theirs.logit_rms;
        println!("{}: {ratio:.3} of llama.cpp's deviation from itself", model.backend().name());
        assert!(ratio < DEVIATION_MAX, "{ratio}");
        let widest = found.turned_gaps.iter().copied().fold(0.0, f32::max);
        assert!(f64::from(widest) < TURNED_GAP_MAX * theirs.gap_rms, "{widest}");
    }
}

/// Where llama.cpp's attentions part, there is nothing to tell narrow batches from wide ones.
#[test]
fn wide_batches_give_the_logits_of_narrow_ones() {
    let mut prompts = prompts("logits/smollm2-135m-q4_1.json");
    prompts.retain(|prompt| prompt.ids.len() > COLUMNS);
    for model in demo_models() {
        if !model.formats().all(|format| model.backend().has_one_order(format)) {
            println!("skipped: wide products of {} have an order of their own", model.backend().name());
            continue;
        }
        let [narrow, wide] = [COLUMNS, 256].map(|batch| top_logits(&model, &prompts, batch));
        assert!(narrow == wide, "{}", model.backend().name());
    }
}

#[test]
fn perplexity_is_llama_cpps() {
    let text = common::golden("perplexity.txt");
    let theirs: Perplexity = serde_json::from_str(&common::golden("logits/perplexity.json")).unwrap();
    let Some(path) = common::demo_model() else { return };
    let model = Model::open(path).unwrap();
    let mut ids = Vec::new();
    model.tokenizer().encode(&text, EncodeOptions::default(), &mut ids).unwrap();
    let mut session = common::session(&model, 2, 512, 256);
    let (mut sum, mut n) = (0.0, 0);
    for window in ids.chunks(512) {
        session.rewind(0);
        let score = |i: usize, logits: &[f32]| {
            let Some(&next) = window.get(i + 1) else { return };
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
            sum -= f64::from(logits[next as usize] - max) - total.ln();
            n += 1;
        };
        session.score_each(window, score).unwrap();
    }
    assert_eq!((ids.len(), n), (theirs.tokens, theirs.predicted));
    let ours = (sum / f64::from(n)).exp();
    println!("{}: perplexity {ours:.4}, llama.cpp's {:.4}", model.backend().name(), theirs.perplexity);
    assert!((ours / theirs.perplexity - 1.0).abs() < 0.005, "{ours}");
}
