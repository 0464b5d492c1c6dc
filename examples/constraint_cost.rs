//! What following a grammar costs per token: `cargo run --release --features constrain --example constraint_cost MODEL [SCHEMA...]`.
//!
//! Answers are random tokens among those allowed, which is harder than a model's: rarely used lexer states are met again and again.
//! The first answers warm the caches up; the figures are of those after.

use std::time::{Duration, Instant};

use bantam::constrain::{Constrainer, Grammar};
use bantam::{Model, TokenId};

const WARM: usize = 10;
const ANSWERS: usize = 40;
const TOKENS: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = Model::open(arguments.next().ok_or("which model?")?)?;
    let start = Instant::now();
    let constrainer = Constrainer::new(&model)?;
    println!("vocabulary of {} tokens: {:?}", model.tokenizer().vocab_size(), start.elapsed());
    println!(
        "{:40} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "grammar", "compile", "first", "mean", "median", "90 %", "99 %"
    );
    for path in arguments {
        let source = std::fs::read_to_string(&path)?;
        let start = Instant::now();
        let grammar = match path.rsplit('.').next() {
            Some("gbnf") => Grammar::gbnf(&source)?,
            Some("lark") => Grammar::lark(&source)?,
            Some("regex") => Grammar::regex(source.trim_end())?,
            _ => Grammar::json_schema(&source)?,
        };
        let fresh = constrainer.constraint(&grammar)?;
        let compiled = start.elapsed();
        let mut times: Vec<Duration> = Vec::new();
        let mut first = Duration::ZERO;
        let mut random = 88_172_645_463_325_252u64;
        for answer in 0..ANSWERS {
            let mut constraint = fresh.clone();
            for token in 0..TOKENS {
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
                if (answer, token) == (0, 0) {
                    first = took;
                }
                if answer >= WARM {
                    times.push(took);
                }
                if constraint.must_stop() {
                    break;
                }
            }
        }
        times.sort_unstable();
        let mean = times.iter().sum::<Duration>() / times.len() as u32;
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        let name = path.rsplit('/').next().unwrap_or(&path);
        println!(
            "{name:40} {compiled:>10.1?} {first:>9.1?} {mean:>9.1?} {:>9.1?} {:>9.1?} {:>9.1?}",
            at(50),
            at(90),
            at(99)
        );
    }
    Ok(())
}
