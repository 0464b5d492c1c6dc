//! Several sequences of one model: forks, sessions decoded together, prompts that share a prefix, and contexts that are
//! shifted. Tests are named `property::backend`.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

#[macro_use]
mod common;

use std::sync::Arc;

use bantam::{Backend, Error, Format, KvFormat, Model, Pool, Session, SessionOptions, TokenId};

use common::tiny::Tiny;
use common::{bits, model, session, sized, tokens};

properties! {
    a_fork_goes_on_as_its_origin_does
    sessions_decoded_together_are_as_if_decoded_alone
    a_prompt_is_read_from_where_it_differs
    a_session_computes_the_same_however_its_tokens_came
    tokens_behind_a_gap_move_up
}

/// Heads of 32 values, which every cache format takes.
fn tiny(backend: Backend) -> Model {
    model(Tiny { heads: 2, kv_heads: 1, ..Tiny::new(Format::Q4_0) }.bytes(), backend)
}

fn open(model: &Model, threads: usize, options: &SessionOptions) -> Session {
    Session::open(model, Arc::new(Pool::new(threads).unwrap()), options).unwrap()
}

fn a_fork_goes_on_as_its_origin_does(backend: Backend) {
    let model = tiny(backend);
    let tokens = tokens(&model, 50);
    for &kv_format in KvFormat::ALL {
        let mut origin = open(&model, 2, &SessionOptions { kv_format, ..sized(64, 16) });
        let early = origin.fork().unwrap();
        assert_eq!((early.position(), early.has_logits()), (0, false));
        origin.prefill(&tokens[..40]).unwrap();
        let mut fork = origin.fork().unwrap();
        assert_eq!((fork.tokens(), bits(&fork)), (origin.tokens(), bits(&origin)));
        assert_eq!(fork.memory(), origin.memory());
        // What one reads, the other does not see.
        origin.prefill(&tokens[40..]).unwrap();
        fork.prefill(&tokens[..5]).unwrap();
        fork.rewind(40);
        fork.prefill(&tokens[40..]).unwrap();
        assert!(bits(&fork) == bits(&origin), "{kv_format:?}");
        // Into memory that is there, of another size.
        let mut other = open(&model, 1, &SessionOptions { kv_format, ..sized(50, 4) });
        other.prefill(&tokens[10..20]).unwrap();
        other.copy_from(&fork).unwrap();
        assert!(bits(&other) == bits(&origin), "{kv_format:?}");
    }
}

fn sessions_decoded_together_are_as_if_decoded_alone(backend: Backend) {
    for format in [Format::Q4_0, Format::Q6_K, Format::F32] {
        let model = model(Tiny { heads: 2, kv_heads: 1, ..Tiny::new(format) }.bytes(), backend);
        let steps = tokens(&model, 4);
        for (count, together_max, threads) in [(2, 2, 1), (5, 3, 2), (20, 16, 3), (3, 0, 2)] {
            let mut sessions: Vec<Session> = (0..count)
                .map(|i| {
                    // Some are behind a whole run of keys, and no two are alike.
                    let (length, kv_format) = (1 + i * 97 % 300, KvFormat::ALL[i % KvFormat::ALL.len()]);
                    let options = SessionOptions { together_max, kv_format, ..sized(320 + i, 64) };
                    let mut session = open(&model, threads, &options);
                    session.prefill(&tokens(&model, length)).unwrap();
                    session
                })
                .collect();
            let mut alone: Vec<Session> = sessions.iter().map(|session| session.fork().unwrap()).collect();
            for (i, step) in steps.iter().enumerate() {
                let turn: Vec<TokenId> = (0..count).map(|j| (step + j as u32) % 256).collect();
                for (session, token) in alone.iter_mut().zip(&turn) {
                    session.decode(*token).unwrap();
                }
                let mut all: Vec<&mut Session> = sessions.iter_mut().collect();
                // Whichever lends its memory.
                all.rotate_left(i % count);
                let mut turn = turn.clone();
                turn.rotate_left(i % count);
                Session::decode_together(&mut all, &turn).unwrap();
                for (session, alone) in sessions.iter().zip(&alone) {
                    assert_eq!(session.tokens(), alone.tokens());
                    assert!(
                        bits(session) == bits(alone),
                        "{count} sessions, {together_max} at once, {format:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn sessions_that_cannot_be_decoded_together_stay_as_they_are() {
    let model = tiny(Backend::detect());
    let (mut a, mut b) = (session(&model, 1, 8, 4), session(&model, 1, 3, 3));
    a.prefill(&[1, 2, 3]).unwrap();
    b.prefill(&[1, 2, 3]).unwrap();
    let before = bits(&a);
    let full = Session::decode_together(&mut [&mut a, &mut b], &[4, 4]).unwrap_err();
    assert_eq!(full, Error::ContextFull { needed: 4, context: 3 });
    b.rewind(2);
    for tokens in [&[4][..], &[4, 4, 4], &[4, u32::MAX], &[u32::MAX, 4]] {
        let error = Session::decode_together(&mut [&mut a, &mut b], tokens).unwrap_err();
        assert!(matches!(error, Error::Argument(_)), "{error}");
    }
    let mut stranger = session(&tiny(Backend::detect()), 1, 8, 4);
    let error = Session::decode_together(&mut [&mut a, &mut stranger], &[4, 4]).unwrap_err();
    assert!(error.to_string().contains("two models"), "{error}");
    assert!(a.copy_from(&stranger).unwrap_err().to_string().contains("two models"));
    assert_eq!((a.position(), bits(&a)), (3, before.clone()));
    // Cancelled, nobody has read anything.
    a.cancel().cancel();
    assert_eq!(Session::decode_together(&mut [&mut a, &mut b], &[4, 4]), Err(Error::Cancelled));
    assert_eq!((a.position(), b.position(), a.has_logits()), (3, 2, false));
    a.cancel().reset();
    Session::decode_together(&mut [&mut a, &mut b], &[4, 4]).unwrap();
    Session::decode_together(&mut [], &[]).unwrap();
}

fn a_prompt_is_read_from_where_it_differs(backend: Backend) {
    let model = tiny(backend);
    let text = tokens(&model, 60);
    let mut held = open(&model, 1, &sized(64, 64));
    assert_eq!(held.prompt(&text[..40]).unwrap(), 40);
    assert_eq!(held.prompt(&text[..40]).unwrap(), 0, "all of it is there, and what follows is scored");
    assert_eq!(held.prompt(&text[..50]).unwrap(), 10);
    assert_eq!(held.prompt(&text[..30]).unwrap(), 1, "what follows the last token has to be scored");
    let other = [&text[..20], &text[45..]].concat();
    assert_eq!(held.prompt(&other).unwrap(), 15);
    let mut fresh = open(&model, 1, &sized(64, 64));
    fresh.prefill(&other).unwrap();
    assert_eq!((held.tokens(), bits(&held)), (&other[..], bits(&fresh)));
    // What cannot be read changes nothing.
    let before = (held.tokens().to_vec(), bits(&held));
    assert_eq!(held.prompt(&text.repeat(2)), Err(Error::ContextFull { needed: 120, context: 64 }));
    assert!(matches!(held.prompt(&[]), Err(Error::Argument(_))));
    assert!(matches!(held.prompt(&[text[0], u32::MAX]), Err(Error::Argument(_))));
    assert_eq!((held.tokens().to_vec(), bits(&held)), before);
}

fn a_session_computes_the_same_however_its_tokens_came(backend: Backend) {
    for format in [Format::Q4_0, Format::Q6_K, Format::F16] {
        let model = model(Tiny { heads: 2, kv_heads: 1, ..Tiny::new(format) }.bytes(), backend);
        let text = tokens(&model, 300);
        let read = |threads, batch: Option<usize>, piece: usize| {
            let options = SessionOptions { exact: true, batch, context: Some(300), ..Default::default() };
            let mut session = open(&model, threads, &options);
            text.chunks(piece).for_each(|piece| session.prefill(piece).unwrap());
            bits(&session)
        };
        let one_by_one = read(1, None, 1);
        for (threads, batch, piece) in [(1, None, 300), (2, Some(256), 37), (3, Some(5), 100)] {
            assert!(
                read(threads, batch, piece) == one_by_one,
                "{format:?}, {threads} threads, {batch:?}, {piece}"
            );
        }
    }
}

/// In a model of one layer, keys and values know nothing of the tokens before theirs. So a shifted context is that of the
/// shortened text, but for the rounding of keys that were turned twice. Turned to wrong places, the noise is more than 1.
fn tokens_behind_a_gap_move_up(backend: Backend) {
    let shape = Tiny { heads: 2, kv_heads: 1, layers: 1, ..Tiny::new(Format::F32) };
    let model = model(shape.bytes(), backend);
    let text = tokens(&model, 100);
    for (kv_format, bound) in [(KvFormat::F16, 3e-4), (KvFormat::Q8_0, 0.05), (KvFormat::Q4_0, 0.9)] {
        for (keep, discard) in [(4, 30), (0, 1), (1, 98), (60, 39), (0, 0)] {
            let options = SessionOptions { kv_format, exact: true, ..sized(100, 16) };
            let mut shifted = open(&model, 2, &options);
            shifted.prefill(&text[..99]).unwrap();
            let before = bits(&shifted);
            shifted.shift(keep, discard).unwrap();
            let short = [&text[..keep], &text[keep + discard..]].concat();
            assert_eq!(shifted.tokens(), &short[..short.len() - 1]);
            let scored = keep + discard < 99;
            assert_eq!(shifted.has_logits(), scored);
            assert!(!scored || bits(&shifted) == before, "the logits stay");
            shifted.decode(text[99]).unwrap();
            let mut fresh = open(&model, 1, &options);
            fresh.prefill(&short).unwrap();
            let noise = noise(shifted.logits(), fresh.logits());
            assert!(noise < bound, "{kv_format:?}, {discard} behind {keep}: {noise:e}");
        }
    }
}

#[test]
fn a_gap_beyond_what_is_held_is_refused() {
    let mut session = session(&tiny(Backend::detect()), 1, 16, 4);
    session.prefill(&[1, 2, 3, 4, 5]).unwrap();
    let before = bits(&session);
    for (keep, discard) in [(0, 6), (6, 0), (5, 1), (usize::MAX, 1), (1, usize::MAX)] {
        assert!(matches!(session.shift(keep, discard), Err(Error::Argument(_))));
    }
    assert_eq!((session.position(), bits(&session)), (5, before));
    session.shift(2, 3).unwrap();
    assert_eq!((session.tokens(), session.has_logits()), (&[1, 2][..], false));
}

/// The normalised mean square of the differences.
fn noise(got: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let differences = got.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b)));
    differences.sum::<f64>() / expected.iter().map(|x| square(f64::from(*x))).sum::<f64>()
}
