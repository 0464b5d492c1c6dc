//! An answer as JSON lines: a line for each token, and one for the whole.
#![forbid(unsafe_code)]

use bantam::chat;
use bantam::{Choice, Confidence, Session, StopReason, TokenId, TokenLogprob};
use clap::Args;
use serde::Serialize;

use crate::answer::Answer;
use crate::failure::{Failure, Result};
use crate::output::print;

/// What is told of an answer beside its text.
#[derive(Args, Clone, Copy)]
pub(crate) struct Report {
    /// Print each token of the answer as a line of JSON instead of text, with its log-probability and those of the N likeliest
    /// tokens in its place
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=bantam::TOP_LOGPROBS_MAX as i64))]
    pub(crate) logprobs: Option<u8>,
    /// Print the answer as a line of JSON instead of text, with what ended it and how sure the model was
    ///
    /// All numbers are of the model's own distribution, before temperature, penalties and grammar. Log-probabilities are
    /// natural logarithms: 0 is certain, -0.7 is one chance in two. The lower quantiles tell of the least certain tokens:
    /// they separate answers that are known from answers that are guessed better than the mean does.
    #[arg(long)]
    pub(crate) confidence: bool,
    /// Print the answer as a message, which may call tools.
    #[arg(skip)]
    pub(crate) message: bool,
}

#[derive(Serialize)]
struct TokenLine {
    #[serde(flatten)]
    token: Token,
    entropy: Option<f32>,
    margin: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top: Vec<Token>,
}

#[derive(Serialize)]
struct Token {
    id: TokenId,
    token: String,
    /// Of a token that is only a part of a character, or of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<Vec<u8>>,
    /// `null` for the logarithm of nothing, which JSON cannot write.
    logprob: Option<f32>,
}

#[derive(Serialize)]
struct AnswerLine<'a> {
    answer: &'a str,
    stop: &'static str,
    tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    confidence: Option<Sureness>,
}

#[derive(Serialize)]
struct Sureness {
    mean_logprob: Option<f32>,
    min_logprob: Option<f32>,
    logprob_q10: Option<f32>,
    logprob_q25: Option<f32>,
    mean_entropy: Option<f32>,
}

/// A number that JSON can write.
fn finite(number: f32) -> Option<f32> {
    number.is_finite().then_some(number)
}

impl Report {
    /// Whether the answer is shown as text.
    pub(crate) fn shows_text(self) -> bool {
        self.logprobs.is_none() && !self.confidence && !self.message
    }

    /// Prints the message of an answer, as an API in OpenAI's style would return it.
    pub(crate) fn message(self, answer: &chat::Answer, stop: StopReason) -> Result<()> {
        if !self.message {
            return Ok(());
        }
        let call = |call: &chat::ToolCall| {
            serde_json::json!({
                "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments }
            })
        };
        let mut message = serde_json::json!({ "role": "assistant", "content": answer.content });
        if let Some(reasoning) = &answer.reasoning {
            message["reasoning_content"] = reasoning.as_str().into();
        }
        if !answer.calls.is_empty() {
            message["tool_calls"] = answer.calls.iter().map(call).collect();
        }
        // The reasons of those APIs.
        message["finish_reason"] = match stop {
            StopReason::TokenBudget | StopReason::ContextFull | StopReason::Cancelled => "length",
            _ if !answer.calls.is_empty() => "tool_calls",
            _ => "stop",
        }
        .into();
        print_line(&message)
    }

    /// Prints the line of a token.
    pub(crate) fn token(self, session: &Session, choice: &Choice) -> Result<()> {
        if self.logprobs.is_none() {
            return Ok(());
        }
        let line = TokenLine {
            token: Token::new(session, choice.token, choice.logprob),
            entropy: finite(choice.entropy),
            margin: finite(choice.margin),
            top: session.top_logprobs().iter().map(|top| Token::of(session, top)).collect(),
        };
        print_line(&line)
    }

    /// Prints the line of an answer.
    pub(crate) fn answer(self, answer: &Answer, confidence: &Confidence) -> Result<()> {
        if !self.confidence {
            return Ok(());
        }
        print_line(&AnswerLine {
            answer: &answer.text,
            stop: stop_name(answer.stop),
            tokens: answer.drawn,
            complete: answer.complete,
            confidence: confidence.summary().map(|summary| Sureness {
                mean_logprob: finite(summary.mean_logprob),
                min_logprob: finite(summary.min_logprob),
                logprob_q10: finite(summary.logprob_q10),
                logprob_q25: finite(summary.logprob_q25),
                mean_entropy: finite(summary.mean_entropy),
            }),
        })
    }
}

impl Token {
    fn new(session: &Session, id: TokenId, logprob: f32) -> Token {
        let bytes = session.model().tokenizer().token_bytes(id).unwrap_or_default();
        let token = String::from_utf8_lossy(bytes).into_owned();
        let bytes = core::str::from_utf8(bytes).is_err().then(|| bytes.to_vec());
        Token { id, token, bytes, logprob: finite(logprob) }
    }

    fn of(session: &Session, top: &TokenLogprob) -> Token {
        Token::new(session, top.token, top.logprob)
    }
}

/// What ended an answer, in a word.
fn stop_name(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndOfGeneration | StopReason::StopToken(_) => "end",
        StopReason::StopString(_) => "stop_string",
        StopReason::TokenBudget => "length",
        StopReason::Complete => "complete",
        StopReason::ContextFull => "context_full",
        StopReason::Cancelled => "cancelled",
        _ => "other",
    }
}

fn print_line(line: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(line).map_err(|error| Failure::Message(error.to_string()))?;
    print(&format!("{text}\n"))
}
