//! Memory: nothing is allocated between two tokens, what a session takes is what its plan said, and memory that is
//! refused is an error. Tests are named `property::backend` where they run one.
#![cfg(feature = "std")]

#[macro_use]
mod common;
#[path = "common/counting.rs"]
mod counting;

use std::sync::Arc;

use bantam::{
    Backend, Confidence, DRAFT_MAX, DraftModel, Drafter, EmbedOptions, Embedder, EncodeOptions, Error,
    Format, GenerateOptions, Generator, Input, Lookup, Model, Overflow, Pool, Pooling, Sampler,
    SamplerOptions, Session, SessionOptions, Stage, TokenMask, Utf8Stream,
};

use common::adapters::{self, Adapted, adapted};
use common::architectures::architectures;
use common::architectures::encoders::encoders;
use common::reference::Variant;
use common::tiny::Tiny;
use common::{demo, forced, model, sized, tokens};
use counting::{Counting, Taken, alone, during, refusing, settle};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

properties! {
    nothing_is_allocated_between_two_tokens
    nothing_is_allocated_between_two_tokens_of_any_architecture
    nothing_is_allocated_between_two_tokens_of_the_demo_model
    nothing_is_allocated_with_adapters
    nothing_is_allocated_for_vectors
    a_plan_is_what_is_allocated
}

/// The options of a session of that size with room for guesses, all of which are verified.
fn drafting(context: usize, batch: usize, draft: usize) -> SessionOptions {
    let mut options = sized(context, batch);
    (options.draft_max, options.draft_min) = (draft, draft);
    options
}

/// Every sampler, alone and in a chain, and every other way through them.
fn samplers(model: &Model) -> Vec<Sampler> {
    let all = SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Default::default() };
    let default = SamplerOptions::default();
    let dry = SamplerOptions { dry_multiplier: 0.8, dry_breakers: &[], ..all };
    let options = [
        default,
        all,
        SamplerOptions { temperature: 0.0, logit_bias: &[(5, 1.0), (3, f32::NEG_INFINITY)], ..all },
        SamplerOptions { temperature: 0.5, top_p: 0.9, min_p: 0.1, ..all },
        SamplerOptions { temperature: 2.0, top_k: 1, ..all },
        SamplerOptions { top_k: 100_000, top_p: 0.5, top_logprobs: 64, ..all },
        SamplerOptions { typical_p: 0.9, ..all },
        SamplerOptions { top_n_sigma: 1.0, ..all },
        SamplerOptions { xtc_probability: 1.0, xtc_threshold: 0.0001, ..all },
        SamplerOptions { dynatemp_range: 0.5, ..all },
        SamplerOptions { mirostat: 1, ..all },
        SamplerOptions { mirostat: 2, top_logprobs: 5, ..all },
        SamplerOptions { repeat_penalty: 1.1, frequency_penalty: 0.1, presence_penalty: 0.1, ..all },
        dry,
        SamplerOptions { dry_breakers: &["\n", "the"], ..dry },
        SamplerOptions { top_k: 40, typical_p: 0.9, xtc_probability: 0.5, repeat_penalty: 1.1, ..dry },
        SamplerOptions {
            stages: &[Stage::Temperature, Stage::Penalties, Stage::TopP],
            repeat_penalty: 1.2,
            ..default
        },
    ];
    let made =
        options.into_iter().map(|options| Sampler::with_tokenizer(options, model.tokenizer()).unwrap());
    [Sampler::greedy()].into_iter().chain(made).collect()
}

/// Whether layers of the model carry a state from token to token: those read no guesses, and cannot be shifted.
fn carries(model: &Model) -> bool {
    model.file().tensors().any(|(name, _)| name.contains("conv"))
}

/// A conversation, with all that a program does between two tokens; how much text it was.
fn converse(
    session: &mut Session,
    tokens: &[u32],
    samplers: &mut [Sampler],
    drafters: [&mut dyn Drafter; 2],
    confidence: &mut Confidence,
) -> usize {
    let mut stream = Utf8Stream::new();
    let mut length = 0;
    for (batch, sampler) in tokens.chunks(tokens.len() / samplers.len()).zip(&mut *samplers) {
        session.prefill(batch).unwrap();
        for allowed in [None, Some(TokenMask::new(&[0b1011_0110; 8])), None] {
            let mut other = sampler.clone();
            let choice = session.choose(sampler, allowed).unwrap();
            let token = session.choose(&mut other, allowed).unwrap().token;
            assert_eq!(token, choice.token, "a clone goes on as the sampler does");
            confidence.push(&choice);
            length += session.top_logprobs().len() + confidence.summary().iter().count();
            let tokenizer = session.model().tokenizer();
            length += usize::from(tokenizer.is_end_of_generation(token) || tokenizer.is_control(token));
            length += tokenizer.token_bytes(token).map_or(0, <[u8]>::len);
            stream.push(tokenizer.piece(token), |part| length += part.len());
            session.decode(token).unwrap();
        }
        session.rewind(session.position() - 2);
    }
    for drafter in drafters {
        session.rewind(20);
        session.prefill(&tokens[..10]).unwrap();
        for _ in 0..12 {
            let token = session.sample(&mut samplers[0]).unwrap();
            session.speculate(token, drafter).unwrap();
        }
    }
    let shifted = session.shift(1, session.position() / 2);
    assert_eq!(shifted.is_ok(), !carries(session.model()));
    session.prompt(&tokens[..5]).unwrap();
    session.rewind(1);
    session.score_each(&tokens[..5], |_, logits| length += logits.len()).unwrap();
    stream.finish(|part| length += part.len());
    length
}

/// What a conversation takes, of all threads.
fn taken_by_conversation(model: &Model, threads: usize, prompt: usize) -> Taken {
    let pool = Arc::new(Pool::new(threads).unwrap());
    let mut session = Session::open(model, pool.clone(), &drafting(2 * prompt, 16, DRAFT_MAX)).unwrap();
    let tokens = tokens(session.model(), prompt);
    let mut samplers = samplers(model);
    // The answer is longer than it has room for.
    let mut confidence = Confidence::new(10).unwrap();
    let mut lookup = Lookup::new();
    let guessing = Session::open(model, pool, &sized(2 * prompt, 16)).unwrap();
    let mut draft_model = DraftModel::new(guessing, model).unwrap();
    // Workers that are only starting still have to name themselves.
    settle(threads - 1);
    let (length, taken) = during(|| {
        converse(&mut session, &tokens, &mut samplers, [&mut lookup, &mut draft_model], &mut confidence)
    });
    assert!(length > 0);
    assert_eq!(session.drafts().accepted > 0, !carries(model));
    // What fails allocates nothing either.
    let (_, failed) = during(|| {
        session.prefill(&[u32::MAX]).unwrap_err();
        session.prefill(&[]).unwrap_err();
        session.prefill(&tokens.repeat(1)[..0]).unwrap_err();
        session.cancel().cancel();
        session.decode(1).unwrap_err();
    });
    assert_eq!(failed.peak_bytes, 4 * tokens.len(), "the tokens repeated above, and nothing else");
    taken
}

/// What an answer takes, pulled piece by piece in a context that overflows.
fn taken_by_an_answer(model: &Model) -> Taken {
    let pool = Arc::new(Pool::new(1).unwrap());
    let mut session = Session::open(model, pool, &drafting(40, 16, 3)).unwrap();
    let sampler = Sampler::new(SamplerOptions { top_logprobs: 3, ..Default::default() }).unwrap();
    let options = GenerateOptions {
        max_tokens: 60,
        stop: &["never there", "\u{2603}\u{2603}"],
        stop_tokens: &[u32::MAX],
        ignore_end: true,
        overflow: Overflow::Shift { keep: 4 },
    };
    let mut generator = Generator::new(model, 40, sampler, &options).unwrap();
    generator.set_drafter(Some(Box::new(Lookup::new())));
    let prompt = tokens(model, 20);
    let (length, taken) = during(|| {
        session.prompt(&prompt).unwrap();
        let mut length = 0;
        while let Some(piece) = generator.next(&mut session).unwrap() {
            length += piece.text.len() + session.top_logprobs().len();
        }
        generator.restart();
        length
    });
    assert!(length > 60);
    taken
}

/// What it takes to copy a session, to save and restore it, and to decode two together.
fn taken_by_two_sessions(model: &Model, threads: usize) -> Taken {
    let pool = Arc::new(Pool::new(threads).unwrap());
    let options = SessionOptions { together_max: 2, ..sized(64, 16) };
    let mut one = Session::open(model, pool, &options).unwrap();
    one.prefill(&tokens(model, 30)).unwrap();
    let mut other = one.fork().unwrap();
    let mut saved = vec![0; one.saved_bytes()];
    settle(threads - 1);
    let ((), taken) = during(|| {
        one.save_to(&mut saved).unwrap();
        one.rewind(3);
        one.restore_from(&saved).unwrap();
        other.rewind(20);
        Session::decode_together(&mut [&mut one, &mut other], &[1, 2]).unwrap();
        other.copy_from(&one).unwrap();
    });
    taken
}

fn nothing_is_allocated_between_two_tokens(backend: Backend) {
    let _alone = alone();
    for format in [Format::Q4_0, Format::F32, Format::Q6_K] {
        let model = model(Tiny::new(format).bytes(), backend);
        for threads in [1, 2, 3] {
            let taken = taken_by_conversation(&model, threads, 60);
            assert_eq!(taken, Taken::default(), "{threads} threads, {format:?}");
            assert_eq!(taken_by_two_sessions(&model, threads), Taken::default());
            assert_eq!(taken_by_an_answer(&model), Taken::default());
        }
    }
}

fn nothing_is_allocated_between_two_tokens_of_any_architecture(backend: Backend) {
    let _alone = alone();
    for variant in architectures() {
        let model = model(variant.file.write(), backend);
        assert_eq!(taken_by_conversation(&model, 2, 40), Taken::default(), "{}", variant.name);
    }
}

fn nothing_is_allocated_with_adapters(backend: Backend) {
    let _alone = alone();
    for Adapted { name, model, adapters } in adapted() {
        let model = common::model(model.write(), backend);
        let opened = adapters::open(&model, &adapters);
        let set: Vec<_> = opened.iter().map(|(adapter, scale)| (adapter, *scale)).collect();
        let mut session = adapters::session(&model, 2, 16, &opened);
        let mut other = session.fork().unwrap();
        let tokens = tokens(&model, 40);
        settle(1);
        let ((), taken) = during(|| {
            session.prefill(&tokens).unwrap();
            session.set_adapters(&[]).unwrap();
            session.prefill(&tokens).unwrap();
            session.set_adapters(&set).unwrap();
            session.prefill(&tokens).unwrap();
            other.copy_from(&session).unwrap();
            Session::decode_together(&mut [&mut session, &mut other], &[1, 2]).unwrap();
            session.decode(3).unwrap();
        });
        assert_eq!(taken, Taken::default(), "{name}");
    }
}

/// Encoders, heads that rank, and decoders: texts of several lengths, in more than one pass.
fn nothing_is_allocated_for_vectors(backend: Backend) {
    let _alone = alone();
    let models = encoders().into_iter().map(|variant| (variant, None));
    let decoders =
        architectures().into_iter().filter(|variant| ["qwen3", "gemma3-q4_0"].contains(&variant.name));
    for (Variant { name, file }, pooling) in models.chain(decoders.map(|each| (each, Some(Pooling::Last)))) {
        let model = common::model(file.write(), backend);
        for pooling in [pooling.or(model.pooling()).unwrap_or(Pooling::Mean), Pooling::None] {
            let options = EmbedOptions { context: Some(64), pooling: Some(pooling), ..Default::default() };
            let mut embedder = Embedder::open(&model, Arc::new(Pool::new(2).unwrap()), &options).unwrap();
            let texts: Vec<_> = (0..20).map(|i| tokens(&model, 1 + i * 3)).collect();
            let texts: Vec<_> = texts.iter().map(|text| Input::from(&text[..])).collect();
            let mut vectors = vec![0.0; embedder.values(&texts)];
            settle(1);
            let ((), taken) = during(|| embedder.embed(&texts, &mut vectors).unwrap());
            assert_eq!(taken, Taken::default(), "{name}, {pooling:?}");
        }
    }
}

fn nothing_is_allocated_between_two_tokens_of_the_demo_model(backend: Backend) {
    let _alone = alone();
    if backend.name() == "scalar" && !common::only_scalar() {
        println!("skipped: the scalar backend takes too long for the demo model");
        return;
    }
    let Some(model) = demo(backend) else { return };
    for threads in [1, 2] {
        assert_eq!(taken_by_conversation(&model, threads, 60), Taken::default());
    }
}

/// What a session takes beside its arenas: the start of each moved to a multiple of 64, their counts of owners, and the
/// cancel switch.
const REMAINDER: usize = 2 * (64 + 64) + 64;

fn a_plan_is_what_is_allocated(backend: Backend) {
    let _alone = alone();
    let models = [Tiny::new(Format::Q4_0), Tiny { tied: false, ..Tiny::new(Format::Q5_K) }];
    let mut models: Vec<Model> = models.map(|tiny| model(tiny.bytes(), backend)).into();
    models.extend(demo(backend));
    for model in models {
        for (threads, context, batch, draft) in
            [(1, 1, 1, 15), (1, 100, 256, 0), (2, 33, 16, 15), (3, 512, 64, 7)]
        {
            let pool = Arc::new(Pool::new(threads).unwrap());
            let options = SessionOptions { adapter_rank: draft, ..drafting(context, batch, draft) };
            let plan = Session::plan(&model, &options, threads).unwrap();
            let (session, taken) = during(|| Session::open(&model, pool.clone(), &options).unwrap());
            assert_eq!(session.memory(), plan);
            assert_eq!(plan.context, context);
            let hyper = model.hyper();
            let kv = context * hyper.layers * 2 * hyper.kv_heads * hyper.head_dim * 2;
            assert_eq!(plan.kv_bytes, kv.next_multiple_of(64));
            let open = taken.kept_bytes as usize;
            let planned = plan.total_bytes();
            assert!((planned..=planned + REMAINDER).contains(&open), "{open} bytes, {planned} planned");
            assert_eq!(taken.peak_bytes, open, "nothing more was held meanwhile");
            let ((), closed) = during(|| drop(session));
            assert_eq!(closed.kept_bytes, -taken.kept_bytes, "all of it is given back");
        }
    }
}

#[test]
fn a_plan_that_cannot_be_is_an_error() {
    let model = model(Tiny::new(Format::Q4_0).bytes(), Backend::detect());
    const HUGE: [usize; 5] = [1 << 40, 1 << 55, 1 << 60, usize::MAX / 2, usize::MAX];
    for context in HUGE {
        for batch in [1, 1 << 20, 1 << 40, 1 << 59, usize::MAX] {
            for threads in [1, 1 << 16, usize::MAX] {
                let options = sized(context, batch);
                match Session::plan(&model, &options, threads) {
                    Ok(plan) => assert!(plan.total_bytes() > context, "{plan:?}"),
                    Err(error) => assert!(matches!(error, Error::Memory { .. }), "{error:?}"),
                }
                let error =
                    Session::open(&model, Arc::new(Pool::new(1).unwrap()), &options).map(drop).unwrap_err();
                assert!(matches!(error, Error::Memory { .. }), "{error:?}");
                assert!(error.to_string().contains("bytes of memory"), "{error}");
            }
        }
    }
    for (context, batch) in [(0, 1), (1, 0)] {
        let error = Session::plan(&model, &sized(context, batch), 1).unwrap_err();
        assert!(matches!(error, Error::Argument(_)), "{error:?}");
    }
    // A guess needs memory for the logits behind it; there are never more than a batch has room for.
    let bytes = |batch, draft| Session::plan(&model, &drafting(64, batch, draft), 1).unwrap().scratch_bytes;
    let logits = model.hyper().vocab_size * 4;
    assert!((bytes(32, 0) + 7 * logits).abs_diff(bytes(32, 7)) < 64);
    assert_eq!(bytes(32, usize::MAX), bytes(32, DRAFT_MAX));
    assert_eq!((bytes(1, 15), bytes(8, 15)), (bytes(1, 0), bytes(8, 7)));
    // A batch is never larger than the context.
    let small = Session::plan(&model, &sized(8, usize::MAX), 1).unwrap();
    assert_eq!(small, Session::plan(&model, &sized(8, 8), 1).unwrap());
}

/// Does `work` over and over, each time with another call for memory refused, until none is; each time but the last it
/// must say so and give everything back. How many calls there were.
fn with_each_call_refused<T>(what: &str, mut work: impl FnMut() -> Result<T, Error>) -> usize {
    for n in 1.. {
        let ((result, refused), taken) = during(|| refusing(n, || work().map(drop)));
        assert_eq!(taken.kept_bytes, 0, "{what}: what was held when call {n} was refused is given back");
        match result {
            Ok(()) => {
                assert!(!refused, "{what}: call {n} was refused, and nobody noticed");
                return n - 1;
            }
            Err(error) => {
                assert!(refused && matches!(error, Error::Memory { bytes: 1.., .. }), "{what}: {error:?}");
            }
        }
    }
    unreachable!("there are only so many calls")
}

/// Starting threads is left out: the standard library itself ends the process when it cannot name one.
#[test]
fn any_memory_that_is_refused_is_an_error() {
    let bytes: &'static [u8] = Tiny { tied: false, ..Tiny::new(Format::Q4_0) }.bytes().leak();
    let calls = with_each_call_refused("model", || Model::from_bytes(bytes));
    println!("opening a model asks {calls} times for memory");
    assert!(calls > 20);

    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("refused");
    std::fs::write(&path, bytes).unwrap();
    assert!(with_each_call_refused("file", || Model::open(&path)) >= calls - 1);
    std::fs::remove_file(path).unwrap();

    let model = Model::from_bytes(bytes).unwrap();
    let pool = Arc::new(Pool::new(1).unwrap());
    let calls = with_each_call_refused("session", || Session::open(&model, pool.clone(), &sized(32, 8)));
    assert_eq!(calls, 5, "two arenas, the counts of their owners, the cancel switch");

    let options = SamplerOptions { logit_bias: &[(1, 2.0)], dry_multiplier: 1.0, ..Default::default() };
    let calls = with_each_call_refused("sampler", || Sampler::with_tokenizer(options, model.tokenizer()));
    assert!(calls > 2, "biases, breakers, and the count of their owners");
    with_each_call_refused("confidence", || Confidence::new(100));

    let text = "the hen in the <|im_start|> barn, and 12345678901234567890123456789012345678901234567890 eggs\u{1F95A}";
    let options = EncodeOptions { add_special: true, parse_special: true };
    let calls = with_each_call_refused("encode", || {
        let mut ids = Vec::new();
        let result = model.tokenizer().encode(text, options, &mut ids);
        assert!(result.is_ok() || ids.is_empty(), "the tokens are as they were");
        result
    });
    println!("encoding asks {calls} times for memory");
}

#[test]
fn a_forced_backend_takes_no_memory() {
    let bytes: &'static [u8] = Tiny::new(Format::Q4_0).bytes().leak();
    let open = |name: &str| {
        let mut options = forced(Backend::detect());
        options.backend = Some(name);
        Model::from_mapping(bantam::mmap::Mapping::from_bytes(bytes)?, &options)
    };
    let ((), taken) = during(|| {
        for wrong in ["", "abacus", "AVX2", "\u{1F414}"] {
            let error = open(wrong).unwrap_err();
            assert!(matches!(error, Error::Argument(_)), "{error:?}");
        }
    });
    assert_eq!(taken.kept_bytes, 0);
}
