//! One answer: tokens drawn from a session until something ends it.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use bantam::{Drafter, Drafts, Error, Sampler, Session};

use crate::failure::Result;
use crate::output::{Output, note};
use crate::units;

/// How the tokens of an answer come to be.
pub(crate) struct Drawing {
    pub(crate) sampler: Sampler,
    /// Guesses ahead. It changes how fast tokens come, and not which.
    pub(crate) drafter: Box<dyn Drafter>,
    /// The most tokens of an answer.
    pub(crate) limit: usize,
}

/// What an answer was.
pub(crate) struct Answer {
    /// What was shown.
    pub(crate) text: String,
    /// How many tokens were drawn, the one that ended the answer included.
    pub(crate) drawn: usize,
    /// From the first token to the last, all but the first of which had to be computed.
    pub(crate) time: Duration,
    /// What became of the guesses.
    pub(crate) guesses: Guesses,
    pub(crate) end: End,
}

/// How many tokens were guessed ahead, and how many of them right, in how many passes over the model.
pub(crate) struct Guesses {
    guessed: u64,
    right: u64,
    passes: u64,
}

impl Guesses {
    /// Those made between two counts.
    fn between(before: Drafts, after: Drafts) -> Guesses {
        Guesses {
            guessed: after.drafted - before.drafted,
            right: after.accepted - before.accepted,
            passes: after.passes - before.passes,
        }
    }
}

/// A turn: what was read for it, and the answer.
pub(crate) struct Turn {
    /// Tokens that were read; those that the session held already are not among them.
    pub(crate) read: usize,
    pub(crate) reading: Duration,
    pub(crate) answer: Answer,
}

impl Turn {
    /// Says on standard error how long it took.
    pub(crate) fn describe(&self) {
        let speed = units::per_second(self.read, self.reading);
        note(&format!("prompt: {}, {speed:.1} tokens/s", units::tokens_in(self.read, self.reading)));
        let (tokens, time) = (self.answer.drawn, self.answer.time);
        let speed = units::per_second(tokens.saturating_sub(1), time);
        note(&format!("answer: {}, {speed:.1} tokens/s", units::tokens_in(tokens, time)));
        let Guesses { guessed, right, passes } = self.answer.guesses;
        if passes > 0 {
            note(&format!("guesses: {right} of {guessed} right, in {passes} of the passes over the model"));
        }
    }
}

/// What ended an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The model, with a token that ends an answer.
    Model,
    /// The most tokens that were asked for.
    Limit,
    /// The context, of so many tokens: there was no room for another.
    Context(usize),
    /// Ctrl-C.
    Interrupt,
}

/// Draws tokens behind what `session` has read and shows them.
pub(crate) fn generate(session: &mut Session, drawing: &mut Drawing) -> Result<Answer> {
    let Drawing { sampler, drafter, limit } = drawing;
    let (limit, before) = (*limit, session.drafts());
    let mut output = Output::new();
    let start = Instant::now();
    let mut drawn = 0;
    let end = loop {
        if drawn == limit {
            break End::Limit;
        }
        let token = session.sample(sampler)?;
        drawn += 1;
        if session.model().tokenizer().is_end_of_generation(token) {
            break End::Model;
        }
        output.push(session.model().tokenizer().piece(token))?;
        // The last token asked for is shown, and nothing follows from it.
        if drawn == limit {
            break End::Limit;
        }
        match session.speculate(token, &mut **drafter) {
            Ok(()) => {}
            Err(Error::ContextFull { context, .. }) => break End::Context(context),
            Err(Error::Cancelled) => break End::Interrupt,
            Err(error) => {
                output.finish()?;
                return Err(error.into());
            }
        }
    };
    let time = start.elapsed();
    let guesses = Guesses::between(before, session.drafts());
    Ok(Answer { text: output.finish()?, drawn, time, guesses, end })
}
