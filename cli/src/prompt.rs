//! Where a prompt comes from.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};

use bantam::chat::{Message, Speaker};
use clap::Args;

use crate::chat::Terminal;
use crate::failure::{Failure, Result};
use crate::input;

/// Where the prompt comes from. One line break at the end of a file or of standard input is not part of it.
#[derive(Args)]
pub(crate) struct Prompt {
    /// The prompt
    #[arg(short = 'p', long = "prompt", value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read the prompt from a file; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Answer the last message of a conversation, or --prompt behind it: a JSON array as in OpenAI's API, with tool calls and
    /// their results, or a saved chat; - is standard input
    ///
    /// The last message is the user's or a tool's, unless --prompt gives the next question. A system message at the start
    /// says how to answer, as --system does: only one of them may.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    messages: Option<PathBuf>,
    /// Read the prompt from standard input, as is done without a prompt when standard input is not a terminal
    #[arg(value_name = "-", value_parser = dash, conflicts_with_all = ["text", "file", "messages"])]
    stdin: Option<String>,
}

/// What is to be answered.
pub(crate) enum Input {
    /// One prompt.
    Text(String),
    /// The last of these messages.
    Messages(Vec<Message>),
    /// Whatever is typed.
    Terminal(Terminal),
}

impl Prompt {
    pub(crate) fn read(&self) -> Result<Input> {
        if let Some(path) = &self.messages {
            return self.conversation(path).map(Input::Messages);
        }
        if let Some(text) = &self.text {
            return Ok(Input::Text(text.clone()));
        }
        if self.file.is_none() && self.stdin.is_none() && stdin().is_terminal() {
            return Ok(Input::Terminal(Terminal::open()?));
        }
        let mut text = input::read_text(self.file.as_deref())?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(Input::Text(text))
    }

    /// The messages of a file, and the prompt behind them.
    fn conversation(&self, path: &Path) -> Result<Vec<Message>> {
        let text = input::read_text(Some(path))?;
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::Message(format!("{}: {what}", input::name_of(Some(path))))
        };
        let messages = input::messages(&text).map_err(|what| wrong(&what))?;
        let messages = Message::list_from_json(&messages.to_string());
        let mut messages = messages.map_err(|error| wrong(&error))?;
        match (&self.text, messages.last().map(|last| last.speaker)) {
            (_, None) => return Err(wrong(&"there are no messages")),
            (Some(text), _) if text.trim().is_empty() => return Err(empty()),
            (Some(text), _) => messages.push(Message::new(Speaker::User, text)),
            (None, Some(Speaker::Assistant)) => {
                let what = "the last message is the assistant's: there is nothing to answer; give the next question with -p";
                return Err(wrong(&what));
            }
            _ => {}
        }
        Ok(messages)
    }
}

/// The error of a prompt without a text.
pub(crate) fn empty() -> Failure {
    Failure::Message("the prompt is empty: there is nothing to answer".into())
}

/// The one argument that may follow the model.
fn dash(argument: &str) -> std::result::Result<String, &'static str> {
    if argument == "-" { Ok(argument.to_owned()) } else { Err("a prompt is given with -p") }
}
