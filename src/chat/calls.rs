//! Floor 4. How models write their calls of tools, by what their template says of it; reading such calls back.
//!
//! ```text
//!   open  before { "name": ..., "arguments": ... } after  between  before { ... } after  close       Form::Object
//!   open  before NAME middle { arguments } after  between  ...  close                                Form::Named
//!   open  before NAME:1 middle { arguments } after  between  ...  close                              Form::Numbered
//!   open  before NAME <tag>argument</tag> ... after  between  ...  close                             Form::Tagged
//!   open  before NAME(argument=value, ...) after  between  ...  close                                Form::Python
//! ```
//! Invariant: what is read are calls of tools that there are, with arguments that are JSON; whatever else a model writes stays
//! text.
#![forbid(unsafe_code)]

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Map, Value};

use super::pythonic;
use super::syntaxes::{GENERIC, HERMES, KNOWN};
use super::tagged::Tags;
use super::thoughts::split_reasoning;
use super::tools::{Tool, ToolCall};
use super::{ChatTemplate, Message, Speaker};

/// Whether a model may, must or must not call a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// It decides.
    #[default]
    Auto,
    /// It calls at least one.
    Required,
    /// It calls none.
    None,
    /// It calls this one, once.
    Named(&'a str),
}

impl<'a> ToolChoice<'a> {
    /// What a word means: `auto`, `required`, `none`, or the name of a tool.
    pub fn from_word(word: &'a str) -> ToolChoice<'a> {
        match word {
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            "none" => ToolChoice::None,
            name => ToolChoice::Named(name),
        }
    }
}

/// How a call is written between what surrounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As an object with these keys.
    Object { name: &'static str, arguments: &'static str, id: Option<&'static str> },
    /// As the name, this, and an object of arguments.
    Named(&'static str),
    /// As the name, a colon and a number, this, and an object of arguments.
    Numbered(&'static str),
    /// As the name and its arguments between tags.
    Tagged(Tags),
    /// As Python writes a call.
    Python,
}

/// How the models of one family write calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSyntax {
    pub(super) open: &'static str,
    pub(super) before: &'static str,
    pub(super) form: Form,
    pub(super) after: &'static str,
    pub(super) between: &'static str,
    pub(super) close: &'static str,
    /// Whether there may be more than one.
    pub(super) is_many: bool,
    /// Whether the template knows of tools; where it does not, the system message has to tell.
    pub(super) knows_tools: bool,
    /// Whether the template writes the calls that were made; where it does not, they become text.
    pub(super) writes_calls: bool,
    /// What the ids follow from that calls without one get.
    pub(super) salt: u64,
}

/// What a model said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What it thought before it spoke.
    pub reasoning: Option<String>,
    /// What it said, without thoughts and calls.
    pub content: String,
    /// What it called.
    pub calls: Vec<ToolCall>,
}

impl CallSyntax {
    /// How the models of `template` write calls.
    pub fn of(template: &ChatTemplate) -> CallSyntax {
        let source = template.source();
        if !source.contains("tools") {
            return GENERIC;
        }
        let is_known = |words: &[&str]| words.iter().all(|word| source.contains(word));
        let written = KNOWN.iter().find(|(words, _)| is_known(words)).map(|(_, syntax)| *syntax);
        let escaped = || is_known(&["<tool_call>", "\\\"arguments\\\""]).then_some(HERMES);
        let syntax = written.or_else(escaped).unwrap_or(GENERIC);
        let writes_calls = syntax.form != Form::Python || source.contains("tool_calls");
        CallSyntax { writes_calls, ..syntax }
    }

    /// The same, whose calls get ids that follow from `salt` where the model gives none: the ids of answers with different salts
    /// are different.
    pub fn with_salt(self, salt: u64) -> CallSyntax {
        CallSyntax { salt, ..self }
    }

    /// The id of a call that the model gave none: nine letters and digits, which is what Mistral's templates want.
    fn made_up_id(&self, place: usize) -> String {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        // The last steps of splitmix64, so that near salts give other ids.
        let mut bits = self.salt.wrapping_add((place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let digits = (0..9).map(|i| DIGITS[(bits / 36u64.pow(i) % 36) as usize]);
        digits.map(char::from).collect()
    }

    /// The conversation as the template can write it: where it knows nothing of tools, the system message describes them, and
    /// calls and results become text.
    pub fn prepare(&self, messages: &[Message], tools: &[Tool]) -> Vec<Message> {
        let mut messages = messages.to_vec();
        if self.knows_tools {
            for message in messages.iter_mut().filter(|_| !self.writes_calls) {
                if message.speaker == Speaker::Assistant {
                    message.spell_out(pythonic::write);
                }
            }
            return messages;
        }
        for message in &mut messages {
            message.spell_out(|call| format!("<tool_call>\n{call}\n</tool_call>"));
        }
        if tools.is_empty() {
            return messages;
        }
        let mut told =
            String::from("You may call functions. They are given as JSON, one in a line:\n<tools>\n");
        for tool in tools {
            told.push_str(&tool.source().get("function").cloned().unwrap_or_default().to_string());
            told.push('\n');
        }
        told.push_str(
            "</tools>\nTo call one, answer with its name and arguments as JSON between these tags:\n\
             <tool_call>\n{\"name\": \"the name\", \"arguments\": {}}\n</tool_call>",
        );
        match messages.first_mut().filter(|first| first.speaker == Speaker::System) {
            Some(first) => first.content = format!("{}\n\n{told}", first.content),
            None => messages.insert(0, Message::new(Speaker::System, told)),
        }
        messages
    }

    /// Reads what a model said, control tokens of calls included or not. Calls are found in the syntax of the model, and failing
    /// that in any other that is known.
    pub fn read(&self, tools: &[Tool], said: &str) -> Answer {
        let (reasoning, rest) = split_reasoning(said);
        let mut answer = Answer { reasoning, ..Answer::default() };
        let others = KNOWN.iter().map(|(_, syntax)| syntax).chain([&GENERIC]);
        for syntax in core::iter::once(self).chain(others) {
            if let Some((content, calls)) = syntax.with_salt(self.salt).find(tools, rest) {
                answer.content = content;
                answer.calls = calls;
                return answer;
            }
        }
        answer.content = rest.trim().to_string();
        answer
    }

    /// Reads what a model had said when it was cut off: a call that was begun and has no end is left out.
    pub fn read_unfinished(&self, tools: &[Tool], said: &str) -> Answer {
        let mut answer = self.read(tools, said);
        let mark = self.mark();
        if mark.is_empty() {
            // Such calls are all of what is said.
            if answer.calls.is_empty() && answer.content.starts_with(['{', '[']) {
                answer.content.clear();
            }
        } else if let Some(at) = answer.content.rfind(mark) {
            answer.content.truncate(at);
        } else {
            let begun = |len: &usize| answer.content.ends_with(&mark[..*len]);
            let lengths = (1..mark.len()).rev().filter(|&len| mark.is_char_boundary(len));
            let cut = lengths.into_iter().find(begun).unwrap_or(0);
            answer.content.truncate(answer.content.len() - cut);
        }
        answer.content.truncate(answer.content.trim_end().len());
        answer
    }

    /// What calls begin with, without the blanks around it, which models are careless about.
    fn mark(&self) -> &'static str {
        let mark = if self.open.is_empty() { self.before } else { self.open };
        mark.trim().trim_end_matches('[')
    }

    /// The calls in `said`, and the text around them.
    fn find(&self, tools: &[Tool], said: &str) -> Option<(String, Vec<ToolCall>)> {
        let mark = self.mark();
        let mut calls: Vec<ToolCall> = Vec::new();
        let mut content = String::new();
        let mut rest = said;
        if mark.is_empty() {
            rest = rest.trim_start();
            rest = rest.strip_prefix("<|python_tag|>").unwrap_or(rest);
            rest = rest.strip_prefix("```json").unwrap_or(rest).trim_start();
            rest = self.call(tools, rest, &mut calls)?;
            while let Some(next) =
                self.call(tools, rest.trim_start_matches([';', ',', '\n', ' ']), &mut calls)
            {
                rest = next;
            }
        } else {
            while let Some(at) = rest.find(mark) {
                let (text, behind) = rest.split_at(at);
                let mut behind = &behind[mark.len()..];
                let before = calls.len();
                while let Some(next) = self.call(tools, self.lead(behind), &mut calls) {
                    behind = self.tail(next);
                }
                // A mark without a call is text.
                content.push_str(if calls.len() == before { &rest[..at + mark.len()] } else { text });
                rest = behind;
            }
        }
        if calls.is_empty() {
            return None;
        }
        // Cut off in the middle of the last mark, what is there of it is no text.
        let end = rest.trim();
        let is_cut = [self.after, self.close].iter().any(|mark| mark.trim().starts_with(end));
        if !is_cut {
            content.push_str(rest.trim_start().strip_prefix("```").unwrap_or(rest));
        }
        Some((content.trim().to_string(), calls))
    }

    /// What stands before a call, left out of `rest`.
    fn lead<'a>(&self, rest: &'a str) -> &'a str {
        let mut rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '[' || c == ',');
        if !self.open.is_empty() {
            rest = rest.strip_prefix(self.before.trim()).unwrap_or(rest).trim_start();
        }
        rest
    }

    /// What stands behind a call, left out of `rest`.
    fn tail<'a>(&self, mut rest: &'a str) -> &'a str {
        for mark in [self.after.trim(), self.close.trim(), "]"] {
            let next = rest.trim_start();
            rest = next.strip_prefix(mark).filter(|_| !mark.is_empty()).unwrap_or(rest);
        }
        rest
    }

    /// Reads one call from the beginning of `rest`; what is behind it.
    fn call<'a>(&self, tools: &[Tool], rest: &'a str, calls: &mut Vec<ToolCall>) -> Option<&'a str> {
        let (name, id, arguments, rest) = match self.form {
            Form::Tagged(tags) => {
                let (name, arguments, behind) = tags.read(tools, rest)?;
                (name, None, arguments, behind)
            }
            Form::Python => {
                let (name, arguments, behind) = pythonic::read(rest)?;
                (name, None, arguments, behind)
            }
            Form::Numbered(middle) => {
                // Their ids are what is written: the place of the function, its name and the number.
                let (id, behind) = rest.split_once(middle)?;
                let (name, _) =
                    id.trim().rsplit_once(':').filter(|(_, number)| number.parse::<u64>().is_ok())?;
                let (arguments, behind) = crate::json::parse_at(behind)?;
                (name.to_string(), Some(format!("functions.{}", id.trim())), arguments, behind)
            }
            Form::Named(middle) => {
                let middle = middle.trim();
                let end = if middle.is_empty() { rest.find(['\n', '{'])? } else { rest.find(middle)? };
                let (name, behind) = rest.split_at(end);
                // Some give the call a number before its arguments.
                let (name, id) =
                    name.split_once("[CALL_ID]").map_or((name, None), |(name, id)| (name, Some(id)));
                let (arguments, behind) = crate::json::parse_at(behind.get(middle.len()..)?)?;
                (name.trim().to_string(), id.map(str::to_string), arguments, behind)
            }
            Form::Object { name, arguments, id } => {
                let (Value::Object(mut call), behind) = crate::json::parse_at(rest)? else { return None };
                let id = id.and_then(|id| call.get(id)).and_then(|id| id.as_str().map(str::to_string));
                let Some(Value::String(found)) = call.remove(name) else { return None };
                let keys = [arguments, "arguments", "parameters"];
                let arguments = keys.iter().find_map(|key| call.remove(*key)).unwrap_or_default();
                (found, id, arguments, behind)
            }
        };
        if !tools.iter().any(|tool| tool.name() == name) {
            return None;
        }
        // Some write the arguments as JSON in a text; some leave them out.
        let arguments = match arguments {
            Value::String(inner) => crate::json::parse(&inner).unwrap_or(Value::String(inner)),
            Value::Null => Value::Object(Map::new()),
            arguments => arguments,
        };
        let id = id.unwrap_or_else(|| self.made_up_id(calls.len()));
        calls.push(ToolCall { id, name, arguments: arguments.to_string() });
        Some(rest)
    }
}
