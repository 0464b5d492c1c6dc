//! Tiny models of every kind that the architecture `llama` knows (`tests/common/variants.rs`), against llama.cpp's logits
//! (`tests/golden/logits/variants.json`); and files of that architecture that have to be refused.

mod common;

use bantam::{Backend, Error, Format, Model};
use common::dequantized::dequantized;
use common::gguf::{Gguf, Tensor};
use common::reference::{self, Golden, logits, nmse};
use common::variants::{Variant, variants};

/// Mean square error of a model in F32, in units of the expected logits' mean square. Both engines keep keys and values
/// as halves, and llama.cpp rounds queries and attention weights to halves too, which alone makes up to 1e-6.
const F32_NMSE_MAX: f64 = 3e-6;
/// What a variant changes at least, in the same units: were its part of the model ignored, that would be the error.
const CHANGE_MIN: f64 = 0.05;
/// How much further from the F32 form of its weights a quantised model may be than llama.cpp, in mean square. Which
/// activations fall on which side of a rounding step is chance, and a tiny model averages over few of them.
const QUANTISED_MAX: f64 = 3.0;
/// How far llama.cpp is from that form at most. Weights that the two read differently are as far apart as a change.
const QUANTISED_NMSE_MAX: f64 = 5e-3;

/// All variants with what llama.cpp makes of them.
fn pairs() -> impl Iterator<Item = (Variant, Golden)> {
    reference::pairs(variants(), "logits/variants.json")
}

fn is_f32(file: &Gguf) -> bool {
    file.tensors.iter().all(|tensor| tensor.kind == common::tiny::number(Format::F32))
}

#[test]
fn models_in_f32_have_llama_cpps_logits() {
    let mut failed = Vec::new();
    for (variant, golden) in pairs().filter(|(variant, _)| is_f32(&variant.file)) {
        let bytes = variant.file.write();
        for backend in Backend::available() {
            let model = common::model(bytes.clone(), backend);
            let nmse = nmse(&logits(&model, &golden, 32), &golden.every_3rd);
            println!("{} on {}: nmse {nmse:.1e}", variant.name, backend.name());
            if nmse.is_nan() || nmse > F32_NMSE_MAX {
                failed.push((variant.name, backend.name(), nmse));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn quantised_models_are_as_near_to_their_f32_form_as_llama_cpps() {
    let mut failed = Vec::new();
    for (variant, golden) in pairs().filter(|(variant, _)| !is_f32(&variant.file)) {
        let bytes = variant.file.write();
        for backend in Backend::available() {
            let model = common::model(bytes.clone(), backend);
            let exact = common::model(dequantized(model.file()), backend);
            let exact = logits(&exact, &golden, 32);
            let (ours, theirs) =
                (nmse(&logits(&model, &golden, 32), &exact), nmse(&golden.every_3rd, &exact));
            let (name, backend) = (variant.name, backend.name());
            println!(
                "{name} on {backend}: nmse from F32 {ours:.1e}, llama.cpp's {theirs:.1e}, ratio {:.2}",
                ours / theirs
            );
            if ours.is_nan() || ours > QUANTISED_MAX * theirs || theirs > QUANTISED_NMSE_MAX {
                failed.push((name, backend, ours, theirs));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn what_a_variant_changes_shows_in_its_logits() {
    let all = reference::read("logits/variants.json");
    let plain = all.iter().find(|golden| golden.name == "plain").unwrap();
    for golden in &all {
        // The prompt is the same; what is generated behind it need not be.
        let rows = |golden: &Golden| golden.every_3rd[..3].to_vec();
        let change = nmse(&rows(golden), &rows(plain));
        println!("{}: {change:.1e} from plain", golden.name);
        // One is the plain model, two say the same in another way.
        let is_same = ["plain", "counts_as_arrays", "rope_none"].contains(&golden.name.as_str());
        assert!(if is_same { change == 0.0 } else { change > CHANGE_MIN }, "{}: {change:.1e}", golden.name);
    }
}

fn refused(change: impl Fn(&mut Gguf)) -> Error {
    let plain = variants().swap_remove(0);
    let mut file = plain.file;
    change(&mut file);
    Model::from_bytes(file.write()).unwrap_err()
}

#[test]
fn tensors_that_would_be_left_out_are_refused() {
    // A bias of a norm, a norm of queries, a scale of weights, divisors of the wrong kind of scaling.
    let names = [
        ("output.bias", 273),
        ("blk.1.attn_norm.bias", 64),
        ("blk.0.attn_q_norm.weight", 16),
        ("blk.0.attn_q.scale", 1),
        ("rope_factors_long.weight", 8),
        ("blk.2.attn_norm.weight", 64),
    ];
    for (name, len) in names {
        let error = refused(|file| {
            file.tensors.push(Tensor {
                name: name.into(),
                shape: vec![len],
                kind: 0,
                bytes: vec![0; 4 * len as usize],
                offset: None,
            });
        });
        assert!(matches!(error, Error::Unsupported(_)), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// Not a test: writes the variants into the folder `MODELS`, for llama.cpp. `make golden` runs it.
#[test]
#[ignore = "writes files for `make golden`"]
fn write_the_files() {
    reference::write(&variants());
}
