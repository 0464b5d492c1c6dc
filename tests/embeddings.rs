//! Embeddings: all-MiniLM-L6-v2 against sentence-transformers' own vectors, and what holds for every embedder.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use bantam::mmap::Mapping;
use bantam::{Backend, Buffer, EmbedOptions, Embedder, Input, Model, Pool, Pooling, TokenId};
use common::architectures::encoders::encoders;
use common::dequantized::dequantized;
use common::forced;
use common::reference::{self, Variant, every_3rd, nmse};
use serde::Deserialize;

/// Mean square error of a model in F32, in units of the expected values' mean square.
const F32_NMSE_MAX: f64 = 1e-5;
/// The same where llama.cpp looks the Gaussian unit up in a table of halves.
const GELU_NMSE_MAX: f64 = 1e-4;
/// How much further from the F32 form of its weights a quantised model may be than llama.cpp, in mean square.
const QUANTISED_MAX: f64 = 3.0;

/// The lines of `sentences.txt`, and what sentence-transformers makes of each: see scripts/embedding-golden.
fn sentences() -> Vec<(String, Vec<f32>)> {
    let lines = common::golden("embeddings/sentences.txt");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/embeddings/minilm.f16");
    let bytes = std::fs::read(path).unwrap();
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|half| half_to_f32(*half)).collect();
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    assert_eq!(values.len(), lines.len() * 384);
    lines.into_iter().zip(values.chunks_exact(384).map(<[f32]>::to_vec)).collect()
}

/// A half that is no infinity, as a float.
fn half_to_f32(bytes: [u8; 2]) -> f32 {
    let bits = i32::from(u16::from_le_bytes(bytes));
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, (bits & 1023) as f32);
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if sign == 1 { -size } else { size }
}

/// One of the files that `make minilm` writes.
fn minilm(file: &str, backend: Backend) -> Option<Model> {
    let path = format!("{}/models/{file}", env!("CARGO_MANIFEST_DIR"));
    let Ok(mapping) = Mapping::open(path.as_ref()) else {
        println!("skipped: models/{file} is missing; make minilm writes it");
        return None;
    };
    Some(Model::from_mapping(mapping, &forced(backend)).unwrap())
}

fn open(model: &Model, threads: usize, options: &EmbedOptions) -> Embedder {
    Embedder::open(model, Arc::new(Pool::new(threads).unwrap()), options).unwrap()
}

/// The vectors of texts, read together.
fn embed(embedder: &mut Embedder, texts: &[Vec<TokenId>]) -> Vec<Vec<f32>> {
    let inputs: Vec<Input<'_>> = texts.iter().map(|tokens| Input::from(&tokens[..])).collect();
    let mut vectors = vec![f32::NAN; embedder.values(&inputs)];
    embedder.embed(&inputs, &mut vectors).unwrap();
    vectors.chunks_exact(embedder.dim()).map(<[f32]>::to_vec).collect()
}

fn encode(embedder: &Embedder, text: &str) -> Vec<TokenId> {
    let mut tokens = Vec::new();
    embedder.encode(text, &mut tokens).unwrap();
    tokens
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// Every cosine is at least the first number, and their mean the second.
fn has_the_vectors_of_sentence_transformers(file: &str, (least, least_mean): (f64, f64)) {
    let backends = Backend::available();
    // The reference takes a minute for all of them.
    for backend in backends.filter(|backend| backend.name() != "scalar" || common::only_scalar()) {
        let Some(model) = minilm(file, backend) else { return };
        let mut embedder = open(&model, 2, &EmbedOptions::default());
        let (texts, expected): (Vec<String>, Vec<Vec<f32>>) = sentences().into_iter().unzip();
        let tokens: Vec<Vec<TokenId>> = texts.iter().map(|text| encode(&embedder, text)).collect();
        let made = embed(&mut embedder, &tokens);
        let cosines: Vec<f64> = made.iter().zip(&expected).map(|(a, b)| cosine(a, b)).collect();
        let worst = (0..texts.len()).min_by(|&a, &b| cosines[a].total_cmp(&cosines[b])).unwrap();
        let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
        let (cosine, text) = (cosines[worst], &texts[worst]);
        println!("{file} on {}: cosine at least {cosine:.5}, {mean:.5} in the mean", backend.name());
        assert!(mean >= least_mean, "{mean:.5} in the mean on {}", backend.name());
        assert!(cosine >= least, "{cosine:.5} on {} for {text:?}", backend.name());
        for vector in &made {
            let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            assert!((length - 1.0).abs() < 1e-6, "length {length}");
        }
    }
}

#[test]
fn minilm_in_f16_has_the_vectors_of_sentence_transformers() {
    has_the_vectors_of_sentence_transformers("all-MiniLM-L6-v2.F16.gguf", (0.999, 0.999));
}

#[test]
fn minilm_in_4_bits_is_near_the_vectors_of_sentence_transformers() {
    has_the_vectors_of_sentence_transformers("all-MiniLM-L6-v2.Q4_1.gguf", (0.99, 0.995));
}

#[test]
fn a_text_that_is_too_long_is_an_error_or_cut() {
    let Some(model) = minilm("all-MiniLM-L6-v2.Q4_1.gguf", Backend::detect()) else { return };
    let mut embedder = open(&model, 2, &EmbedOptions::default());
    let mut tokens = encode(&embedder, &"egg ".repeat(600));
    let mut out = vec![0.0; embedder.dim()];
    let error = embedder.embed(&[Input::from(&tokens[..])], &mut out).unwrap_err();
    assert_eq!(error, bantam::Error::ContextFull { needed: 602, context: 512 });
    assert!(embedder.truncate(&mut tokens));
    assert_eq!((tokens.len(), tokens[0], tokens[511]), (512, 101, 102));
    assert!(!embedder.truncate(&mut tokens));
    embedder.embed(&[Input::from(&tokens[..])], &mut out).unwrap();
    assert_eq!(embedder.pooling(), Pooling::Mean);
}

#[test]
fn a_session_of_an_encoder_is_refused_with_what_to_do() {
    let Some(model) = minilm("all-MiniLM-L6-v2.Q4_1.gguf", Backend::detect()) else { return };
    assert!(!model.writes());
    let pool = Arc::new(Pool::new(1).unwrap());
    let error = bantam::Session::open(&model, pool, &bantam::SessionOptions::default()).err().unwrap();
    assert!(error.to_string().contains("an embedder makes vectors"), "{error}");
}

/// What llama.cpp makes of a tiny model.
#[derive(Deserialize)]
struct Golden {
    name: String,
    texts: Vec<Vec<TokenId>>,
    /// By the name of a pooling: every third value of each text's vector, or all scores; under `none` of each token of the second
    /// text.
    vectors: BTreeMap<String, Vec<Vec<f32>>>,
}

fn pairs() -> Vec<(Variant, Golden)> {
    let mut golden: Vec<Golden> =
        serde_json::from_str(&common::golden("embeddings/embeddings.json")).unwrap();
    let models = encoders();
    assert_eq!(models.len(), golden.len(), "`make golden` writes the golden file anew");
    let of = |variant: Variant| {
        let place = golden.iter().position(|golden| golden.name == variant.name);
        (variant, golden.swap_remove(place.expect("golden vectors of every model")))
    };
    models.into_iter().map(of).collect()
}

fn is_quantised(variant: &Variant) -> bool {
    variant.name.ends_with("q4_0")
}

fn raw(pooling: Pooling) -> EmbedOptions {
    EmbedOptions { pooling: Some(pooling), normalize: false, ..EmbedOptions::default() }
}

fn pooling(name: &str) -> Pooling {
    Pooling::ALL.into_iter().find(|pooling| pooling.name() == name).unwrap()
}

/// Our vectors where the golden ones are: all texts in one call.
fn vectors(model: &Model, golden: &Golden, name: &str) -> Vec<Vec<f32>> {
    let mut embedder = open(model, 2, &raw(pooling(name)));
    let texts = if name == "none" { &golden.texts[1..2] } else { &golden.texts[..] };
    let made = embed(&mut embedder, texts);
    if name == "rank" { made } else { made.iter().map(|vector| every_3rd(vector)).collect() }
}

#[test]
fn models_in_f32_have_llama_cpps_vectors() {
    let mut failed = Vec::new();
    for (variant, golden) in pairs().into_iter().filter(|(variant, _)| !is_quantised(variant)) {
        let gelu = variant.name.starts_with("bert") || variant.name.starts_with("gemma");
        let most = if gelu { GELU_NMSE_MAX } else { F32_NMSE_MAX };
        for backend in Backend::available() {
            let model = common::model(variant.file.write(), backend);
            for (name, expected) in &golden.vectors {
                let nmse = nmse(&vectors(&model, &golden, name), expected);
                println!("{} on {}, {name}: nmse {nmse:.1e}", variant.name, backend.name());
                if nmse.is_nan() || nmse > most {
                    failed.push((variant.name, backend.name(), name.clone(), nmse));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn quantised_models_are_as_near_to_their_f32_form_as_llama_cpps() {
    let mut failed = Vec::new();
    for (variant, golden) in pairs().into_iter().filter(|(variant, _)| is_quantised(variant)) {
        for backend in Backend::available() {
            let model = common::model(variant.file.write(), backend);
            let exact = common::model(dequantized(model.file()), backend);
            // A score is one number, whose noise is luck: of those there are too few for a ratio.
            for (name, expected) in golden.vectors.iter().filter(|(name, _)| *name != "rank") {
                let exact = vectors(&exact, &golden, name);
                let (ours, theirs) = (nmse(&vectors(&model, &golden, name), &exact), nmse(expected, &exact));
                println!(
                    "{} on {}, {name}: nmse from F32 {ours:.1e}, llama.cpp's {theirs:.1e}",
                    variant.name,
                    backend.name()
                );
                let ratio = ours / theirs;
                if ratio.is_nan() || ratio > QUANTISED_MAX || theirs > 1e-2 {
                    failed.push((variant.name, backend.name(), name.clone(), ours, theirs));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// What becomes of a text depends neither on the texts around it nor on the number of threads.
#[test]
fn texts_have_the_same_bits_alone_and_among_others() {
    for (variant, golden) in pairs() {
        let model = Model::from_bytes(variant.file.write()).unwrap();
        for name in golden.vectors.keys() {
            let mut together = open(&model, 3, &raw(pooling(name)));
            let mut alone = open(&model, 1, &raw(pooling(name)));
            // Enough for several passes, and for columns of wide kernels.
            let texts: Vec<Vec<TokenId>> = golden.texts.iter().cycle().take(25).cloned().collect();
            let made = embed(&mut together, &texts).concat();
            let each = texts.iter().flat_map(|text| embed(&mut alone, std::slice::from_ref(text)).concat());
            let each: Vec<f32> = each.collect();
            let differing = made.iter().zip(&each).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            // Float weights round products in other places for more than 16 columns than for fewer, as the heads of those that rank
            // do. Then keys may round to another half.
            if is_quantised(&variant) && name != "rank" {
                assert_eq!(differing, 0, "{} with {name}", variant.name);
            }
            let nmse = nmse(&[made], &[each]);
            assert!(nmse < 1e-7, "{} with {name}: {nmse:.1e}", variant.name);
        }
    }
}

#[test]
fn memory_given_back_changes_no_vector() {
    for (variant, golden) in pairs() {
        let model = Model::from_bytes(variant.file.write()).unwrap();
        let mut embedder = open(&model, 2, &raw(Pooling::None));
        let before = embed(&mut embedder, &golden.texts);
        assert!(embedder.trim() > 0);
        assert_eq!(embed(&mut embedder, &golden.texts), before, "{}", variant.name);
    }
    // What is the caller's stays.
    let (variant, _) = pairs().swap_remove(0);
    let model = Model::from_bytes(variant.file.write()).unwrap();
    let bytes = Embedder::plan(&model, &raw(Pooling::None), 1).unwrap().total_bytes();
    let memory = vec![0_u8; bytes + Buffer::ALIGN];
    let skipped = memory.as_ptr().addr().wrapping_neg() % Buffer::ALIGN;
    let pool = Arc::new(Pool::new(1).unwrap());
    let buffer = Buffer::leak(memory).skip(skipped, bytes);
    let mut lent = Embedder::open_in(&model, pool, &raw(Pooling::None), buffer).unwrap();
    assert_eq!(lent.trim(), 0);
}

#[test]
fn parts_of_a_pair_have_types_of_their_own() {
    let (variant, golden) = pairs().into_iter().find(|(variant, _)| variant.name == "bert").unwrap();
    let model = Model::from_bytes(variant.file.write()).unwrap();
    let mut embedder = open(&model, 1, &raw(Pooling::Mean));
    let tokens = &golden.texts[1];
    let mut of = |first: usize| {
        let mut out = vec![0.0; embedder.dim()];
        embedder.embed(&[Input { tokens, first }], &mut out).unwrap();
        out
    };
    assert_ne!(of(3), of(tokens.len()));
    assert_ne!(of(3), of(4));
}

#[test]
fn what_cannot_be_embedded_is_an_error_that_says_what_to_do() {
    let (mut variant, _) = pairs().into_iter().find(|(variant, _)| variant.name == "qwen3").unwrap();
    variant.file.remove("qwen3.pooling_type");
    let model = Model::from_bytes(variant.file.write()).unwrap();
    let pool = || Arc::new(Pool::new(1).unwrap());
    let refused = |options: &EmbedOptions| Embedder::open(&model, pool(), options).err().unwrap().to_string();
    assert!(refused(&EmbedOptions::default()).contains("choose a pooling"));
    assert!(refused(&raw(Pooling::Rank)).contains("no head"));
    let context = |context| EmbedOptions { context: Some(context), ..raw(Pooling::Last) };
    assert!(refused(&context(0)).contains("1 to 256"));
    assert!(refused(&context(257)).contains("1 to 256"));

    let options = context(8);
    let plan = Embedder::plan(&model, &options, 1).unwrap();
    let mut embedder = open(&model, 1, &options);
    assert_eq!(embedder.memory(), plan);
    let mut out = vec![0.0; embedder.dim()];
    let mut refused = |tokens: &[TokenId], first: usize| {
        embedder.embed(&[Input { tokens, first }], &mut out).unwrap_err().to_string()
    };
    assert!(refused(&[], 0).contains("no tokens"));
    assert!(refused(&[1; 9], 9).contains("9 tokens"));
    assert!(refused(&[70_000], 1).contains("outside the vocabulary"));
    assert!(refused(&[1], 2).contains("first part"));
    assert!(embedder.embed(&[Input::from(&[1][..])], &mut out[1..]).is_err());
    embedder.embed(&[], &mut []).unwrap();
    embedder.embed(&[Input::from(&[1; 8][..])], &mut out).unwrap();

    let cancel = embedder.cancel();
    cancel.cancel();
    assert_eq!(embedder.embed(&[Input::from(&[1][..])], &mut out), Err(bantam::Error::Cancelled));
    cancel.reset();
    embedder.embed(&[Input::from(&[1][..])], &mut out).unwrap();
}

#[test]
fn vectors_that_are_no_numbers_are_an_error() {
    let (mut variant, golden) = pairs().into_iter().find(|(variant, _)| variant.name == "qwen3").unwrap();
    for bytes in variant.file.tensor("output_norm.weight").bytes.as_chunks_mut::<4>().0 {
        *bytes = f32::NAN.to_le_bytes();
    }
    let model = Model::from_bytes(variant.file.write()).unwrap();
    for normalize in [false, true] {
        let mut embedder = open(&model, 1, &EmbedOptions { normalize, ..raw(Pooling::Mean) });
        let mut out = vec![0.0; embedder.dim()];
        let error = embedder.embed(&[Input::from(&golden.texts[1][..])], &mut out).unwrap_err();
        assert!(matches!(error, bantam::Error::Inconsistent(_)), "{error}");
    }
}

/// Not a test: writes the models into the folder `MODELS`, for llama.cpp. `make golden` runs it.
#[test]
#[ignore = "writes files for `make golden`"]
fn write_the_files() {
    reference::write(&encoders());
}
