//! What a session refuses, and that it is as before when it has.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use bantam::{Backend, Error, Format, Sampler, Session};

use common::tiny::Tiny;
use common::{bits, model, session, tokens};

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
