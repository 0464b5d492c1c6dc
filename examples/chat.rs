//! A chat in a terminal: `cargo run --release --features chat --example chat MODEL`. It answers line by line until its input ends.

use std::io::Write;
use std::sync::Arc;

use bantam::chat::{ChatTemplate, Conversation, Message, Speaker};
use bantam::{
    GenerateOptions, Generator, Model, Pool, Sampler, SamplerOptions, Session, SessionOptions, StopReason,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: chat MODEL")?;
    let model = Model::open(path)?;
    let pool = Arc::new(Pool::new(2)?);
    let mut session = Session::open(&model, pool, &SessionOptions::default())?;
    let mut conversation = Conversation::new(ChatTemplate::from_model(&model)?);

    for line in std::io::stdin().lines() {
        conversation.push(Message::new(Speaker::User, line?));
        // Only what the session does not hold yet is read; the oldest turns are left out when all do not fit any more.
        session.prompt(&conversation.fitting_tokens(model.tokenizer(), session.context())?)?;

        let sampler = Sampler::new(SamplerOptions::default())?;
        let mut generator = Generator::new(&model, session.context(), sampler, &GenerateOptions::default())?;
        let mut answer = String::new();
        while let Some(piece) = generator.next(&mut session)? {
            print!("{}", piece.text);
            std::io::stdout().flush()?;
            answer.push_str(piece.text);
        }
        println!();
        let is_complete = generator.stop_reason() == Some(StopReason::EndOfGeneration);
        conversation.push(conversation.read(&answer, is_complete, 0).into());
    }
    Ok(())
}
