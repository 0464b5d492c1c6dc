//! The formats of the KV cache: what they take, that the promises hold with each, and how far they are from halves.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;

use bantam::{Backend, Error, Format, KvFormat, Model, Pool, Session, SessionOptions, TokenId};

use common::tiny::Tiny;
use common::{demo, model, only_scalar, sized, tokens};

/// Tokens that end behind a run of keys, so that more than one run is read.
const TOKENS: usize = 320;

fn options(format: KvFormat, batch: usize) -> SessionOptions {
    SessionOptions { kv_format: format, exact: true, ..sized(TOKENS, batch) }
}

/// The logits behind `tokens`, of which the first are read in batches and the last few one by one.
fn read(model: &Model, format: KvFormat, threads: usize, batch: usize, tokens: &[TokenId]) -> Vec<f32> {
    let pool = Arc::new(Pool::new(threads).unwrap());
    let mut session = Session::open(model, pool, &options(format, batch)).unwrap();
    let (first, last) = tokens.split_at(tokens.len() - 3);
    session.prefill(first).unwrap();
    last.iter().for_each(|&token| session.decode(token).unwrap());
    session.logits().to_vec()
}

/// Heads of 32 values, as the quantised formats want at least.
fn tiny(backend: Backend) -> Model {
    model(Tiny { heads: 2, kv_heads: 1, ..Tiny::new(Format::Q8_0) }.bytes(), backend)
}

#[test]
fn every_format_gives_the_same_bits_for_any_batch_and_any_threads() {
    for backend in Backend::available() {
        let model = tiny(backend);
        let tokens = tokens(&model, TOKENS);
        for &format in KvFormat::ALL {
            let one_by_one = read(&model, format, 1, 1, &tokens);
            for (threads, batch) in [(1, 16), (2, 7), (3, 1), (2, 90), (1, TOKENS)] {
                let other = read(&model, format, threads, batch, &tokens);
                assert!(
                    other.iter().zip(&one_by_one).all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{} on {}, {threads} threads, batches of {batch}",
                    format.name(),
                    backend.name()
                );
            }
        }
    }
}

#[test]
fn coarser_formats_take_less_and_cost_little() {
    let Some(model) = demo(Backend::detect()) else { return };
    if only_scalar() {
        println!("skipped: the scalar backend takes too long");
        return;
    }
    let mut text = Vec::new();
    let prose = include_str!("../ARCHITECTURE.md");
    model.tokenizer().encode(prose, bantam::EncodeOptions::default(), &mut text).unwrap();
    text.truncate(TOKENS);
    let halves = read(&model, KvFormat::F16, 2, 256, &text);
    for (format, bytes, bound) in
        [(KvFormat::F16, 128, 1e-9), (KvFormat::Q8_0, 68, 0.01), (KvFormat::Q4_0, 36, 0.2)]
    {
        let plan = Session::plan(&model, &options(format, 256), 2).unwrap();
        assert_eq!(
            plan.kv_bytes,
            TOKENS * 30 * 2 * 3 * bytes,
            "positions, layers, keys and values, heads, bytes"
        );
        let noise = noise(&read(&model, format, 2, 256, &text), &halves);
        println!("{}: normalised mean square error of the logits {noise:.2e}", format.name());
        assert!(noise < bound, "{}: {noise}", format.name());
    }
}

#[test]
fn heads_that_are_no_whole_blocks_are_refused() {
    let model = model(Tiny::new(Format::F32).bytes(), Backend::detect());
    for format in [KvFormat::Q8_0, KvFormat::Q4_0] {
        let options = SessionOptions { kv_format: format, ..sized(8, 4) };
        let Err(Error::Argument(text)) = Session::plan(&model, &options, 1) else {
            panic!("heads of 16 values")
        };
        assert!(text.as_str().contains(format.name()) && text.as_str().contains("f16"), "{text}");
    }
}

/// The normalised mean square of the differences.
fn noise(got: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let differences = got.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b)));
    differences.sum::<f64>() / expected.iter().map(|x| square(f64::from(*x))).sum::<f64>()
}
