//! Tiny models with random adapters. Their files are the same on every machine; `tests/golden/logits/adapters.json` holds what
//! llama.cpp makes of them.

use bantam::{Adapter, Format, Model, Pool, Session, SessionOptions};
use std::sync::Arc;

use super::Random;
use super::architectures::architectures;
use super::gguf::{Gguf, Tensor};
use super::reference::{CONTEXT, Golden, Variant, every_3rd};
use super::sized;
use super::tiny::{Tiny, number};
use super::variants::tune;

/// A model and what is added to it.
pub(crate) struct Adapted {
    pub(crate) name: &'static str,
    pub(crate) model: Gguf,
    /// The files and their scales.
    pub(crate) adapters: Vec<(Gguf, f32)>,
}

/// A tiny llama whose matrices all differ.
const PLAIN: Tiny =
    Tiny { format: Format::F32, dim: 64, layers: 2, ffn: 96, heads: 4, kv_heads: 2, tied: false };

/// How an adapter is made.
#[derive(Clone, Copy)]
pub(crate) struct Make {
    pub(crate) seed: u64,
    pub(crate) rank: usize,
    pub(crate) alpha: Option<f32>,
    pub(crate) a: Format,
    pub(crate) b: Format,
}

/// One of rank 4 in F32.
pub(crate) const MAKE: Make = Make { seed: 1, rank: 4, alpha: Some(2.0), a: Format::F32, b: Format::F32 };

/// An adapter for the matrices of `model` whose names have one of these parts, in the shapes that llama.cpp asks for.
pub(crate) fn adapter(model: &Gguf, make: Make, parts: &[&str]) -> Gguf {
    let Make { seed, rank, alpha, a, b } = make;
    let (mut random, mut file) = (Random::new(seed), Gguf::new());
    let architecture = model.entries.iter().find(|(key, _)| key == "general.architecture").unwrap();
    file.set("general.architecture", architecture.1.clone());
    file.set("general.type", "adapter").set("adapter.type", "lora");
    if let Some(alpha) = alpha {
        file.set("adapter.lora.alpha", alpha);
    }
    let matrices = model.tensors.iter().filter(|tensor| tensor.shape.len() > 1);
    for tensor in matrices.filter(|tensor| parts.iter().any(|part| tensor.name.contains(part))) {
        let (k, rows, rank) = (tensor.shape[0], tensor.shape[1], rank as u64);
        let (mut a_shape, mut b_shape) = (vec![k, rank], vec![rank, rows]);
        if tensor.name == "token_embd.weight" {
            (a_shape, b_shape) = (vec![rank, rows], vec![rank, k]);
        }
        a_shape.extend(&tensor.shape[2..]);
        b_shape.extend(&tensor.shape[2..]);
        for (end, shape, format) in [("a", a_shape, a), ("b", b_shape, b)] {
            let bytes = random.weights(format, shape.iter().product::<u64>() as usize);
            let name = format!("{}.lora_{end}", tensor.name);
            file.tensors.push(Tensor { name, shape, kind: number(format), bytes, offset: None });
        }
    }
    tune(&mut file);
    file
}

/// The tiny llama, tuned so that its tokens matter.
pub(crate) fn plain(tiny: Tiny) -> Gguf {
    let mut file = tiny.gguf();
    file.set("llama.context_length", CONTEXT as u32);
    tune(&mut file);
    file
}

/// All of them.
pub(crate) fn adapted() -> Vec<Adapted> {
    let all = &["blk."][..];
    let quantised = Make { rank: 32, a: Format::Q8_0, b: Format::Q8_0, ..MAKE };
    let llama = plain(PLAIN);
    let q4_0 = plain(Tiny { tied: false, ..Tiny::new(Format::Q4_0) });
    let one = |make, parts| vec![(adapter(&llama, make, parts), 1.0)];
    let second = Make { seed: 2, rank: 3, alpha: None, a: Format::F16, b: Format::F32 };
    let halves = Make { alpha: Some(1.5), a: Format::F16, b: Format::F16, ..MAKE };
    let mut cases = vec![
        ("one", llama.clone(), one(MAKE, all)),
        ("halves", llama.clone(), one(halves, all)),
        ("bfloats", llama.clone(), one(Make { a: Format::BF16, b: Format::BF16, ..MAKE }, all)),
        ("queries_alone", llama.clone(), one(Make { rank: 1, ..MAKE }, &["attn_q"][..])),
        ("vocabulary", llama.clone(), one(MAKE, &["token_embd", "output"][..])),
        ("quantised", llama.clone(), one(quantised, &["blk.", "token_embd"][..])),
        (
            "two",
            llama.clone(),
            vec![
                (adapter(&llama, MAKE, all), 0.5),
                (adapter(&llama, second, &["attn_q", "ffn_down", "output"]), -0.75),
            ],
        ),
        ("q4_0", q4_0.clone(), vec![(adapter(&q4_0, MAKE, all), 0.8)]),
        ("q4_0_quantised", q4_0.clone(), vec![(adapter(&q4_0, quantised, all), 0.8)]),
    ];
    for Variant { name, file } in architectures() {
        // What chooses experts stays as it is: between close calls engines differ.
        let blocks = ["attn", "ffn_gate_exps", "ffn_up", "ffn_down", "ffn_gate.weight"];
        let parts: &[&str] = match name {
            "mixtral" | "phi3" | "gemma2" | "granite" => &blocks,
            // Experts and heads have biases of more dimensions than one.
            "gpt-oss" => &["attn_q.", "attn_output", "_exps.weight"],
            // llama.cpp leaves out what is added to the matrix of all layers' inputs.
            "gemma4" => &["attn", "ffn", "inp_gate", ".proj."],
            "lfm2" => &["attn", "ffn", "in_proj", "out_proj"],
            "qwen35" => &["attn", "ffn", "ssm_alpha", "ssm_beta", "ssm_out"],
            "qwen35moe" => &["attn", "_exps.weight", "_shexp.weight"],
            _ => continue,
        };
        let added = adapter(&file, MAKE, parts);
        cases.push((name, file, vec![(added, 0.6)]));
    }
    let adapted = |(name, model, adapters)| Adapted { name, model, adapters };
    cases.into_iter().map(adapted).collect()
}

/// Adapters of a model from their files.
pub(crate) fn open(model: &Model, files: &[(Gguf, f32)]) -> Vec<(Adapter, f32)> {
    let open = |(file, scale): &(Gguf, f32)| {
        (Adapter::from_bytes(model, file.write()).unwrap_or_else(|error| panic!("{error}")), *scale)
    };
    files.iter().map(open).collect()
}

/// A session with room for those adapters, which are set.
pub(crate) fn session(model: &Model, threads: usize, batch: usize, adapters: &[(Adapter, f32)]) -> Session {
    let adapter_rank = adapters.iter().map(|(adapter, _)| adapter.rank()).sum();
    let options = SessionOptions { adapter_rank, together_max: 2, ..sized(CONTEXT, batch) };
    let pool = Arc::new(Pool::new(threads).unwrap());
    let mut session = Session::open(model, pool, &options).unwrap();
    set(&mut session, adapters);
    session
}

/// Sets all of them.
pub(crate) fn set(session: &mut Session, adapters: &[(Adapter, f32)]) {
    let all: Vec<_> = adapters.iter().map(|(adapter, scale)| (adapter, *scale)).collect();
    session.set_adapters(&all).unwrap();
}

/// The logits where the golden ones are. The prompt is read in batches, the tokens behind it one by one.
pub(crate) fn logits(session: &mut Session, golden: &Golden) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    let mut keep = |position: usize, logits: &[f32]| {
        if golden.positions.contains(&position) {
            rows.push(every_3rd(logits));
        }
    };
    session.score_each(&golden.ids, &mut keep).unwrap();
    for &token in &golden.generated {
        session.decode(token).unwrap();
        keep(session.position() - 1, session.logits());
    }
    rows
}
