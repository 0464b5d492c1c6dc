//! How long the vectors of a file's lines take, as JSON:
//! `cargo run --release --example embedding_speed MODEL FILE [--alone] [--threads N] [--repeat N]`.
//!
//! Lines go through the model together, or with `--alone` each by itself. The time is the median of the runs, after one that is not
//! measured, and is told without making tokens, which is measured by itself. `scripts/bench-embeddings` holds it against llama.cpp's.

use std::sync::Arc;
use std::time::Instant;

use bantam::{EmbedOptions, Embedder, Input, Model, Pool, TokenId};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let (mut plain, mut alone, mut threads, mut repeat) = (Vec::new(), false, 2, 5);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &argument[..] {
            "--alone" => alone = true,
            "--threads" => threads = arguments.next().ok_or("how many threads?")?.parse()?,
            "--repeat" => repeat = arguments.next().ok_or("how many runs?")?.parse()?,
            _ => plain.push(argument),
        }
    }
    let [path, file] = &plain[..] else { return Err("which model, and which file?".into()) };
    let model = Model::open(path)?;
    let mut embedder = Embedder::open(&model, Arc::new(Pool::new(threads)?), &EmbedOptions::default())?;
    let text = std::fs::read_to_string(file)?;
    let mut tokens: Vec<Vec<TokenId>> = vec![Vec::new(); text.lines().count()];
    let encoding = median(repeat, || {
        for (line, tokens) in text.lines().zip(&mut tokens) {
            tokens.clear();
            embedder.encode(line, tokens)?;
        }
        Ok(())
    })?;
    for tokens in &mut tokens {
        embedder.truncate(tokens);
    }
    let inputs: Vec<Input<'_>> = tokens.iter().map(|tokens| Input::from(&tokens[..])).collect();
    let mut vectors = vec![0.0; embedder.values(&inputs)];
    let dim = embedder.dim();
    let seconds = median(repeat, || {
        if !alone {
            return embedder.embed(&inputs, &mut vectors);
        }
        let pairs = inputs.chunks(1).zip(vectors.chunks_exact_mut(dim));
        pairs.into_iter().try_for_each(|(input, vector)| embedder.embed(input, vector))
    })?;
    let count: usize = tokens.iter().map(Vec::len).sum();
    let texts = tokens.len();
    println!(r#"{{"texts":{texts},"tokens":{count},"seconds":{seconds},"encoding":{encoding}}}"#);
    Ok(())
}

/// The middle of `repeat` runs' seconds, after one that is not measured.
fn median(repeat: usize, mut run: impl FnMut() -> bantam::Result<()>) -> Result<f64> {
    let mut seconds = Vec::new();
    for _ in 0..=repeat.max(1) {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
