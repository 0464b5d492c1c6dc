//! What a session refuses, and that it is as before when it has.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;

use bantam::{Backend, Error, Format, KvFormat, Pool, Sampler, Session, SessionOptions};

use common::architectures::architectures;
use common::gguf::Gguf;
use common::tiny::Tiny;
use common::{bits, model, session, sized, tokens};

fn tiny() -> Session {
    session(&model(Tiny::new(Format::Q4_0).bytes(), Backend::detect()), 1, 32, 8)
}

#[test]
fn nothing_can_be_sampled_before_something_was_read() {
    let mut session = tiny();
    assert!(matches!(session.sample(&mut Sampler::greedy()), Err(Error::Argument(_))));
    let tokens = tokens(session.model(), 5);
    session.prefill(&tokens).unwrap();
    session.sample(&mut Sampler::greedy()).unwrap();
    session.rewind(3);
    assert!(matches!(session.sample(&mut Sampler::greedy()), Err(Error::Argument(_))));
}

/// A NaN that every token meets is one in all logits: nobody takes them for an answer.
#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let dense = [
        "blk.0.attn_norm.weight",
        "blk.0.attn_k.weight",
        "blk.1.attn_output.weight",
        "blk.1.ffn_up.weight",
        "output_norm.weight",
    ];
    for format in [Format::Q4_0, Format::Q4_K, Format::F16] {
        for name in dense {
            let mut file = Tiny { heads: 2, kv_heads: 1, ..Tiny::new(format) }.gguf();
            // A single value, or a single scale of a block: its last bytes, or its first.
            let at = if name.contains("norm") { 2 } else { 0 };
            file.tensor(name).bytes[at..at + 2].copy_from_slice(&[0xff, 0x7f]);
            for &kv_format in KvFormat::ALL {
                assert_refused(&file, kv_format, &format!("{} {name} {kv_format:?}", format.name()));
            }
        }
    }
    // Routers, experts, convolutions and states, of which not every token meets every value.
    let names = [
        "ffn_gate_inp.weight",
        "exp_probs_b.bias",
        "ffn_gate_exps.weight",
        "shortconv.conv.weight",
        "ssm_conv1d.weight",
        "ssm_a",
    ];
    for name in names {
        let mut found = 0;
        // Blocks of MXFP4 have no NaN, as ggml reads them.
        for mut variant in architectures().into_iter().filter(|variant| !variant.name.contains("mxfp4")) {
            let tensors = &mut variant.file.tensors;
            if let Some(tensor) = tensors.iter_mut().find(|tensor| tensor.name.ends_with(name)) {
                // A NaN in every format, and a scale that is one in every block.
                tensor.bytes.fill(0xff);
                assert_refused(&variant.file, KvFormat::F16, &format!("{} {name}", variant.name));
                found += 1;
            }
        }
        assert!(found > 0, "no model has {name}");
    }
}

/// Reads one token and many, with other kernels, and chooses.
fn assert_refused(file: &Gguf, kv_format: KvFormat, what: &str) {
    let model = model(file.write(), Backend::detect());
    for n in [1, 40] {
        let options = SessionOptions { kv_format, ..sized(48, 48) };
        let mut session = Session::open(&model, Arc::new(Pool::new(1).unwrap()), &options).unwrap();
        session.prefill(&tokens(session.model(), n)).unwrap();
        let error = session.sample(&mut Sampler::greedy()).expect_err(what);
        assert!(matches!(error, Error::Inconsistent(_)), "{what}: {error}");
    }
}

#[test]
fn a_refused_prompt_changes_nothing() {
    let mut session = tiny();
    let tokens = tokens(session.model(), 40);
    session.prefill(&tokens[..5]).unwrap();
    let before = bits(&session);
    assert_eq!(session.prefill(&tokens), Err(Error::ContextFull { needed: 45, context: 32 }));
    assert!(matches!(session.prefill(&[]), Err(Error::Argument(_))));
    assert!(matches!(session.prefill(&[u32::MAX]), Err(Error::Argument(_))));
    assert_eq!((session.position(), bits(&session)), (5, before));
}

#[test]
fn a_full_context_is_an_error_and_can_be_rewound() {
    let mut session = tiny();
    let tokens = tokens(session.model(), 32);
    session.prefill(&tokens).unwrap();
    assert_eq!(session.decode(tokens[0]), Err(Error::ContextFull { needed: 33, context: 32 }));
    session.rewind(31);
    session.decode(tokens[31]).unwrap();
}
