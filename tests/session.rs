//! What a session refuses, and that it is as before when it has.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;

use bantam::{Backend, Error, Format, KvFormat, Pool, Sampler, Session, SessionOptions};

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

/// Wherever a model is damaged, what it computes is no number up to the logits, and nobody takes them for an answer.
#[test]
fn logits_that_are_no_numbers_are_an_error() {
    for format in [Format::Q4_0, Format::Q4_K, Format::F16] {
        for name in [
            "blk.0.attn_norm.weight",
            "blk.0.attn_k.weight",
            "blk.1.attn_output.weight",
            "blk.1.ffn_up.weight",
            "output_norm.weight",
        ] {
            let mut file = Tiny { heads: 2, kv_heads: 1, ..Tiny::new(format) }.gguf();
            let tensor = file.tensor(name);
            // The last two bytes of a float, or the first scale of a block, or the first half.
            let at = if name.contains("norm") { 2 } else { 0 };
            tensor.bytes[at..at + 2].copy_from_slice(&[0xff, 0x7f]);
            for &kv_format in KvFormat::ALL {
                let model = model(file.write(), Backend::detect());
                let options = SessionOptions { kv_format, ..sized(32, 8) };
                let mut session = Session::open(&model, Arc::new(Pool::new(1).unwrap()), &options).unwrap();
                let tokens = tokens(session.model(), 5);
                session.prefill(&tokens).unwrap();
                let error = session.sample(&mut Sampler::greedy()).unwrap_err();
                assert!(
                    matches!(error, Error::Inconsistent(_)),
                    "{} {name} {kv_format:?}: {error}",
                    format.name()
                );
            }
        }
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
