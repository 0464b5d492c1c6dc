//! Sliding windows: layers that have one keep the last positions only, and that changes nothing that can be seen.

mod common;

use std::sync::Arc;

use bantam::{Model, Pool, Session, SessionOptions};
use common::architectures::architectures;
use common::{Random, bits};

/// Far more than the windows of the models, which have 24.
const CONTEXT: usize = 1024;

/// Models with windows in some layers, by name.
const MODELS: [&str; 3] = ["gemma3-q4_0", "gpt-oss-mxfp4", "gemma4-q4_0"];

fn models() -> impl Iterator<Item = (&'static str, Model)> {
    let all = architectures().into_iter().filter(|variant| MODELS.contains(&variant.name));
    all.map(|variant| (variant.name, Model::from_bytes(variant.file.write()).unwrap()))
}

fn options(batch: usize, rewind_max: usize) -> SessionOptions {
    let context = Some(CONTEXT);
    SessionOptions { context, batch: Some(batch), rewind_max, together_max: 2, ..SessionOptions::default() }
}

/// A session whose layers with windows keep few positions, and one whose keep all.
fn both(model: &Model) -> [Session; 2] {
    [0, CONTEXT].map(|rewind_max| {
        Session::open(model, Arc::new(Pool::new(2).unwrap()), &options(64, rewind_max)).unwrap()
    })
}

fn tokens(n: usize) -> Vec<u32> {
    let mut random = Random::new(5);
    (0..n).map(|_| random.below(256) as u32).collect()
}

fn assert_same([few, all]: &[Session; 2], what: &str) {
    assert_eq!(few.tokens(), all.tokens(), "{what}");
    assert!(bits(few) == bits(all), "{what}");
}

#[test]
fn long_texts_are_read_with_few_positions_as_with_all() {
    let tokens = tokens(900);
    for (name, model) in models() {
        let plans =
            [0, CONTEXT].map(|rewind_max| Session::plan(&model, &options(64, rewind_max), 2).unwrap());
        assert!(plans[0].kv_bytes < plans[1].kv_bytes * 3 / 4, "{name}: {plans:?}");
        let mut sessions = both(&model);
        let mut read = 0;
        for n in [300, 1, 17, 200, 5, 1, 250, 64, 62] {
            sessions.iter_mut().for_each(|session| session.prefill(&tokens[read..read + n]).unwrap());
            read += n;
            assert_same(&sessions, &format!("{name}: {n} tokens up to {read}"));
        }
    }
}

#[test]
fn going_back_changes_nothing_near_or_far() {
    let tokens = tokens(700);
    for (name, model) in models() {
        let mut sessions = both(&model);
        for (back, on) in [(0, 600), (590, 640), (577, 700), (300, 400), (20, 650), (640, 641)] {
            for session in &mut sessions {
                session.rewind(back);
                session.prefill(&tokens[back..on]).unwrap();
            }
            assert_same(&sessions, &format!("{name}: back to {back}, on to {on}"));
        }
    }
}

#[test]
fn forks_and_saved_sessions_hold_what_is_needed() {
    let tokens = tokens(700);
    for (name, model) in models() {
        let mut sessions = both(&model);
        sessions.iter_mut().for_each(|session| session.prefill(&tokens[..600]).unwrap());
        let mut forks = sessions.each_ref().map(|session| session.fork().unwrap());
        // From few positions to many, and the other way.
        let [few, all] = &sessions;
        let mut crossed = both(&model);
        crossed[0].copy_from(all).unwrap();
        crossed[1].copy_from(few).unwrap();
        let mut restored = both(&model);
        let [to_few, to_all] = &mut restored;
        for (from, to) in [(few, to_all), (all, to_few)] {
            let mut saved = vec![0; from.saved_bytes()];
            assert_eq!(from.save_to(&mut saved).unwrap(), saved.len());
            to.restore_from(&saved).unwrap();
            // A number of positions that is no number of them.
            let at = 56 + 4 * (600 + from.logits().len());
            saved[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            assert!(to.restore_from(&saved).is_err(), "{name}");
            assert_eq!(to.position(), 600);
        }
        assert!(few.saved_bytes() < all.saved_bytes());
        for (pair, what) in [(&mut forks, "forked"), (&mut crossed, "crossed"), (&mut restored, "restored")] {
            for (back, on) in [(600, 650), (645, 700), (10, 500)] {
                for session in &mut *pair {
                    session.rewind(back);
                    session.prefill(&tokens[back..on]).unwrap();
                }
                assert_same(pair, &format!("{name}, {what}: back to {back}, on to {on}"));
            }
        }
    }
}

#[test]
fn sessions_are_decoded_together_wherever_they_stand() {
    let tokens = tokens(700);
    for (name, model) in models() {
        let (mut one, mut other) = (both(&model), both(&model));
        for session in &mut one {
            session.prefill(&tokens[..650]).unwrap();
            session.rewind(40);
        }
        other.iter_mut().for_each(|session| session.prefill(&tokens[..511]).unwrap());
        for &token in &tokens[600..604] {
            for (one, other) in one.iter_mut().zip(&mut other) {
                Session::decode_together(&mut [one, other], &[token, token + 1]).unwrap();
            }
            assert_same(&one, name);
            assert_same(&other, name);
        }
    }
}

#[test]
fn a_gap_is_closed_or_what_is_left_is_read_again() {
    let tokens = tokens(700);
    for (name, model) in models() {
        let mut sessions = both(&model);
        for session in &mut sessions {
            session.prefill(&tokens[..600]).unwrap();
            session.shift(4, 300).unwrap();
            session.prefill(&tokens[600..650]).unwrap();
        }
        assert_same(&sessions, name);
        let [few, _] = &mut sessions;
        // Fewer stay behind the gap than a window sees.
        few.shift(4, 336).unwrap();
        few.prefill(&tokens[650..660]).unwrap();
        let [mut fresh, _] = both(&model);
        fresh.prefill(&tokens[..4]).unwrap();
        fresh.prefill(&tokens[640..650]).unwrap();
        fresh.prefill(&tokens[650..660]).unwrap();
        assert_eq!(few.tokens(), fresh.tokens());
        assert!(bits(few) == bits(&fresh), "{name}");
    }
}
