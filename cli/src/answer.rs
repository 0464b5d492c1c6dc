//! One answer: pulled from a session piece by piece and shown as text, or as JSON lines.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use bantam::{Constrain, Drafts, Generator, Session, StopReason};

use crate::failure::Result;
use crate::output::{Output, note};
use crate::report::Report;
use crate::units;

/// How answers come to be, and how they are shown.
pub(crate) struct Drawing {
    pub(crate) generator: Generator,
    /// Makes the rule that each answer has to follow, if there is one.
    pub(crate) constraint: Option<Rule>,
    pub(crate) report: Report,
}

/// Makes a rule for one answer.
pub(crate) type Rule = Box<dyn Fn() -> bantam::Result<Box<dyn Constrain + Send>>>;

/// What an answer was.
pub(crate) struct Answer {
    pub(crate) text: String,
    /// How many tokens were drawn, the one that ended the answer included.
    pub(crate) drawn: usize,
    /// From the first token to the last, all but the first of which had to be computed.
    pub(crate) time: Duration,
    /// What became of the guesses.
    pub(crate) guesses: Guesses,
    pub(crate) stop: StopReason,
    /// Whether it is one that its constraint describes, if it had one.
    pub(crate) complete: Option<bool>,
    /// The mean log-probability of its tokens.
    pub(crate) mean_logprob: Option<f32>,
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

    /// Says on standard error what is wrong with an answer that ended in the middle; `remedy` is what helps where the
    /// context was too small.
    pub(crate) fn warn(&self, context: usize, remedy: &str) {
        match self.answer.stop {
            StopReason::Cancelled => note("Stopped."),
            StopReason::ContextFull => {
                let size = units::plural(context, "token");
                note(&format!("note: the answer ends here, as the context of {size} is full; {remedy}"));
            }
            _ => {}
        }
        if self.answer.complete == Some(false) {
            note("note: the answer is unfinished: it does not follow its grammar to the end");
        }
    }
}

/// Draws an answer behind what `session` has read and shows it.
pub(crate) fn generate(session: &mut Session, drawing: &mut Drawing) -> Result<Answer> {
    let Drawing { generator, constraint, report } = drawing;
    let before = session.drafts();
    generator.restart();
    generator.set_constraint(constraint.as_ref().map(|rule| rule()).transpose()?);
    let mut output = Output::new(report.shows_text());
    let start = Instant::now();
    let ended = loop {
        match generator.next(session) {
            Ok(Some(piece)) => {
                output.push(piece.text)?;
                if let Some(choice) = piece.choice {
                    report.token(session, &choice)?;
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let time = start.elapsed();
    let guesses = Guesses::between(before, session.drafts());
    let text = output.finish()?;
    ended?;
    let answer = Answer {
        text,
        drawn: generator.drawn(),
        time,
        guesses,
        stop: generator.stop_reason().unwrap_or(StopReason::Cancelled),
        complete: generator.is_complete(),
        mean_logprob: generator.confidence().summary().map(|summary| summary.mean_logprob),
    };
    report.answer(&answer, generator.confidence())?;
    Ok(answer)
}
