//! Cancellable anywhere: a switch set from another thread stops a prefill after whole batches, the session goes on from
//! there as if nothing had been, and a switch that was set too early is not lost.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

#[macro_use]
mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bantam::{Backend, Cancel, Error, Format, Session};

use common::tiny::Tiny;
use common::{bits, demo, model, session, tokens};

properties! {
    a_prefill_is_cancelled_between_batches_and_goes_on
    a_switch_set_before_the_start_is_not_lost
    a_cancelled_call_can_be_made_again
    a_switch_that_is_reset_at_once_leaves_no_half_result
}

const BATCH: usize = 16;
const POSITIONS: usize = 800;

fn tiny(backend: Backend, threads: usize, context: usize) -> Session {
    session(&model(Tiny::new(Format::Q4_0).bytes(), backend), threads, context, BATCH)
}

/// Prefills while another thread sets the switch after `delay`: what came of it, and how long it took from the switch.
fn prefill_cancelled_after(session: &mut Session, tokens: &[u32], delay: Duration) -> (bool, Duration) {
    let cancel = session.cancel();
    std::thread::scope(|scope| {
        let switched = scope.spawn(move || {
            std::thread::sleep(delay);
            cancel.cancel();
            Instant::now()
        });
        let result = session.prefill(tokens);
        let ended = Instant::now();
        let latency = ended.saturating_duration_since(switched.join().unwrap());
        assert!(matches!(result, Ok(()) | Err(Error::Cancelled)), "{result:?}");
        (result.is_err(), latency)
    })
}

fn a_prefill_is_cancelled_between_batches_and_goes_on(backend: Backend) {
    for threads in [1, 2] {
        let mut session = tiny(backend, threads, POSITIONS);
        let tokens = tokens(session.model(), POSITIONS);
        let began = Instant::now();
        session.prefill(&tokens).unwrap();
        let whole = began.elapsed();
        let expected = bits(&session);
        let mut in_the_middle = 0;
        for tenth in 1..30 {
            session.rewind(0);
            session.cancel().reset();
            // Early ones come in the middle, unless the machine is busy elsewhere.
            let delay = whole * (tenth % 10) / 10;
            let (cancelled, _) = prefill_cancelled_after(&mut session, &tokens, delay);
            session.cancel().reset();
            if cancelled {
                let read = session.position();
                assert!(read.is_multiple_of(BATCH) && read < tokens.len(), "{read} tokens");
                assert!(!session.has_logits());
                in_the_middle += usize::from(read > 0);
                session.prefill(&tokens[read..]).unwrap();
            }
            assert_eq!(session.position(), tokens.len());
            assert!(bits(&session) == expected, "goes on after {} tokens", session.position());
            if in_the_middle == 2 {
                break;
            }
        }
        assert!(in_the_middle > 0, "no switch was seen in the middle of {whole:?}");
    }
}

fn a_switch_set_before_the_start_is_not_lost(backend: Backend) {
    let mut session = tiny(backend, 2, 64);
    let tokens = tokens(session.model(), 40);
    session.prefill(&tokens[..20]).unwrap();
    let before = bits(&session);
    let own = session.cancel();
    let other = Cancel::new().unwrap();
    for cancel in [own, other] {
        session.set_cancel(cancel.clone());
        cancel.cancel();
        assert!(cancel.is_cancelled() && session.cancel().is_cancelled());
        for _ in 0..2 {
            assert_eq!(session.prefill(&tokens[20..]), Err(Error::Cancelled));
            assert_eq!(session.decode(tokens[20]), Err(Error::Cancelled));
            assert_eq!(session.score_each(&tokens[20..], |_, _| {}), Err(Error::Cancelled));
            assert_eq!((session.position(), session.has_logits()), (20, false));
        }
        cancel.reset();
        session.rewind(19);
        session.decode(tokens[19]).unwrap();
        assert!(bits(&session) == before, "the last token can be read again");
    }
    // A switch that nobody listens to any more.
    let forgotten = Cancel::new().unwrap();
    session.set_cancel(forgotten.clone());
    session.set_cancel(Cancel::new().unwrap());
    forgotten.cancel();
    session.prefill(&tokens[20..]).unwrap();
}

/// Wherever a call is when the switch is seen, even in its last step, the tokens it has not finished are not held: the
/// same call can be made again.
fn a_cancelled_call_can_be_made_again(backend: Backend) {
    let mut session = tiny(backend, 1, 64);
    let tokens = tokens(session.model(), 40);
    session.prefill(&tokens).unwrap();
    let expected = bits(&session);
    session.rewind(0);
    // The tokens are shown one by one, so the switch is seen in the scoring of the next one.
    for stop_at in [0, 5, 14, 15, 16, 30, 38] {
        session.rewind(0);
        let cancel = session.cancel();
        let mut shown = 0;
        let result = session.score_each(&tokens, |i, _| {
            shown = i + 1;
            if i == stop_at {
                cancel.cancel();
            }
        });
        assert_eq!(result, Err(Error::Cancelled));
        assert_eq!(shown, stop_at + 1, "nothing is shown after the switch");
        assert_eq!(
            session.position(),
            stop_at / BATCH * BATCH + if stop_at % BATCH == 15 { BATCH } else { 0 }
        );
        assert!(!session.has_logits());
        cancel.reset();
        let read = session.position();
        session.prefill(&tokens[read..]).unwrap();
        assert!(bits(&session) == expected, "stopped at {stop_at}");
    }
    let cancel = session.cancel();
    let result = session.score_each(&[1], |_, _| cancel.cancel());
    assert_eq!(result, Ok(()), "what was through before the switch is not undone");
    assert!(session.has_logits() && session.position() == 41);
}

/// A loop that saw the switch has left something out, even if nobody sees it set any more: the call must not succeed.
fn a_switch_that_is_reset_at_once_leaves_no_half_result(backend: Backend) {
    let mut session = tiny(backend, 2, 64);
    let tokens = tokens(session.model(), 40);
    session.prefill(&tokens).unwrap();
    let expected = bits(&session);
    let (cancel, done) = (session.cancel(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                cancel.cancel();
                cancel.reset();
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let mut wrong = 0;
        for _ in 0..200 {
            session.rewind(0);
            wrong += usize::from(session.prefill(&tokens).is_ok() && bits(&session) != expected);
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(wrong, 0, "of 200 prefills");
    });
}

/// The time between the switch and the answer is printed, and no limit is asserted: other programs may be running.
#[test]
fn the_demo_model_stops_within_milliseconds() {
    let Some(model) = demo(Backend::detect()) else { return };
    if common::only_scalar() {
        println!("skipped: the scalar backend takes too long for the demo model");
        return;
    }
    let mut session = session(&model, 2, 1024, bantam::BATCH_DEFAULT);
    let tokens = tokens(&model, 1024);
    let mut latencies = Vec::new();
    for millis in [5, 20, 50, 90, 140, 200, 270] {
        session.rewind(0);
        session.cancel().reset();
        let (cancelled, latency) =
            prefill_cancelled_after(&mut session, &tokens, Duration::from_millis(millis));
        assert!(session.position().is_multiple_of(bantam::BATCH_DEFAULT));
        latencies.extend(cancelled.then_some(latency));
    }
    latencies.sort_unstable();
    println!("{} prefills cancelled, from the switch to the answer: {latencies:?}", latencies.len());
}
