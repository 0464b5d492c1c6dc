//! A whole model of any bytes: opened, tokenized with, and run for a few tokens. An error at some step or an answer,
//! never a panic, and never more memory than the plan said.
#![no_main]

use std::sync::{Arc, LazyLock};

use bantam::{EncodeOptions, Error, Lookup, Model, Pool, Sampler, Session, SessionOptions};
use libfuzzer_sys::fuzz_target;

/// A larger plan is not opened: a small file may rightly ask for a large cache.
const PLAN_BYTES_MAX: usize = 16 << 20;

static POOL: LazyLock<Arc<Pool>> =
    LazyLock::new(|| Arc::new(Pool::new(1).expect("a pool of the caller alone")));

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = Model::from_bytes(bytes.to_vec()) else { return };
    let mut prompt = Vec::new();
    let options = EncodeOptions { add_special: true, parse_special: true };
    let encoded = model.tokenizer().encode("ab ba <e> 12 \u{e9}", options, &mut prompt);
    prompt.truncate(4);
    if encoded.is_err() || prompt.is_empty() {
        return;
    }
    let options =
        SessionOptions { context: Some(8), batch: Some(2), draft_max: 1, ..SessionOptions::default() };
    match Session::plan(&model, &options, 1) {
        Ok(plan) if plan.total_bytes() <= PLAN_BYTES_MAX => {}
        _ => return,
    }
    let Ok(mut session) = Session::open(&model, Arc::clone(&POOL), &options) else { return };
    if session.prefill(&prompt).is_err() {
        return;
    }
    let (mut sampler, mut drafter) = (Sampler::greedy(), Lookup::new());
    // One more than fits: the last is refused.
    for _ in 0..=8 {
        // Weights may be no numbers.
        let token = match session.sample(&mut sampler) {
            Err(Error::Inconsistent(_)) => 0,
            token => token.unwrap(),
        };
        let _ = model.tokenizer().token_bytes(token);
        if session.speculate(token, &mut drafter).is_err() {
            break;
        }
    }
    assert!(session.position() <= session.context());
});
