//! Continues a text greedily: `cargo run --release --example greedy MODEL "The capital of France is"`.

use std::io::Write;
use std::sync::Arc;

use bantam::{EncodeOptions, Model, Pool, Sampler, Session, SessionOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: greedy MODEL TEXT".into());
    };
    let model = Model::open(path)?;
    let tokenizer = model.tokenizer();
    let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &SessionOptions::default())?;
    let mut prompt = Vec::new();
    tokenizer.encode(&text, EncodeOptions::default(), &mut prompt)?;
    session.prefill(&prompt)?;
    let mut sampler = Sampler::greedy();
    for _ in 0..32 {
        let token = session.sample(&mut sampler)?;
        if tokenizer.is_end_of_generation(token) {
            break;
        }
        std::io::stdout().write_all(tokenizer.piece(token))?;
        std::io::stdout().flush()?;
        session.decode(token)?;
    }
    println!();
    Ok(())
}
