//! The options that end an answer.
#![forbid(unsafe_code)]

use bantam::{Error, GenerateOptions, Generator, Overflow, Sampler, Session};
use clap::Args;

use crate::failure::{Failure, Result};
use crate::units;

/// What ends an answer, beside the model.
#[derive(Args)]
pub(crate) struct Ending {
    /// Most tokens of the answer; -1 for as many as the context holds
    #[arg(short = 'n', long = "max", visible_alias = "n-predict", value_name = "TOKENS", default_value_t = -1, value_parser = clap::value_parser!(i64).range(-1..), allow_negative_numbers = true)]
    limit: i64,
    /// End the answer before this text; may be given several times
    #[arg(
        short = 'r',
        long,
        visible_alias = "reverse-prompt",
        value_name = "TEXT",
        allow_hyphen_values = true
    )]
    stop: Vec<String>,
    /// Go on behind the tokens with which the model ends its answers
    #[arg(long)]
    ignore_eos: bool,
    /// When the context is full in the middle of an answer, forget half of what lies behind the first --keep tokens and go on
    #[arg(long)]
    context_shift: bool,
    /// Tokens at the start that --context-shift never forgets
    #[arg(long, value_name = "N", default_value_t = 4, requires = "context_shift")]
    keep: u32,
}

impl Ending {
    /// Draws answers from `session` that end so.
    pub(crate) fn generator(&self, session: &Session, sampler: Sampler) -> Result<Generator> {
        if self.context_shift && self.keep as usize >= session.context() {
            return Err(Failure::Usage(format!(
                "--keep {} leaves nothing to forget in a context of {}: keep less, or ask for more with --ctx",
                self.keep,
                units::plural(session.context(), "token")
            )));
        }
        let stop: Vec<&str> = self.stop.iter().map(String::as_str).collect();
        let options = GenerateOptions {
            max_tokens: usize::try_from(self.limit).unwrap_or(usize::MAX),
            stop: &stop,
            ignore_end: self.ignore_eos,
            overflow: match self.context_shift {
                true => Overflow::Shift { keep: self.keep as usize },
                false => Overflow::Stop,
            },
            ..GenerateOptions::default()
        };
        Generator::new(session.model(), session.context(), sampler, &options).map_err(|error| match error {
            Error::Argument(_) => Failure::Usage(format!("--stop: {error}")),
            _ => error.into(),
        })
    }
}
