//! What choosing a token costs with each sampler, beside a decode step: medians over the positions of a text.
//!
//! `cargo run --release --example sampling_cost -- MODEL`

use std::sync::Arc;
use std::time::Instant;

use bantam::{
    EncodeOptions, Error, Model, Pool, Sampler, SamplerOptions, Session, SessionOptions, TokenMask,
};

const TEXT: &str = "Once upon a time, an old painter from the village opened a small shop near the harbour. Every morning she";
/// Positions behind the text at which is measured.
const POSITIONS: usize = 24;
/// Times that each chain chooses at each of them.
const TIMES: usize = 15;

fn main() -> Result<(), Error> {
    let path = std::env::args().nth(1).unwrap_or("models/SmolLM2-135M-Instruct.Q4_1.gguf".into());
    let model = Model::open(&path)?;
    let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &SessionOptions::default())?;
    let mut text = Vec::new();
    model.tokenizer().encode(TEXT, EncodeOptions::default(), &mut text)?;
    session.prefill(&text)?;

    let default = SamplerOptions { seed: 1, ..SamplerOptions::default() };
    let all = SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..default };
    let biases: Vec<_> = (0..50).map(|i| (i * 977, 0.5)).collect();
    let chains = [
        ("greedy", SamplerOptions { temperature: 0.0, ..default }),
        ("default", default),
        ("default, with 20 log-probabilities", SamplerOptions { top_logprobs: 20, ..default }),
        ("default without top-k", SamplerOptions { top_k: 0, ..default }),
        ("nothing but the draw", all),
        ("nothing but a temperature of 0.8", SamplerOptions { temperature: 0.8, ..all }),
        ("top-k 40", SamplerOptions { top_k: 40, ..all }),
        ("top-k 1000", SamplerOptions { top_k: 1000, ..all }),
        ("top-p 0.95", SamplerOptions { top_p: 0.95, ..all }),
        ("top-p 0.99", SamplerOptions { top_p: 0.99, ..all }),
        ("min-p 0.05", SamplerOptions { min_p: 0.05, ..all }),
        ("typical-p 0.9", SamplerOptions { typical_p: 0.9, ..all }),
        ("top-n-sigma 1", SamplerOptions { top_n_sigma: 1.0, ..all }),
        ("XTC alone", SamplerOptions { xtc_probability: 1.0, ..all }),
        ("dynamic temperature alone", SamplerOptions { dynatemp_range: 0.5, ..all }),
        ("mirostat 1", SamplerOptions { mirostat: 1, ..all }),
        ("mirostat 2", SamplerOptions { mirostat: 2, ..all }),
        (
            "default with penalties",
            SamplerOptions { repeat_penalty: 1.1, presence_penalty: 0.1, frequency_penalty: 0.1, ..default },
        ),
        ("default with DRY", SamplerOptions { dry_multiplier: 0.8, ..default }),
        ("default with 50 biases", SamplerOptions { logit_bias: &biases, ..default }),
    ];
    let mut samplers = Vec::new();
    for (name, options) in chains {
        samplers.push((name, Sampler::with_tokenizer(options, model.tokenizer())?, false));
    }
    samplers.push(("default, half of the tokens masked", Sampler::new(default)?, true));
    let words = vec![0x5a5a_5a5au32; model.hyper().vocab_size.div_ceil(32)];

    let mut walk = Sampler::new(default)?;
    let mut steps = Vec::new();
    let mut costs = vec![Vec::new(); samplers.len()];
    for _ in 0..POSITIONS {
        for _ in 0..TIMES {
            for ((_, sampler, masked), costs) in samplers.iter_mut().zip(&mut costs) {
                let allowed = masked.then(|| TokenMask::new(&words));
                let start = Instant::now();
                session.choose(sampler, allowed)?;
                costs.push(start.elapsed().as_secs_f64());
            }
        }
        let token = session.sample(&mut walk)?;
        let start = Instant::now();
        session.decode(token)?;
        steps.push(start.elapsed().as_secs_f64());
    }
    let step = median(&mut steps);
    println!("decode step: {:.0} us, on {}", 1e6 * step, model.backend().name());
    for ((name, ..), costs) in samplers.iter().zip(&mut costs) {
        let cost = median(costs);
        println!("{:8.1} us {:6.2} %  {name}", 1e6 * cost, 100.0 * cost / step);
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
