//! One answer: tokens drawn from a session until something ends it.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use bantam::{Error, Sampler, Session, TokenId};

use crate::failure::Result;
use crate::output::Output;

/// What an answer was.
pub(crate) struct Answer {
    /// What was shown.
    pub(crate) text: String,
    /// How many tokens were drawn, the one that ended the answer included.
    pub(crate) drawn: usize,
    /// From the first token to the last.
    pub(crate) time: Duration,
    pub(crate) end: End,
}

/// What ended an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The model, with a token that ends an answer.
    Model,
    /// The most tokens that were asked for.
    Limit,
    /// The context: there was no room for another token.
    Context,
    /// Ctrl-C.
    Interrupt,
}

/// Draws up to `limit` tokens behind what `session` has read and shows them. What the session reads on the way is
/// appended to `held`.
pub(crate) fn generate(
    session: &mut Session,
    sampler: &mut Sampler,
    limit: usize,
    held: &mut Vec<TokenId>,
) -> Result<Answer> {
    let mut output = Output::new();
    let start = Instant::now();
    let mut drawn = 0;
    let end = loop {
        if drawn == limit {
            break End::Limit;
        }
        let token = session.sample(sampler);
        drawn += 1;
        if session.model().tokenizer().is_end_of_generation(token) {
            break End::Model;
        }
        output.push(session.model().tokenizer().piece(token))?;
        // The last token asked for is shown, and nothing follows from it.
        if drawn == limit {
            break End::Limit;
        }
        match session.decode(token) {
            Ok(()) => held.push(token),
            Err(Error::ContextFull { .. }) => break End::Context,
            Err(Error::Cancelled) => break End::Interrupt,
            Err(error) => {
                output.finish()?;
                return Err(error.into());
            }
        }
    };
    let time = start.elapsed();
    Ok(Answer { text: output.finish()?, drawn, time, end })
}
