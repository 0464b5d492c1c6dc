//! A tiny model of every architecture (`tests/common/architectures.rs`) against llama.cpp's logits
//! (`tests/golden/logits/architectures.json`); and what a session does with it besides reading: it saves, forks and goes back.

mod common;

use std::sync::Arc;

use bantam::{
    Backend, Error, Format, GenerateOptions, Generator, Model, Overflow, Pool, Sampler, Session,
    SessionOptions, StopReason,
};
use common::architectures::architectures;
use common::dequantized::dequantized;
use common::reference::{self, CONTEXT, Golden, Variant, every_3rd, logits, nmse};
use common::{bits, session, sized};

/// Mean square error of a model in F32, in units of the expected logits' mean square.
const F32_NMSE_MAX: f64 = 1e-5;
/// The same where most of it is llama.cpp's own: its Gaussian unit goes through a table of halves.
const GELU_NMSE_MAX: f64 = 1e-4;
/// How much further from the F32 form of its weights a quantised model may be than llama.cpp, in mean square.
const QUANTISED_MAX: f64 = 3.0;
/// How far llama.cpp is from that form at most.
const QUANTISED_NMSE_MAX: f64 = 1e-2;

/// All models with what llama.cpp makes of them.
fn pairs() -> impl Iterator<Item = (Variant, Golden)> {
    reference::pairs(architectures(), "logits/architectures.json")
}

fn is_f32(variant: &Variant) -> bool {
    variant.file.tensors.iter().all(|tensor| tensor.kind == common::tiny::number(Format::F32))
}

/// Whether layers of the model carry a state from token to token.
fn carries(variant: &Variant) -> bool {
    variant.file.tensors.iter().any(|tensor| tensor.name.contains("conv"))
}

fn nmse_max(variant: &Variant) -> f64 {
    if variant.name.starts_with("gemma4") { GELU_NMSE_MAX } else { F32_NMSE_MAX }
}

#[test]
fn models_in_f32_have_llama_cpps_logits() {
    let mut failed = Vec::new();
    for (variant, golden) in pairs().filter(|(variant, _)| is_f32(variant)) {
        let bytes = variant.file.write();
        for backend in Backend::available() {
            let model = common::model(bytes.clone(), backend);
            // One batch, batches that end in windows, and of few tokens.
            for batch in [128, 32, 5] {
                let nmse = nmse(&logits(&model, &golden, batch), &golden.every_3rd);
                println!("{} on {}, {batch}: nmse {nmse:.1e}", variant.name, backend.name());
                if nmse.is_nan() || nmse > nmse_max(&variant) {
                    failed.push((variant.name, backend.name(), batch, nmse));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn quantised_models_are_as_near_to_their_f32_form_as_llama_cpps() {
    let mut failed = Vec::new();
    for (variant, golden) in pairs().filter(|(variant, _)| !is_f32(variant)) {
        let bytes = variant.file.write();
        for backend in Backend::available() {
            let model = common::model(bytes.clone(), backend);
            let exact = common::model(dequantized(model.file()), backend);
            let exact = logits(&exact, &golden, 32);
            let (ours, theirs) =
                (nmse(&logits(&model, &golden, 32), &exact), nmse(&golden.every_3rd, &exact));
            let (name, backend) = (variant.name, backend.name());
            let ratio = ours / theirs;
            println!(
                "{name} on {backend}: nmse from F32 {ours:.1e}, llama.cpp's {theirs:.1e}, ratio {ratio:.2}"
            );
            if ratio.is_nan() || ratio > QUANTISED_MAX || theirs > QUANTISED_NMSE_MAX {
                failed.push((name, backend, ours, theirs));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// Where rows are no whole blocks, converters leave a matrix in halves or floats: so experts may be kept otherwise than the wider
/// layers before them.
#[test]
fn hidden_values_are_blocks_in_some_layers_and_floats_in_narrower_ones() {
    let mut all: Vec<_> = pairs().filter(|(variant, _)| variant.name.starts_with("lfm2moe")).collect();
    let [(exact, _), (mixed, golden)] = &mut all[..] else { panic!("two of them") };
    let is_down = |tensor: &common::gguf::Tensor| tensor.name.ends_with("ffn_down_exps.weight");
    for tensor in mixed.file.tensors.iter_mut().filter(|tensor| is_down(tensor)) {
        *tensor = exact.file.tensor(&tensor.name).clone();
    }
    for backend in Backend::available() {
        let model = common::model(mixed.file.write(), backend);
        let exact = common::model(dequantized(model.file()), backend);
        for batch in [128, 5] {
            let nmse = nmse(&logits(&model, golden, batch), &logits(&exact, golden, batch));
            assert!(nmse < QUANTISED_NMSE_MAX, "on {}, {batch}: {nmse:.1e}", backend.name());
        }
    }
}

/// Prompts of 1, 7 and 70 tokens, each the start of the golden one.
#[test]
fn prompts_of_any_length_have_llama_cpps_logits() {
    for (variant, golden) in pairs().filter(|(variant, _)| is_f32(variant)) {
        let model = Model::from_bytes(variant.file.write()).unwrap();
        for (position, expected) in golden.positions.iter().zip(&golden.every_3rd).take(3) {
            let mut session = session(&model, 2, CONTEXT, 128);
            session.prefill(&golden.ids[..=*position]).unwrap();
            let nmse = nmse(&[every_3rd(session.logits())], std::slice::from_ref(expected));
            assert!(nmse < nmse_max(&variant), "{} at {position}: {nmse:.1e}", variant.name);
        }
    }
}

/// What a session holds is the same after it was saved, forked, or went back over tokens that are gone.
#[test]
fn sessions_save_fork_and_go_back() {
    for (variant, golden) in pairs() {
        for backend in [Backend::detect(), Backend::by_name("scalar").unwrap()] {
            let model = common::model(variant.file.write(), backend);
            let (start, rest) = golden.ids.split_at(50);
            let mut straight = session(&model, 1, CONTEXT, 16);
            straight.prefill(start).unwrap();
            let mut saved = vec![0; straight.saved_bytes()];
            straight.save_to(&mut saved).unwrap();
            let mut restored = session(&model, 2, CONTEXT, 16);
            restored.restore_from(&saved).unwrap();
            let mut fork = straight.fork().unwrap();
            let mut back = session(&model, 3, CONTEXT, 16);
            back.prefill(start).unwrap();
            back.prefill(&golden.generated).unwrap();
            back.rewind(start.len());
            for session in [&mut straight, &mut restored, &mut fork, &mut back] {
                session.prefill(rest).unwrap();
            }
            for (session, what) in [(&restored, "restored"), (&fork, "forked"), (&back, "went back")] {
                assert!(bits(session) == bits(&straight), "{} on {}: {what}", variant.name, backend.name());
            }
        }
    }
}

/// What a session computes for a token depends neither on the tokens that are read with it nor on other sessions.
#[test]
fn tokens_have_the_same_bits_alone_in_batches_and_together() {
    for (variant, golden) in pairs() {
        let model = Model::from_bytes(variant.file.write()).unwrap();
        let options = SessionOptions { together_max: 2, ..sized(CONTEXT, 16) };
        let open = || Session::open(&model, Arc::new(Pool::new(2).unwrap()), &options).unwrap();
        let (mut one, mut other, mut alone) = (open(), open(), session(&model, 1, CONTEXT, 1));
        one.prefill(&golden.ids[..45]).unwrap();
        other.prefill(&golden.ids[5..35]).unwrap();
        alone.prefill(&golden.ids[..45]).unwrap();
        assert!(bits(&one) == bits(&alone), "{}: in a batch", variant.name);
        for &token in &golden.generated[..4] {
            Session::decode_together(&mut [&mut other, &mut one], &[token, token]).unwrap();
            alone.decode(token).unwrap();
            assert!(bits(&one) == bits(&alone), "{}: together", variant.name);
        }
    }
}

/// A state knows every token before it, so going back takes one from before, from near or far.
#[test]
fn states_that_went_back_are_those_of_the_tokens_that_are_left() {
    for (variant, golden) in pairs().filter(|(variant, _)| carries(variant)) {
        for backend in [Backend::detect(), Backend::by_name("scalar").unwrap()] {
            let what = |position| format!("{} on {} at {position}", variant.name, backend.name());
            let model = common::model(variant.file.write(), backend);
            let text: Vec<u32> = golden.ids.iter().chain(&golden.generated).copied().collect();
            let mut session = session(&model, 2, CONTEXT, 16);
            session.prefill(&text[..60]).unwrap();
            text[60..].iter().for_each(|&token| session.decode(token).unwrap());
            let mut other = common::session(&model, 1, CONTEXT, 16);
            for position in [89, 74, 60, 59, 48, 30, 0] {
                session.rewind(position);
                // Saved and copied as it is, before anything is read again.
                let mut saved = vec![0; session.saved_bytes()];
                assert_eq!(session.save_to(&mut saved), Ok(saved.len()), "{}", what(position));
                let fork = session.fork().unwrap();
                let mut straight = common::session(&model, 3, CONTEXT, 16);
                straight.prefill(&text[..=position]).unwrap();
                for mut copy in [fork, {
                    other.restore_from(&saved).unwrap();
                    other.fork().unwrap()
                }] {
                    copy.decode(text[position]).unwrap();
                    assert!(bits(&copy) == bits(&straight), "{}: a copy", what(position));
                }
                // Another token first, so that what it leaves behind would be seen.
                session.decode(text[position] ^ 1).unwrap();
                session.rewind(position);
                session.decode(text[position]).unwrap();
                assert!(bits(&session) == bits(&straight), "{}", what(position));
            }
        }
    }
}

/// What was cancelled left nothing of itself in a state, and what was spilled comes back with it.
#[test]
fn states_are_whole_after_work_was_cancelled_and_after_they_were_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for (variant, golden) in pairs().filter(|(variant, _)| carries(variant)) {
        let model = Model::from_bytes(variant.file.write()).unwrap();
        let mut straight = session(&model, 1, CONTEXT, 16);
        straight.prefill(&golden.ids).unwrap();
        let mut stopped = session(&model, 2, CONTEXT, 16);
        stopped.prefill(&golden.ids[..40]).unwrap();
        stopped.cancel().cancel();
        stopped.prefill(&golden.ids[40..]).unwrap_err();
        stopped.decode(1).unwrap_err();
        stopped.cancel().reset();
        stopped.spill(folder.path().join("spilled")).unwrap();
        stopped.recall().unwrap();
        stopped.prefill(&golden.ids[40..]).unwrap();
        assert!(bits(&stopped) == bits(&straight), "{}", variant.name);
    }
}

/// Out of a state no token can be taken: an error, after which all goes on, and an answer that fills the context ends.
#[test]
fn states_are_not_shifted() {
    for (variant, golden) in pairs().filter(|(variant, _)| carries(variant)) {
        let model = Model::from_bytes(variant.file.write()).unwrap();
        let mut session = session(&model, 1, CONTEXT, 16);
        session.prefill(&golden.ids).unwrap();
        let before = bits(&session);
        let refused = session.shift(4, 25).unwrap_err();
        assert!(matches!(refused, Error::Argument(_)) && refused.to_string().contains("state"), "{refused}");
        assert!(bits(&session) == before && session.position() == golden.ids.len(), "{}", variant.name);
        let overflow = Overflow::Shift { keep: 4 };
        let options = GenerateOptions { overflow, ignore_end: true, ..GenerateOptions::default() };
        let mut answer = Generator::new(&model, session.context(), Sampler::greedy(), &options).unwrap();
        while answer.next(&mut session).unwrap().is_some() {}
        assert_eq!(answer.stop_reason(), Some(StopReason::ContextFull), "{}", variant.name);
    }
}

/// Keys of the first layer know nothing but a token and its position. So a model of this layer alone, after tokens were
/// forgotten, scores what follows as if it had never read them, but for the rounding of keys that turned twice.
#[test]
fn keys_turn_back_by_the_angles_of_their_layer() {
    for (mut variant, golden) in pairs().filter(|(variant, _)| is_f32(variant) && !carries(variant)) {
        let key = variant.file.entries.iter().find(|(key, _)| key.ends_with(".block_count")).unwrap();
        let key = key.0.clone();
        variant.file.set(&key, 1);
        variant
            .file
            .tensors
            .retain(|tensor| !tensor.name.starts_with("blk.") || tensor.name.starts_with("blk.0."));
        // What layers see of others, or get of tokens in one tensor for all of them.
        if variant.name == "gemma4" {
            let inputs = ["per_layer", "blk.0.inp_gate", "blk.0.proj", "blk.0.post_norm"];
            let is_input = |name: &str| inputs.iter().any(|input| name.starts_with(input));
            variant.file.tensors.retain(|tensor| !is_input(&tensor.name));
            variant.file.remove("gemma4.attention.shared_kv_layers");
            variant.file.remove("gemma4.embedding_length_per_layer_input");
        }
        let model = Model::from_bytes(variant.file.write()).unwrap();
        let (mut shifted, mut short) = (session(&model, 2, CONTEXT, 16), session(&model, 2, CONTEXT, 16));
        shifted.prefill(&golden.ids[..60]).unwrap();
        shifted.shift(4, 25).unwrap();
        short.prefill(&golden.ids[..4]).unwrap();
        short.prefill(&golden.ids[29..60]).unwrap();
        for session in [&mut shifted, &mut short] {
            session.prefill(&golden.ids[60..]).unwrap();
        }
        let nmse = nmse(&[every_3rd(shifted.logits())], &[every_3rd(short.logits())]);
        println!("{}: nmse {nmse:.1e}", variant.name);
        assert!(nmse < F32_NMSE_MAX, "{}: {nmse:.1e}", variant.name);
    }
}

/// Not a test: writes the models into the folder `MODELS`, for llama.cpp. `make golden` runs it.
#[test]
#[ignore = "writes files for `make golden`"]
fn write_the_files() {
    reference::write(&architectures());
}
