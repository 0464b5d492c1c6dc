//! The same answer: on one backend the logits have the same bits whatever the number of threads, and however many tokens
//! are read at once; of models whose weights are floats, for up to 16 at once. Tests are named `property::backend`.
#![cfg(feature = "std")]

#[macro_use]
mod common;

use std::sync::Arc;
use std::time::Instant;

use bantam::{Backend, Format, Model, Pool, Sampler, SamplerOptions, Session, TokenId};
use bantam_kernels::backend::NARROW;

use common::tiny::Tiny;
use common::{bits, demo, model, session, sized, tokens};

properties! {
    any_number_of_threads_gives_the_same_bits
    narrow_batches_give_the_bits_of_single_tokens
    wide_batches_give_the_bits_of_single_tokens
    wide_batches_of_another_order_agree_with_narrow_ones
    a_rewound_session_repeats_itself
    sessions_that_share_a_pool_do_not_disturb_each_other
    the_demo_model_answers_the_same_on_any_number_of_threads
    the_demo_model_reads_many_tokens_as_it_reads_one
}

/// Shapes that cut differently: rows that are no multiple of a panel, several query heads per key head, and one.
fn models(backend: Backend) -> Vec<Model> {
    let mut all = quantised(backend);
    all.extend(floats(backend));
    all
}

/// Those whose weights are floats.
fn floats(backend: Backend) -> Vec<Model> {
    let formats = [Format::F32, Format::F16, Format::BF16];
    formats.map(|format| model(Tiny { layers: 1, ..Tiny::new(format) }.bytes(), backend)).into()
}

/// Those whose weights are quantised.
fn quantised(backend: Backend) -> Vec<Model> {
    let q4_0 = Tiny::new(Format::Q4_0);
    let mut all = vec![
        q4_0.bytes(),
        // Enough rows for the chunks to depend on the number of threads.
        Tiny { dim: 96, ffn: 1184, heads: 6, kv_heads: 6, tied: false, ..q4_0 }.bytes(),
        Tiny { heads: 8, kv_heads: 1, layers: 1, ..Tiny::new(Format::Q4_K) }.bytes(),
    ];
    let formats = [Format::Q8_0, Format::Q4_1, Format::Q6_K, Format::IQ4_NL];
    all.extend(formats.map(|format| Tiny { layers: 1, ..Tiny::new(format) }.bytes()));
    all.into_iter().map(|bytes| model(bytes, backend)).collect()
}

/// Reads `tokens` in pieces of `piece` on `threads` threads; the bits of the logits behind each piece.
fn read(model: &Model, threads: usize, tokens: &[TokenId], piece: usize) -> Vec<Vec<u32>> {
    let mut session = session(model, threads, tokens.len(), tokens.len());
    let pieces = tokens.chunks(piece);
    pieces
        .map(|piece| {
            match piece {
                [token] => session.decode(*token).unwrap(),
                several => session.prefill(several).unwrap(),
            }
            bits(&session)
        })
        .collect()
}

fn any_number_of_threads_gives_the_same_bits(backend: Backend) {
    for (i, model) in models(backend).iter().enumerate() {
        // Longer than one run of keys in attention, so that runs are joined; once is enough for that.
        let tokens = tokens(model, if i == 0 { 300 } else { 40 });
        let one = read(model, 1, &tokens, 240);
        for threads in [2, 3] {
            assert!(read(model, threads, &tokens, 240) == one, "{threads} threads, {model:?}");
        }
        let single = read(model, 1, &tokens[..4], 1);
        for threads in [2, 3] {
            assert!(read(model, threads, &tokens[..4], 1) == single, "{threads} threads, {model:?}");
        }
    }
}

fn narrow_batches_give_the_bits_of_single_tokens(backend: Backend) {
    for model in models(backend) {
        let tokens = tokens(&model, 36);
        let single = read(&model, 1, &tokens, 1);
        for piece in [2, 7, NARROW] {
            let narrow = read(&model, 2, &tokens, piece);
            for (i, logits) in narrow.iter().enumerate() {
                let last = ((i + 1) * piece).min(tokens.len()) - 1;
                assert!(*logits == single[last], "token {last} in pieces of {piece}, {model:?}");
            }
        }
        // What a piece shows of its own tokens is the same as well.
        let mut session = session(&model, 1, 36, NARROW);
        let each = |i: usize, logits: &[f32]| {
            assert!(logits.iter().map(|l| l.to_bits()).eq(single[i].iter().copied()), "token {i}, {model:?}");
        };
        session.score_each(&tokens, each).unwrap();
    }
}

/// The greatest difference of two sets of logits, as a share of the greatest logit.
fn difference(a: &[u32], b: &[u32]) -> f32 {
    let floats = |bits: &[u32]| bits.iter().map(|&bits| f32::from_bits(bits)).collect::<Vec<f32>>();
    let (a, b) = (floats(a), floats(b));
    let greatest = a.iter().fold(0f32, |greatest, a| greatest.max(a.abs()));
    a.iter().zip(&b).fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / greatest
}

fn wide_batches_give_the_bits_of_single_tokens(backend: Backend) {
    if !backend.has_one_order(Format::Q4_0) {
        return println!("skipped: wide products of {} have an order of their own", backend.name());
    }
    for (i, model) in quantised(backend).iter().enumerate() {
        // Of the first, so many that attention joins runs of keys.
        let tokens = tokens(model, if i == 0 { 300 } else { 50 });
        let single = read(model, 1, &tokens, 1);
        for piece in [17, 37, tokens.len()] {
            let wide = read(model, 2, &tokens, piece);
            for (i, logits) in wide.iter().enumerate() {
                let last = ((i + 1) * piece).min(tokens.len()) - 1;
                assert!(*logits == single[last], "token {last} in pieces of {piece}, {model:?}");
            }
        }
    }
}

/// Wide products of float weights, and on Arm of all, may be rounded in other places. Random weights make the activations as
/// rough as they get, and one that is rounded to another of its 255 values moves a logit by about half a percent; nothing
/// moves one by more than three.
fn wide_batches_of_another_order_agree_with_narrow_ones(backend: Backend) {
    let mut worst = 0f32;
    for model in models(backend) {
        let tokens = tokens(&model, 50);
        let narrow = read(&model, 1, &tokens, NARROW);
        let wide = read(&model, 2, &tokens, 50);
        worst = worst.max(difference(narrow.last().unwrap(), wide.last().unwrap()));
    }
    println!("wide and narrow batches differ by at most {worst:e} of the greatest logit");
    assert!(worst < 0.03, "{worst}");
}

fn a_rewound_session_repeats_itself(backend: Backend) {
    for model in models(backend) {
        let tokens = tokens(&model, 40);
        let mut session = session(&model, 1, 40, 16);
        session.prefill(&tokens[..32]).unwrap();
        let first = bits(&session);
        session.prefill(&tokens[32..]).unwrap();
        let second = bits(&session);
        for from in [32, 16, 0] {
            session.rewind(from);
            assert_eq!((session.position(), session.has_logits()), (from, false));
            // Other tokens may have been there meanwhile.
            session.prefill(&[7, 8, 9]).unwrap();
            session.rewind(from);
            if from < 32 {
                session.prefill(&tokens[from..32]).unwrap();
                assert!(bits(&session) == first, "from {from}");
            }
            session.prefill(&tokens[32..]).unwrap();
            assert!(bits(&session) == second, "from {from}");
        }
        session.rewind(41);
        assert_eq!((session.position(), session.has_logits()), (40, true));
    }
}

/// What a conversation gives: the tokens drawn, and the last logits.
fn converse(mut session: Session, prompt: &[TokenId], draws: usize) -> (Vec<TokenId>, Vec<u32>) {
    let mut sampler = Sampler::new(SamplerOptions { seed: 11, ..Default::default() }).unwrap();
    session.prefill(prompt).unwrap();
    let mut drawn = Vec::new();
    for _ in 0..draws {
        let token = session.sample(&mut sampler).unwrap();
        session.decode(token).unwrap();
        drawn.push(token);
    }
    (drawn, bits(&session))
}

fn sessions_that_share_a_pool_do_not_disturb_each_other(backend: Backend) {
    let model = model(Tiny::new(Format::Q4_0).bytes(), backend);
    let prompts: Vec<Vec<TokenId>> = (20..24).map(|count| tokens(&model, count)).collect();
    let alone: Vec<_> =
        prompts.iter().map(|prompt| converse(session(&model, 1, 64, 16), prompt, 30)).collect();
    for threads in [1, 2, 3] {
        let pool = Arc::new(Pool::new(threads).unwrap());
        let together: Vec<_> = std::thread::scope(|scope| {
            let conversations: Vec<_> = prompts
                .iter()
                .map(|prompt| {
                    let session = Session::open(&model, pool.clone(), &sized(64, 16)).unwrap();
                    scope.spawn(move || converse(session, prompt, 30))
                })
                .collect();
            conversations.into_iter().map(|conversation| conversation.join().unwrap()).collect()
        });
        assert!(together == alone, "{threads} threads");
    }
}

/// How many tokens of the demo model a backend reads in a test: the reference is not made to be quick.
fn demo_tokens(backend: Backend) -> usize {
    if backend.name() == "scalar" { 2 } else { 40 }
}

fn the_demo_model_answers_the_same_on_any_number_of_threads(backend: Backend) {
    let Some(model) = demo(backend) else { return };
    let tokens = tokens(&model, demo_tokens(backend));
    let began = Instant::now();
    let one = read(&model, 1, &tokens, tokens.len() - 1);
    println!("{} tokens on one thread: {:?}", tokens.len(), began.elapsed());
    for threads in [2, 3] {
        assert!(read(&model, threads, &tokens, tokens.len() - 1) == one, "{threads} threads");
    }
}

fn the_demo_model_reads_many_tokens_as_it_reads_one(backend: Backend) {
    let Some(model) = demo(backend) else { return };
    let tokens = tokens(&model, demo_tokens(backend));
    let single = read(&model, 2, &tokens, 1);
    let widest = if backend.has_one_order(Format::Q4_1) { tokens.len() } else { NARROW };
    for piece in [NARROW, widest] {
        let pieces = read(&model, 2, &tokens, piece);
        assert!(pieces[0] == single[tokens.len().min(piece) - 1]);
        assert!(pieces.last() == single.last());
    }
}
