//! Several answers to one prompt, decoded together: the prompt is read once, and each weight once for all answers.
//!
//! `cargo run --release --example together -- MODEL.gguf [ANSWERS] [PROMPT]`

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bantam::{EncodeOptions, Model, Pool, Sampler, SamplerOptions, Session, SessionOptions};

const TOKENS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: together MODEL.gguf [ANSWERS] [PROMPT]")?;
    let answers: usize = arguments.next().map_or(Ok(4), |answers| answers.parse())?;
    let prompt = arguments.next().unwrap_or_else(|| "Once upon a time".into());

    let model = Model::open(path)?;
    let pool = Arc::new(Pool::new(std::thread::available_parallelism()?.get())?);
    let options = SessionOptions { context: Some(1024), together_max: answers, ..Default::default() };
    let mut first = Session::open(&model, pool, &options)?;
    let mut tokens = Vec::new();
    model.tokenizer().encode(&prompt, EncodeOptions::default(), &mut tokens)?;
    first.prefill(&tokens)?;
    let mut sessions = vec![first];
    while sessions.len() < answers {
        sessions.push(sessions[0].fork()?);
    }
    // Each has random numbers of its own.
    let mut samplers = (0..answers as u64)
        .map(|seed| Sampler::new(SamplerOptions { seed, ..Default::default() }))
        .collect::<Result<Vec<_>, _>>()?;

    let start = Instant::now();
    for _ in 0..TOKENS {
        let drawn = sessions.iter_mut().zip(&mut samplers);
        let drawn = drawn.map(|(session, sampler)| session.sample(sampler)).collect::<Result<Vec<_>, _>>()?;
        let mut all: Vec<&mut Session> = sessions.iter_mut().collect();
        Session::decode_together(&mut all, &drawn)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    for (i, session) in sessions.iter().enumerate() {
        let bytes = session.tokens().iter().flat_map(|&token| model.tokenizer().piece(token).to_vec());
        println!("-- {i}\n{}", String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()));
    }
    println!("-- {:.1} tokens/s for all {answers} together", (answers * TOKENS) as f64 / seconds);
    Ok(())
}
