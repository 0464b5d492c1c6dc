//! What following a grammar costs per token, beside what computing the token costs:
//! `cargo run --release --features constrain --example constraint_cost MODEL [--random] [GRAMMAR...]`.
//!
//! Answers are the model's own, sampled. With `--random` they are random tokens among those allowed, which is harder: rarely used
//! states of the lexer are met again and again. The first answers warm the caches up; the figures are of those after.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bantam::constrain::{Constrainer, Constraint, Grammar};
use bantam::{
    Constrain, EncodeOptions, GenerateOptions, Generator, Model, Pool, Sampler, SamplerOptions, Session,
    SessionOptions, TokenId, TokenMask,
};

const WARM: usize = 5;
const ANSWERS: usize = 20;
const TOKENS: usize = 150;
/// What drawing a token for nothing takes: that of the default chain, as `sampling_cost` has it.
const DRAW: Duration = Duration::from_micros(30);
const PROMPT: &str = "Here is a long and varied example, with everything that belongs to it:\n";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What the tokens of answers took: the grammar, and the model.
#[derive(Default)]
struct Times {
    grammar: Vec<Duration>,
    model: Vec<Duration>,
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let random = arguments.iter().any(|argument| argument == "--random");
    arguments.retain(|argument| argument != "--random");
    let (path, grammars) = arguments.split_first().ok_or("which model?")?;
    let model = Model::open(path)?;
    let start = Instant::now();
    let constrainer = Constrainer::new(&model)?;
    println!("vocabulary of {} tokens: {:?}", model.tokenizer().vocab_size(), start.elapsed());
    println!(
        "{:40} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "grammar", "compile", "mean", "median", "90 %", "99 %", "of a step"
    );
    for path in grammars {
        let source = std::fs::read_to_string(path)?;
        let start = Instant::now();
        let grammar = match path.rsplit('.').next() {
            Some("gbnf") => Grammar::gbnf(&source)?,
            Some("lark") => Grammar::lark(&source)?,
            Some("regex") => Grammar::regex(source.trim_end())?,
            _ => Grammar::json_schema(&source)?,
        };
        let fresh = constrainer.constraint(&grammar)?;
        let compiled = start.elapsed();
        let mut times = if random { random_answers(&fresh)? } else { answers(&model, &fresh)? };
        let mean = |times: &[Duration]| times.iter().sum::<Duration>() / times.len().max(1) as u32;
        let share = match mean(&times.model) {
            Duration::ZERO => "-".to_owned(),
            step => format!("{:.1} %", 100.0 * mean(&times.grammar).as_secs_f64() / step.as_secs_f64()),
        };
        times.grammar.sort_unstable();
        let at = |share: usize| times.grammar[(times.grammar.len() - 1) * share / 100];
        let name = path.rsplit('/').next().unwrap_or(path);
        println!(
            "{name:40} {compiled:>10.1?} {:>9.1?} {:>9.1?} {:>9.1?} {:>9.1?} {share:>9}",
            mean(&times.grammar),
            at(50),
            at(90),
            at(99)
        );
    }
    Ok(())
}

/// A constraint that tells how long the generator waited for it since the last token.
struct Timed {
    constraint: Constraint,
    waited: Arc<Mutex<Duration>>,
}

impl Timed {
    fn time<R>(&mut self, ask: impl FnOnce(&mut Constraint) -> R) -> R {
        let start = Instant::now();
        let answer = ask(&mut self.constraint);
        *self.waited.lock().expect("one thread") += start.elapsed();
        answer
    }
}

impl Constrain for Timed {
    fn allowed(&mut self) -> bantam::Result<Option<TokenMask<'_>>> {
        // The mask is kept, so that asking again takes no time. Whoever asks for it has drawn a token for nothing.
        let start = Instant::now();
        let asked = self.constraint.allowed().map(|_| ());
        *self.waited.lock().expect("one thread") += start.elapsed() + DRAW;
        asked?;
        self.constraint.allowed().map(|words| Some(TokenMask::new(words)))
    }

    fn allows(&mut self, token: TokenId) -> bantam::Result<bool> {
        self.time(|constraint| constraint.is_allowed(token))
    }

    fn accept(&mut self, token: TokenId) -> bantam::Result<()> {
        self.time(|constraint| constraint.accept(token))
    }

    fn is_complete(&mut self) -> bantam::Result<bool> {
        self.constraint.is_complete()
    }

    fn must_stop(&self) -> bool {
        self.constraint.must_stop()
    }
}

/// Answers of the model.
fn answers(model: &Model, fresh: &Constraint) -> Result<Times> {
    let pool = Arc::new(Pool::new(std::thread::available_parallelism()?.get())?);
    let options = SessionOptions { context: Some(512), ..Default::default() };
    let mut session = Session::open(model, pool, &options)?;
    let mut prompt = Vec::new();
    model.tokenizer().encode(PROMPT, EncodeOptions::default(), &mut prompt)?;
    let sampler = Sampler::new(SamplerOptions { temperature: 1.0, ..Default::default() })?;
    let options = GenerateOptions { max_tokens: TOKENS, ..Default::default() };
    let mut generator = Generator::new(model, session.context(), sampler, &options)?;
    let mut times = Times::default();
    for answer in 0..ANSWERS {
        let waited = Arc::new(Mutex::new(Duration::ZERO));
        session.rewind(0);
        session.prompt(&prompt)?;
        generator.restart();
        generator.set_constraint(Some(Box::new(Timed { constraint: fresh.clone(), waited: waited.clone() })));
        loop {
            let start = Instant::now();
            let Some(_) = generator.next(&mut session)? else { break };
            let took = start.elapsed();
            let grammar = std::mem::take(&mut *waited.lock().expect("one thread"));
            // The first token of an answer was computed with the prompt.
            if answer >= WARM && generator.drawn() > 1 {
                times.grammar.push(grammar);
                times.model.push(took.saturating_sub(grammar));
            }
        }
    }
    Ok(times)
}

/// Answers of random tokens.
fn random_answers(fresh: &Constraint) -> Result<Times> {
    let mut times = Times::default();
    let mut random = 88_172_645_463_325_252u64;
    for answer in 0..ANSWERS {
        let mut constraint = fresh.clone();
        for _ in 0..TOKENS {
            let start = Instant::now();
            let allowed = constraint.allowed()?;
            let mut took = start.elapsed();
            let ids: Vec<TokenId> = (0..allowed.len() as u32 * 32)
                .filter(|id| allowed[*id as usize / 32] >> (id % 32) & 1 == 1)
                .collect();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let id = ids[(random >> 11) as usize % ids.len()];
            let start = Instant::now();
            constraint.accept(id)?;
            took += start.elapsed();
            if answer >= WARM {
                times.grammar.push(took);
            }
            if constraint.must_stop() {
                break;
            }
        }
    }
    Ok(times)
}
