//! Corrects a text, or whatever else it is asked to do with one, reading several tokens at once where the answer repeats it:
//! `cargo run --release --example speculate MODEL "Correct the spelling: ..."`.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use bantam::{
    DRAFT_MAX, EncodeOptions, Lookup, Model, Pool, Sampler, SamplerOptions, Session, SessionOptions,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: speculate MODEL TEXT".into());
    };
    let model = Model::open(path)?;
    let tokenizer = model.tokenizer();
    // Room for the logits behind each guess.
    let options = SessionOptions { draft_max: DRAFT_MAX, ..SessionOptions::default() };
    let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &options)?;
    let mut prompt = Vec::new();
    tokenizer.encode(&text, EncodeOptions::default(), &mut prompt)?;
    session.prefill(&prompt)?;

    let mut drafter = Lookup::new();
    let mut sampler = Sampler::new(SamplerOptions { seed: 1, ..SamplerOptions::default() })?;
    let start = Instant::now();
    while session.position() < prompt.len() + 200 {
        let token = session.sample(&mut sampler)?;
        if tokenizer.is_end_of_generation(token) {
            break;
        }
        std::io::stdout().write_all(tokenizer.piece(token))?;
        std::io::stdout().flush()?;
        // The one line that differs from plain decoding; the tokens do not.
        session.speculate(token, &mut drafter)?;
    }
    let tokens = session.position() - prompt.len();
    println!("\n{tokens} tokens in {:?}; {:?}", start.elapsed(), session.drafts());
    Ok(())
}
