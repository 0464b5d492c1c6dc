//! Floor 5. An answer, pulled piece by piece: tokens drawn from a session until something ends it, as text that is whole.
//!
//! Invariant: all memory is had when a generator is made; between two pieces nothing is allocated, but for what a constraint's
//! library allocates.
#![forbid(unsafe_code)]

mod constraint;
mod stop;
mod trial;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::sample::{Choice, Confidence, Sampler};
use crate::session::Session;
use crate::speculate::Drafter;
use crate::tokenizer::{TokenId, Utf8Stream};
pub use constraint::Constrain;
use stop::StopStrings;
use trial::Trials;

/// How answers begin, go on and end. Fields may be added: write the rest as `..GenerateOptions::default()`.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOptions<'a> {
    /// The most tokens of an answer. The default is as many as the context has room for.
    pub max_tokens: usize,
    /// Strings that end an answer; neither they nor what follows is part of its text.
    pub stop: &'a [&'a str],
    /// Tokens that end an answer, beside those that the model's metadata names.
    pub stop_tokens: &'a [TokenId],
    /// Goes on behind the tokens that end an answer.
    pub ignore_end: bool,
    /// What happens when the context is full.
    pub overflow: Overflow,
}

impl Default for GenerateOptions<'_> {
    fn default() -> Self {
        GenerateOptions {
            max_tokens: usize::MAX,
            stop: &[],
            stop_tokens: &[],
            ignore_end: false,
            overflow: Overflow::Stop,
        }
    }
}

/// What happens when the context is full in the middle of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The answer ends, with [`StopReason::ContextFull`].
    Stop,
    /// Half of the tokens behind the first `keep` are forgotten, and the answer goes on: see [`Session::shift`]. Where the model
    /// does not allow that ([`Session::can_shift`]), the answer ends.
    Shift {
        /// Tokens at the start that stay, such as the system text. If that is the whole context, the answer ends.
        keep: usize,
    },
}

/// What ended an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The model, with a token that ends an answer.
    EndOfGeneration,
    /// One of [`GenerateOptions::stop_tokens`].
    StopToken(TokenId),
    /// A stop string, by its number in [`GenerateOptions::stop`].
    StopString(usize),
    /// The most tokens that were asked for.
    TokenBudget,
    /// The constraint: what it describes is complete, and nothing may follow.
    Complete,
    /// There was no room for another token.
    ContextFull,
    /// The session's cancel switch.
    Cancelled,
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Text of whole characters that is sure to belong to the answer; often that of the token, sometimes of more than one,
    /// or of none.
    pub text: &'a str,
    /// The token that was drawn, and how sure the model was of it. `None` in a last piece without a token, whose text was
    /// held back until the answer ended.
    pub choice: Option<Choice>,
}

/// Draws answers from sessions of one model, one after the other.
///
/// ```no_run
/// use bantam::{GenerateOptions, Generator, Model, Pool, SamplerOptions, Sampler, Session, SessionOptions};
/// # use std::sync::Arc;
/// # let (model, prompt) = (Model::open("model.gguf")?, [1, 2, 3]);
/// let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &SessionOptions::default())?;
/// let options = GenerateOptions { max_tokens: 200, stop: &["\n\n"], ..Default::default() };
/// let mut generator = Generator::new(&model, session.context(), Sampler::new(SamplerOptions::default())?, &options)?;
/// session.prompt(&prompt)?;
/// while let Some(piece) = generator.next(&mut session)? {
///     print!("{}", piece.text);
/// }
/// println!("{:?}, {:?}", generator.stop_reason(), generator.confidence().summary());
/// # Ok::<(), bantam::Error>(())
/// ```
pub struct Generator {
    sampler: Sampler,
    drafter: Option<Box<dyn Drafter + Send>>,
    constraint: Option<Box<dyn Constrain + Send>>,
    trials: Trials,
    max_tokens: usize,
    stop_tokens: Vec<TokenId>,
    ignore_end: bool,
    overflow: Overflow,
    stop_strings: StopStrings,
    characters: Utf8Stream,
    /// The text of the last token, and the text of the last piece.
    token_text: String,
    text: String,
    /// Drawn, and not read by the session yet.
    pending: Option<TokenId>,
    drawn: usize,
    confidence: Confidence,
    reason: Option<StopReason>,
    /// Whether the constraint was satisfied when the answer ended.
    complete: Option<bool>,
}

impl Generator {
    /// A generator for sessions of `model` of up to `context` positions.
    ///
    /// # Errors
    /// [`Error::Argument`] for an empty stop string, [`Error::Memory`].
    pub fn new(
        model: &Model,
        context: usize,
        sampler: Sampler,
        options: &GenerateOptions<'_>,
    ) -> Result<Generator> {
        let tokenizer = model.tokenizer();
        let pieces = (0..tokenizer.vocab_size() as TokenId).map(|token| tokenizer.piece(token).len());
        // A byte that begins no character is shown by one of 3, and so are the up to 3 bytes held from before.
        let token_bytes = 3 * (pieces.max().unwrap_or(0) + 3);
        let stop_strings = StopStrings::new(options.stop, token_bytes)?;
        let mut stop_tokens = Vec::new();
        let refused =
            |bytes: usize| Error::Memory { what: "the text of an answer's tokens", bytes: bytes as u64 };
        let tokens = options.stop_tokens;
        stop_tokens.try_reserve_exact(tokens.len()).map_err(|_| refused(size_of_val(tokens)))?;
        stop_tokens.extend_from_slice(tokens);
        let longest = options.stop.iter().map(|string| string.len()).max().unwrap_or(0);
        let (mut token_text, mut text) = (String::new(), String::new());
        token_text.try_reserve_exact(token_bytes).map_err(|_| refused(token_bytes))?;
        text.try_reserve_exact(token_bytes + longest).map_err(|_| refused(token_bytes + longest))?;
        Ok(Generator {
            sampler,
            drafter: None,
            constraint: None,
            trials: Trials::new(),
            max_tokens: options.max_tokens,
            stop_tokens,
            ignore_end: options.ignore_end,
            overflow: options.overflow,
            stop_strings,
            characters: Utf8Stream::new(),
            token_text,
            text,
            pending: None,
            drawn: 0,
            confidence: Confidence::new(options.max_tokens.min(context))?,
            reason: None,
            complete: None,
        })
    }

    /// Has `drafter` guess tokens ahead, which makes answers faster and changes none, in sessions with room for guesses:
    /// see [`Session::speculate`].
    pub fn set_drafter(&mut self, drafter: Option<Box<dyn Drafter + Send>>) {
        self.drafter = drafter;
    }

    /// Has the next answer follow a rule. One rule is good for one answer.
    pub fn set_constraint(&mut self, constraint: Option<Box<dyn Constrain + Send>>) {
        self.constraint = constraint;
    }

    /// What happens from here on when the context is full.
    pub fn set_overflow(&mut self, overflow: Overflow) {
        self.overflow = overflow;
    }

    /// The sampler: its random numbers go on from answer to answer.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Begins another answer, behind whatever a session holds by then. The constraint is that of the answer before, where it
    /// was: set another one.
    pub fn restart(&mut self) {
        self.stop_strings.clear();
        self.characters = Utf8Stream::new();
        self.confidence.clear();
        self.trials = Trials::new();
        (self.pending, self.drawn, self.reason, self.complete) = (None, 0, None, None);
    }

    /// The next piece of the answer, `None` behind the last. The session has to hold the prompt, with logits behind it, and
    /// to be left alone until the answer has ended; the token that ended it is not read.
    ///
    /// What ends an answer from outside, a cancel or a full context, is a [`StopReason`] and no error.
    ///
    /// # Errors
    /// [`Error::Argument`] if the session has no logits, [`Error::Inconsistent`] if none of them is a number, which stays so, and what a
    /// constraint fails with. The answer may be pulled again.
    pub fn next(&mut self, session: &mut Session) -> Result<Option<Piece<'_>>> {
        if self.reason.is_some() {
            return Ok(None);
        }
        self.text.clear();
        if self.drawn >= self.max_tokens {
            return Ok(self.end(StopReason::TokenBudget, None));
        }
        if let Some(token) = self.pending {
            if let Some(reason) = self.read(session, token)? {
                return Ok(self.end(reason, None));
            }
            self.pending = None;
        }
        let choice = match &mut self.constraint {
            Some(constraint) if constraint.must_stop() => return Ok(self.end(StopReason::Complete, None)),
            Some(constraint) => self.trials.choose(session, &mut self.sampler, &mut **constraint)?,
            None => session.choose(&mut self.sampler, None)?,
        };
        let token = choice.token;
        self.drawn += 1;
        self.confidence.push(&choice);
        let tokenizer = session.model().tokenizer();
        if self.stop_tokens.contains(&token) {
            return Ok(self.end(StopReason::StopToken(token), Some(choice)));
        }
        if !self.ignore_end && tokenizer.is_end_of_generation(token) {
            return Ok(self.end(StopReason::EndOfGeneration, Some(choice)));
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        self.token_text.clear();
        let token_text = &mut self.token_text;
        let piece = match self.constraint {
            // What a constraint describes is every byte.
            Some(_) => tokenizer.piece(token),
            None => tokenizer.piece_after(session.tokens().last().copied(), token),
        };
        self.characters.push(piece, |part| token_text.push_str(part));
        if let Some(which) = self.stop_strings.push(&self.token_text, &mut self.text) {
            // What is left of a character belongs to what follows the string.
            self.characters = Utf8Stream::new();
            return Ok(self.end(StopReason::StopString(which), Some(choice)));
        }
        if self.constraint.as_ref().is_some_and(|constraint| constraint.must_stop()) {
            return Ok(self.end(StopReason::Complete, Some(choice)));
        }
        // The last token asked for is shown, and nothing follows from it.
        if self.drawn == self.max_tokens {
            return Ok(self.end(StopReason::TokenBudget, Some(choice)));
        }
        self.pending = Some(token);
        Ok(Some(Piece { text: &self.text, choice: Some(choice) }))
    }

    /// What ended the answer, `None` until it has.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.reason
    }

    /// Which of [`GenerateOptions::stop_tokens`] a token is.
    pub fn stop_token_index(&self, token: TokenId) -> Option<usize> {
        self.stop_tokens.iter().position(|&stop| stop == token)
    }

    /// Whether the answer, when it ended, was one that its constraint describes; `None` before that, and without a constraint.
    /// An answer that ended in the middle, for want of tokens or of room or by a stop string, is not.
    pub fn is_complete(&self) -> Option<bool> {
        self.complete
    }

    /// Tokens drawn for the answer, the one that ended it included.
    pub fn drawn(&self) -> usize {
        self.drawn
    }

    /// How sure the model was of the tokens of the answer, the one that ended it included.
    pub fn confidence(&self) -> &Confidence {
        &self.confidence
    }

    /// Reads a token, with guesses behind it if there is a drafter; what ends the answer, if that cannot be.
    fn read(&mut self, session: &mut Session, token: TokenId) -> Result<Option<StopReason>> {
        if session.position() == session.context()
            && let Overflow::Shift { keep } = self.overflow
            && keep < session.context()
            && session.can_shift()
        {
            session.shift(keep, (session.context() - keep).div_ceil(2))?;
        }
        let read = match &mut self.drafter {
            Some(drafter) => session.speculate(token, &mut **drafter),
            None => session.decode(token),
        };
        match read {
            Ok(()) => Ok(None),
            Err(Error::ContextFull { .. }) => Ok(Some(StopReason::ContextFull)),
            Err(Error::Cancelled) => Ok(Some(StopReason::Cancelled)),
            Err(error) => Err(error),
        }
    }

    /// Ends the answer with a last piece, if there is a token or text for one.
    fn end(&mut self, reason: StopReason, choice: Option<Choice>) -> Option<Piece<'_>> {
        self.reason = Some(reason);
        // A rule that cannot tell has not been followed to its end, and a stop string takes from what was.
        let is_cut = matches!(reason, StopReason::StopString(_));
        self.complete =
            self.constraint.as_mut().map(|constraint| !is_cut && constraint.is_complete().unwrap_or(false));
        self.token_text.clear();
        let token_text = &mut self.token_text;
        self.characters.finish(|part| token_text.push_str(part));
        // An unfinished character is no part of a stop string, so nothing is waited for any more.
        self.stop_strings.finish(&mut self.text);
        self.text.push_str(&self.token_text);
        let has_text = !self.text.is_empty();
        (choice.is_some() || has_text).then_some(Piece { text: &self.text, choice })
    }
}
