//! Guesses change no output: with any drafter, any sampler and any number of guesses, a session that reads ahead is, token
//! by token, the session that does not. Tests are named `property::backend` where they run one.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

#[macro_use]
mod common;

use std::sync::Arc;

use bantam::{
    Backend, Costs, DRAFT_MAX, DraftModel, Drafter, Drafts, EncodeOptions, Error, Format, Lookup, Model,
    Pool, Sampler, SamplerOptions, Session, SessionOptions, TokenId,
};

use common::tiny::Tiny;
use common::{Random, bits, demo, model, session, sized, tokens};

properties! {
    guesses_change_no_token_and_no_bit
    the_same_model_guesses_everything_right
    a_cancelled_guess_leaves_the_session_as_it_was
    the_demo_model_answers_the_same_with_guesses
}

/// The options of a session with room for `draft` guesses, of which at least `least` are verified whatever they cost.
fn drafting(context: usize, draft: usize, least: usize) -> SessionOptions {
    let mut options = sized(context, 32);
    (options.draft_max, options.draft_min) = (draft, least);
    options
}

fn open(model: &Model, threads: usize, options: &SessionOptions) -> Session {
    Session::open(model, Arc::new(Pool::new(threads).unwrap()), options).unwrap()
}

/// Guesses that are right, wrong, outside the vocabulary or too many, at random.
struct Careless(Random, Vec<TokenId>);

impl Drafter for Careless {
    fn draft(&mut self, tokens: &[TokenId], _: &Costs, out: &mut [TokenId]) -> usize {
        let right = self.1.get(tokens.len()..).unwrap_or_default();
        for (i, out) in out.iter_mut().enumerate() {
            *out = match self.0.below(16) {
                0 => u32::MAX,
                1 => self.0.below(200) as TokenId,
                _ => right.get(i).copied().unwrap_or(7),
            };
        }
        self.0.below(4) * 10
    }
}

fn samplers() -> Vec<Sampler> {
    let seeded = |temperature, top_k, seed| {
        Sampler::new(SamplerOptions { temperature, top_k, seed, ..Default::default() }).unwrap()
    };
    vec![Sampler::greedy(), seeded(0.7, 40, 5), seeded(1.5, 0, 6)]
}

/// What a session answers: each token, and the bits of the logits that it was drawn from.
type Answer = Vec<(TokenId, Vec<u32>)>;

/// Draws `count` tokens behind `prompt`, reading each by `read`.
fn answer(
    session: &mut Session,
    prompt: &[TokenId],
    mut sampler: Sampler,
    count: usize,
    mut read: impl FnMut(&mut Session, TokenId) -> Result<(), Error>,
) -> (Answer, Option<Error>) {
    session.rewind(0);
    session.prefill(prompt).unwrap();
    let mut answer = Answer::new();
    while answer.len() < count {
        let before = bits(session);
        let token = session.sample(&mut sampler).unwrap();
        answer.push((token, before));
        if let Err(error) = read(session, token) {
            return (answer, Some(error));
        }
        assert_eq!(session.position(), prompt.len() + answer.len());
        assert_eq!(session.tokens().last(), Some(&token));
    }
    (answer, None)
}

/// Prompts of a single token, and of a pattern.
fn prompts(model: &Model) -> Vec<Vec<TokenId>> {
    let random = tokens(model, 9);
    vec![random[..1].to_vec(), random.repeat(3)]
}

fn guesses_change_no_token_and_no_bit(backend: Backend) {
    let wide = Tiny { heads: 8, kv_heads: 1, layers: 1, ..Tiny::new(Format::Q4_K) };
    let untied = Tiny { tied: false, ..Tiny::new(Format::F16) };
    let other = model(Tiny { layers: 1, ..Tiny::new(Format::Q8_0) }.bytes(), backend);
    for (tiny, threads, draft, least) in [
        (Tiny::new(Format::Q4_0), 1, 15, 15),
        (Tiny::new(Format::Q4_0), 2, 5, 0),
        (Tiny::new(Format::Q4_0), 1, 0, 3),
        (untied, 1, 1, 1),
        (wide, 2, 15, 1),
    ] {
        let model = model(tiny.bytes(), backend);
        let context = 48;
        let mut plain = session(&model, 1, context, 32);
        let mut ahead = open(&model, threads, &drafting(context, draft, least));
        // Drafters that have seen other conversations, which they must not mistake for this one.
        let mut lookup = Lookup::new();
        let mut other = DraftModel::new(session(&other, 1, 40, 32), &model).unwrap();
        for (prompt, sampler) in prompts(&model)
            .iter()
            .flat_map(|prompt| samplers().into_iter().map(move |sampler| (prompt, sampler)))
        {
            // More tokens than there is room for: the last is refused.
            let (expected, full) = answer(&mut plain, prompt, sampler.clone(), context, |s, t| s.decode(t));
            assert!(matches!(full, Some(Error::ContextFull { .. })), "{full:?}");
            let right = prompt.iter().copied().chain(expected.iter().map(|(token, _)| *token)).collect();
            let mut careless = Careless(Random::new(9), right);
            let drafters: [&mut dyn Drafter; 3] = [&mut lookup, &mut other, &mut careless];
            for drafter in drafters {
                let (told, error) =
                    answer(&mut ahead, prompt, sampler.clone(), context, |s, t| s.speculate(t, drafter));
                assert!(told == expected && error == full, "{draft} guesses, {model:?}");
            }
        }
        let Drafts { drafted, accepted, passes, .. } = ahead.drafts();
        assert!(accepted <= drafted && passes <= drafted, "{accepted} of {drafted} in {passes}");
        assert_eq!(accepted > 0, draft > 0, "{drafted} guesses");
    }
}

fn the_same_model_guesses_everything_right(backend: Backend) {
    let model = model(Tiny::new(Format::Q4_1).bytes(), backend);
    let mut ahead = open(&model, 2, &drafting(100, DRAFT_MAX, 4));
    let mut drafter = DraftModel::new(session(&model, 1, 100, 32), &model).unwrap();
    let prompt = tokens(&model, 21);
    // Five tokens a pass: one that is certain, and four guesses.
    let (_, error) = answer(&mut ahead, &prompt, Sampler::greedy(), 50, |s, t| s.speculate(t, &mut drafter));
    let drafts = ahead.drafts();
    assert_eq!((error, drafts.passes, drafts.drafted, drafts.accepted), (None, 10, 40, 40));
    // It read all but the last of its guesses, which nobody has confirmed yet.
    assert_eq!(drafter.session().position(), 21 + 50 - 1);
}

#[test]
fn a_draft_model_that_is_no_smaller_is_not_asked() {
    let model = model(Tiny::new(Format::Q4_0).bytes(), Backend::detect());
    let mut ahead = open(&model, 1, &drafting(100, DRAFT_MAX, 0));
    let mut drafter = DraftModel::new(session(&model, 1, 100, 32), &model).unwrap();
    let (_, error) =
        answer(&mut ahead, &tokens(&model, 9), Sampler::greedy(), 80, |s, t| s.speculate(t, &mut drafter));
    assert_eq!((error, ahead.drafts().drafted, drafter.session().position()), (None, 0, 0));
}

fn a_cancelled_guess_leaves_the_session_as_it_was(backend: Backend) {
    let model = model(Tiny::new(Format::Q4_0).bytes(), backend);
    let prompt = tokens(&model, 12);
    let mut plain = session(&model, 1, 64, 32);
    let (expected, _) = answer(&mut plain, &prompt, Sampler::greedy(), 30, |s, t| s.decode(t));
    let right: Vec<TokenId> =
        prompt.iter().copied().chain(expected.iter().map(|(token, _)| *token)).collect();
    let mut ahead = open(&model, 1, &drafting(64, 8, 8));
    let mut drafter = Careless(Random::new(1), right);
    let (told, _) = answer(&mut ahead, &prompt, Sampler::greedy(), 30, |s, t| {
        // Every token is cancelled once: where it has to be read, and where it was read ahead.
        s.cancel().cancel();
        let position = s.position();
        assert_eq!(s.speculate(t, &mut drafter), Err(Error::Cancelled));
        assert_eq!((s.position(), s.has_logits()), (position, false));
        assert!(s.sample(&mut Sampler::greedy()).is_err());
        s.cancel().reset();
        s.speculate(t, &mut drafter)
    });
    assert!(told == expected);
}

#[test]
fn what_was_read_ahead_is_forgotten_when_something_else_comes() {
    let model = model(Tiny::new(Format::Q4_0).bytes(), Backend::detect());
    let all = tokens(&model, 40);
    /// Guesses what it was told.
    struct Told(Vec<TokenId>);
    impl Drafter for Told {
        fn draft(&mut self, tokens: &[TokenId], _: &Costs, out: &mut [TokenId]) -> usize {
            let guess = &self.0[tokens.len()..];
            let len = guess.len().min(out.len());
            out[..len].copy_from_slice(&guess[..len]);
            len
        }
    }
    let mut told = Told(all.clone());
    let mut plain = session(&model, 1, 64, 32);
    let mut ahead = open(&model, 1, &drafting(64, 10, 0));
    let mut check = |ahead: &mut Session, held: &[TokenId]| {
        plain.rewind(0);
        plain.prefill(held).unwrap();
        // Read again one by one, the cache is seen to hold the right keys too.
        plain.decode(3).unwrap();
        ahead.decode(3).unwrap();
        assert_eq!((ahead.tokens(), bits(ahead)), (plain.tokens(), bits(&plain)));
    };
    for steps in [1, 4, 11, 12] {
        ahead.rewind(0);
        ahead.prefill(&all[..8]).unwrap();
        all[8..8 + steps].iter().for_each(|&token| ahead.speculate(token, &mut told).unwrap());
        // Another token than the guess.
        check(&mut ahead, &all[..8 + steps]);
        // A prompt behind it, a part of which was guessed.
        ahead.rewind(8 + steps);
        ahead.prefill(&all[8 + steps..20 + steps]).unwrap();
        check(&mut ahead, &all[..20 + steps]);
        // Back to the middle of what was read ahead, and to its start.
        for back in [9, 8] {
            ahead.rewind(8);
            ahead.prefill(&[5]).unwrap();
            ahead.rewind(8);
            all[8..8 + steps].iter().for_each(|&token| ahead.speculate(token, &mut told).unwrap());
            ahead.rewind(back);
            assert_eq!((ahead.position(), ahead.has_logits()), (back, 8 + steps == back));
            check(&mut ahead, &all[..back]);
        }
    }
    // Guesses of a token that was refused are not made.
    let drafts = ahead.drafts();
    assert!(matches!(ahead.speculate(u32::MAX, &mut told), Err(Error::Argument(_))));
    assert_eq!(ahead.drafts(), drafts);
}

#[test]
fn a_draft_model_needs_the_same_vocabulary() {
    let verifier = model(Tiny::new(Format::Q4_0).bytes(), Backend::detect());
    let mut shorter = Tiny::new(Format::Q4_0).gguf();
    shorter.set("tokenizer.ggml.pre", "gpt-2");
    DraftModel::new(session(&model(shorter.write(), Backend::detect()), 1, 8, 8), &verifier).unwrap();
    let Some(demo) = demo(Backend::detect()) else { return };
    let error = DraftModel::new(session(&demo, 1, 8, 8), &verifier).map(drop).unwrap_err();
    assert!(matches!(error, Error::Argument(_)) && error.to_string().contains("49152 tokens"), "{error}");
}

fn the_demo_model_answers_the_same_with_guesses(backend: Backend) {
    let Some(model) = demo(backend) else { return };
    let text = "Repeat after me: the quick brown fox jumps over the lazy dog.\nThe quick brown fox";
    let mut prompt = Vec::new();
    model.tokenizer().encode(text, EncodeOptions::default(), &mut prompt).unwrap();
    let count = if backend.name() == "scalar" { 3 } else { 30 };
    let prompt = if backend.name() == "scalar" { &prompt[..4] } else { &prompt };
    let mut ahead = open(&model, 2, &drafting(128, DRAFT_MAX, 2));
    let mut plain = session(&model, 1, 128, 32);
    for sampler in samplers().into_iter().take(if backend.name() == "scalar" { 1 } else { 2 }) {
        let expected = answer(&mut plain, prompt, sampler.clone(), count, |s, t| s.decode(t));
        let mut lookup = Lookup::new();
        assert!(answer(&mut ahead, prompt, sampler, count, |s, t| s.speculate(t, &mut lookup)) == expected);
    }
}
