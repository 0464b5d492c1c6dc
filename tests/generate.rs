//! Answers pulled piece by piece: what ends them, what their text is, and that guesses and cuts change nothing.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use bantam::{
    Backend, Constrain, Drafter, Error, Format, GenerateOptions, Generator, Lookup, Model, Overflow, Result,
    Sampler, SamplerOptions, Session, SessionOptions, StopReason, TokenId, TokenMask,
};

use common::tiny::Tiny;
use common::{model, session, sized, tokens};

const CONTEXT: usize = 200;

fn tiny() -> Model {
    model(Tiny::new(Format::Q4_0).bytes(), Backend::detect())
}

/// A session that holds a prompt.
fn prompted(model: &Model) -> Session {
    let mut session = session(model, 1, CONTEXT, 16);
    session.prompt(&tokens(model, 10)).unwrap();
    session
}

/// Random weights repeat themselves when asked greedily.
fn sampler() -> Sampler {
    Sampler::new(SamplerOptions { temperature: 1.0, top_k: 0, seed: 5, ..Default::default() }).unwrap()
}

fn generator(session: &Session, options: &GenerateOptions<'_>) -> Generator {
    Generator::new(session.model(), session.context(), sampler(), options).unwrap()
}

/// Options that end answers after so many tokens only.
fn up_to(max_tokens: usize) -> GenerateOptions<'static> {
    GenerateOptions { max_tokens, ignore_end: true, ..Default::default() }
}

/// All of an answer: its tokens, and its text.
fn pull(generator: &mut Generator, session: &mut Session) -> (Vec<TokenId>, String) {
    let (mut tokens, mut text) = (Vec::new(), String::new());
    while let Some(piece) = generator.next(session).unwrap() {
        tokens.extend(piece.choice.map(|choice| choice.token));
        text.push_str(piece.text);
    }
    assert!(generator.stop_reason().is_some());
    assert_eq!(generator.drawn(), tokens.len());
    assert!(generator.next(session).unwrap().is_none());
    (tokens, text)
}

fn text_of(model: &Model, tokens: &[TokenId]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|&token| model.tokenizer().piece(token).to_vec()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn an_answer_is_the_text_of_its_tokens() {
    let model = tiny();
    let mut session = prompted(&model);
    let mut generator = generator(&session, &up_to(80));
    let (tokens, text) = pull(&mut generator, &mut session);
    assert_eq!((tokens.len(), generator.stop_reason()), (80, Some(StopReason::TokenBudget)));
    assert_eq!(text, text_of(&model, &tokens));
    // The last token is shown, and nothing follows from it.
    assert_eq!(session.tokens()[10..], tokens[..79]);
    assert_eq!(generator.confidence().summary().unwrap().tokens, 80);
    // Another answer goes on behind.
    generator.restart();
    let (more, _) = pull(&mut generator, &mut session);
    assert_eq!(more.len(), 80);
    assert_ne!(more, tokens);
}

#[test]
fn guesses_change_no_answer() {
    let model = tiny();
    let answer = |drafter: Option<Box<dyn Drafter + Send>>, overflow| {
        let options = SessionOptions { draft_max: 7, draft_min: 2, ..sized(60, 16) };
        let pool = std::sync::Arc::new(bantam::Pool::new(2).unwrap());
        let mut session = Session::open(&model, pool, &options).unwrap();
        session.prompt(&[1, 2, 3, 1, 2, 3, 1, 2]).unwrap();
        let mut generator = Generator::new(&model, 60, Sampler::greedy(), &up_to(100)).unwrap();
        generator.set_drafter(drafter);
        generator.set_overflow(overflow);
        (pull(&mut generator, &mut session), generator.stop_reason())
    };
    for overflow in [Overflow::Stop, Overflow::Shift { keep: 4 }] {
        assert_eq!(answer(None, overflow), answer(Some(Box::new(Lookup::new())), overflow));
    }
}

#[test]
fn a_stop_string_ends_the_text_before_it_wherever_tokens_end() {
    let model = tiny();
    let mut session = prompted(&model);
    let (_, whole) = pull(&mut generator(&session, &up_to(60)), &mut session);
    let characters: Vec<char> = whole.chars().filter(|c| *c != char::REPLACEMENT_CHARACTER).collect();
    assert!(characters.len() > 20, "{whole:?}");
    let starts: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
    for (from, len) in [(0, 1), (5, 1), (7, 3), (11, 8), (30, 2)] {
        let stop = &whole[starts[from]..starts[from + len]];
        session.rewind(10);
        session.prompt(&tokens(&model, 10)).unwrap();
        let options = GenerateOptions { stop: &["never there", stop], ..up_to(60) };
        let mut generator = generator(&session, &options);
        let (_, text) = pull(&mut generator, &mut session);
        assert_eq!(text, whole[..whole.find(stop).unwrap()], "stopped by {stop:?}");
        assert_eq!(generator.stop_reason(), Some(StopReason::StopString(1)));
    }
    let empty = GenerateOptions { stop: &[""], ..up_to(60) };
    assert!(matches!(Generator::new(&model, 10, sampler(), &empty), Err(Error::Argument(_))));
}

#[test]
fn tokens_end_an_answer() {
    let model = tiny();
    let mut session = prompted(&model);
    let (tokens, _) = pull(&mut generator(&session, &up_to(30)), &mut session);
    session.rewind(10);
    session.prompt(&common::tokens(&model, 10)).unwrap();
    let stop_tokens = [tokens[12]];
    let mut generator = generator(&session, &GenerateOptions { stop_tokens: &stop_tokens, ..up_to(30) });
    let (drawn, text) = pull(&mut generator, &mut session);
    let end = tokens.iter().position(|token| *token == stop_tokens[0]).unwrap();
    assert_eq!(drawn, tokens[..=end]);
    assert_eq!(generator.stop_reason(), Some(StopReason::StopToken(stop_tokens[0])));
    assert_eq!(text, text_of(&model, &tokens[..end]));
}

#[test]
fn the_model_ends_an_answer() {
    let model = tiny();
    let end = (0..model.hyper().vocab_size as TokenId)
        .find(|&token| model.tokenizer().is_end_of_generation(token))
        .unwrap();
    for (ignore_end, reason) in [(false, StopReason::EndOfGeneration), (true, StopReason::TokenBudget)] {
        let mut session = prompted(&model);
        let options = GenerateOptions { ignore_end, max_tokens: 9, ..Default::default() };
        let mut generator = generator(&session, &options);
        generator.set_constraint(Some(Box::new(Sequence::new(&[vec![65, 66], vec![end], vec![67]]))));
        let (drawn, text) = pull(&mut generator, &mut session);
        assert_eq!(drawn[1], end);
        assert_eq!(generator.stop_reason(), Some(if ignore_end { StopReason::Complete } else { reason }));
        assert_eq!(text.len(), if ignore_end { 2 } else { 1 }, "{text:?}");
    }
}

#[test]
fn a_budget_of_nothing_is_nothing() {
    let model = tiny();
    let mut session = prompted(&model);
    let mut generator = generator(&session, &up_to(0));
    assert!(generator.next(&mut session).unwrap().is_none());
    assert_eq!(generator.stop_reason(), Some(StopReason::TokenBudget));
}

#[test]
fn a_full_context_ends_an_answer_or_is_shifted() {
    let model = tiny();
    let prompt = tokens(&model, 10);
    let answer = |overflow| {
        let mut session = session(&model, 1, 32, 16);
        session.prompt(&prompt).unwrap();
        let mut generator = generator(&session, &GenerateOptions { overflow, ..up_to(100) });
        let (drawn, text) = pull(&mut generator, &mut session);
        assert_eq!(text, text_of(&model, &drawn));
        (drawn, generator.stop_reason().unwrap(), session)
    };
    let (stopped, reason, _) = answer(Overflow::Stop);
    assert_eq!((stopped.len(), reason), (23, StopReason::ContextFull));
    let (shifted, reason, session) = answer(Overflow::Shift { keep: 4 });
    assert_eq!((shifted.len(), reason), (100, StopReason::TokenBudget));
    assert_eq!(shifted[..23], stopped);
    assert_eq!(session.tokens()[..4], prompt[..4], "what is to be kept is");
    let held = session.tokens();
    assert_eq!(held[4..], shifted[99 - (held.len() - 4)..99]);
    // Nothing to forget: it ends as without.
    assert_eq!(answer(Overflow::Shift { keep: 32 }).1, StopReason::ContextFull);
    // As much as can be forgotten is one token.
    assert_eq!(answer(Overflow::Shift { keep: 31 }).1, StopReason::TokenBudget);
}

#[test]
fn a_cancelled_answer_keeps_what_it_has() {
    let model = tiny();
    let mut session = prompted(&model);
    let mut generator = generator(&session, &up_to(50));
    for _ in 0..5 {
        generator.next(&mut session).unwrap().unwrap();
    }
    session.cancel().cancel();
    while generator.next(&mut session).unwrap().is_some() {}
    assert_eq!((generator.stop_reason(), generator.drawn()), (Some(StopReason::Cancelled), 5));
    session.cancel().reset();
    session.decode(1).unwrap();
}

#[test]
fn without_logits_there_is_no_answer() {
    let model = tiny();
    let mut session = session(&model, 1, 32, 16);
    let mut generator = generator(&session, &up_to(5));
    assert!(matches!(generator.next(&mut session), Err(Error::Argument(_))));
    session.prompt(&[1]).unwrap();
    assert!(generator.next(&mut session).unwrap().is_some());
}

/// One set of tokens after the other.
struct Sequence {
    sets: Vec<Vec<u32>>,
    at: usize,
}

impl Sequence {
    fn new(sets: &[Vec<TokenId>]) -> Sequence {
        let mask = |set: &Vec<TokenId>| {
            let mut words = vec![0u32; 16];
            set.iter().for_each(|token| words[*token as usize / 32] |= 1 << (token % 32));
            words
        };
        Sequence { sets: sets.iter().map(mask).collect(), at: 0 }
    }
}

impl Constrain for Sequence {
    fn allowed(&mut self) -> Result<Option<TokenMask<'_>>> {
        Ok(Some(TokenMask::new(&self.sets[self.at])))
    }

    fn accept(&mut self, token: TokenId) -> Result<()> {
        assert!(TokenMask::new(&self.sets[self.at]).allows(token));
        self.at += 1;
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool> {
        Ok(self.at == self.sets.len())
    }

    fn must_stop(&self) -> bool {
        self.at == self.sets.len()
    }
}

#[test]
fn a_constraint_is_followed_and_known_to_be_unfinished() {
    let model = tiny();
    let sets = [vec![65, 66], vec![70, 71, 72], vec![80]];
    for (max_tokens, complete) in [(2, false), (3, true), (9, true)] {
        let mut session = prompted(&model);
        let mut generator = generator(&session, &up_to(max_tokens));
        generator.set_constraint(Some(Box::new(Sequence::new(&sets))));
        let (drawn, _) = pull(&mut generator, &mut session);
        assert_eq!(drawn.len(), max_tokens.min(3));
        assert!(drawn.iter().zip(&sets).all(|(token, set)| set.contains(token)));
        assert_eq!(generator.is_complete(), Some(complete));
        let reason = if complete { StopReason::Complete } else { StopReason::TokenBudget };
        assert_eq!(generator.stop_reason(), Some(reason));
    }
}

/// Whether a token is tried before all that are allowed are asked for changes nothing in how often it comes.
#[test]
fn a_constraint_leaves_the_odds_of_what_it_allows() {
    const DRAWS: usize = 4000;
    let model = tiny();
    let mut session = prompted(&model);
    let set = vec![65, 66, 70, 71, 72, 80, 90, 91];
    let logits: Vec<f64> = set.iter().map(|token| f64::from(session.logits()[*token as usize])).collect();
    let weights: Vec<f64> = logits.iter().map(|logit| logit.exp()).collect();
    let sum: f64 = weights.iter().sum();
    let plain =
        SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerOptions::default() };
    let mut counts = vec![0usize; set.len()];
    let sampler = Sampler::new(plain).unwrap();
    let mut generator = Generator::new(&model, session.context(), sampler, &up_to(1)).unwrap();
    for _ in 0..DRAWS {
        generator.restart();
        generator.set_constraint(Some(Box::new(Sequence::new(std::slice::from_ref(&set)))));
        let (drawn, _) = pull(&mut generator, &mut session);
        counts[set.iter().position(|token| *token == drawn[0]).unwrap()] += 1;
    }
    for ((count, weight), token) in counts.iter().zip(&weights).zip(&set) {
        let p = weight / sum;
        let (expected, sigma) = (DRAWS as f64 * p, (DRAWS as f64 * p * (1.0 - p)).sqrt());
        let off = (*count as f64 - expected).abs() / sigma;
        assert!(off < 4.5, "token {token} came {count} times, and {expected:.0} were expected");
    }
}

#[test]
fn an_answer_cut_by_a_stop_string_is_not_what_its_constraint_describes() {
    let model = tiny();
    let mut session = prompted(&model);
    let sets = [vec![65], vec![66]];
    let last = text_of(&model, &[66]);
    let mut generator = generator(&session, &GenerateOptions { stop: &[&last], ..up_to(9) });
    generator.set_constraint(Some(Box::new(Sequence::new(&sets))));
    let (drawn, text) = pull(&mut generator, &mut session);
    assert_eq!((drawn, text), (vec![65, 66], text_of(&model, &[65])));
    assert_eq!(
        (generator.stop_reason(), generator.is_complete()),
        (Some(StopReason::StopString(0)), Some(false))
    );
}
