//! Floor 4. One turn of a conversation: who speaks, what is said, and what else an assistant and its tools have to say.
#![forbid(unsafe_code)]

use std::format;
use std::string::String;
use std::vec::Vec;

use serde_json::{Map, Value, json};

use super::content::{self, Content};
use super::tools::ToolCall;
use crate::error::{Error, Result, text};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Speaker {
    /// Whoever set the conversation up: how to answer.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// What the model called: its result.
    Tool,
}

impl Speaker {
    /// The name that templates know: `system`, `user`, `assistant`, `tool`.
    pub fn name(self) -> &'static str {
        match self {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
            Speaker::Tool => "tool",
        }
    }

    /// Whether what is said comes from strangers, so that it must not name control tokens.
    pub(super) fn is_stranger(self) -> bool {
        matches!(self, Speaker::User | Speaker::Tool)
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub speaker: Speaker,
    /// What is said.
    pub content: String,
    /// What the template sees beside that, in the order in which it sees it; a text or parts under `content` stand for `content`.
    fields: Map<String, Value>,
    /// Whether there is content at all. Templates tell none from one that says nothing.
    has_content: bool,
}

impl Message {
    /// A message.
    pub fn new(speaker: Speaker, content: impl Into<String>) -> Message {
        Message { speaker, content: content.into(), fields: Map::new(), has_content: true }
    }

    /// The result of the call `id` of the tool `name`.
    pub fn tool_result(id: &str, name: &str, content: impl Into<String>) -> Message {
        let mut message = Message::new(Speaker::Tool, content);
        message.fields.insert("tool_call_id".into(), id.into());
        message.fields.insert("name".into(), name.into());
        message
    }

    /// The same, with what the assistant thought before it spoke (`reasoning_content`).
    #[must_use]
    pub fn with_reasoning(mut self, reasoning: &str) -> Message {
        self.fields.insert("reasoning_content".into(), reasoning.into());
        self
    }

    /// The same, with the calls that the assistant made (`tool_calls`).
    #[must_use]
    pub fn with_tool_calls(mut self, calls: &[ToolCall]) -> Message {
        let call = |call: &ToolCall| {
            let arguments =
                crate::json::parse(&call.arguments).unwrap_or(Value::from(call.arguments.as_str()));
            json!({ "type": "function", "id": call.id, "function": { "name": call.name, "arguments": arguments } })
        };
        self.fields.insert("tool_calls".into(), calls.iter().map(call).collect());
        self
    }

    /// The messages of a JSON array as APIs in OpenAI's style have them. All fields reach the template; the arguments of tool
    /// calls, which are JSON in a text there, as what they say, since that is what templates expect. Content may be a list of
    /// parts, which must be texts: a template that reads no lists gets them as one text, a part per line.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not an array of objects with a `role`, or content has a part that is no text.
    pub fn list_from_json(source: &str) -> Result<Vec<Message>> {
        let list = crate::json::parse(source)
            .map_err(|error| Error::Argument(text!("the messages are not JSON: {error}")))?;
        let Value::Array(list) = list else {
            return Err(Error::Argument(text!("the messages are not a JSON array")));
        };
        list.into_iter().enumerate().map(|(i, message)| Message::from_value(i, message)).collect()
    }

    fn from_value(i: usize, message: Value) -> Result<Message> {
        let Value::Object(mut fields) = message else {
            return Err(Error::Argument(text!("message {i} is no object")));
        };
        let Some(role) = fields.get("role").and_then(Value::as_str) else {
            return Err(Error::Argument(text!("message {i} has no role")));
        };
        let speaker = match role {
            "system" | "developer" => Speaker::System,
            "assistant" => Speaker::Assistant,
            "tool" | "function" | "ipython" => Speaker::Tool,
            _ => Speaker::User,
        };
        let content = match fields.get_mut("content") {
            Some(Value::String(text)) => core::mem::take(text),
            Some(Value::Array(parts)) => content::join(i, parts)?,
            _ => String::new(),
        };
        read_arguments(&mut fields);
        let has_content = fields.contains_key("content");
        Ok(Message { speaker, content, fields, has_content })
    }

    /// The message as a template sees it that reads content like `reads`, each of its texts as `write` has it.
    pub(super) fn value(
        &self,
        reads: Content,
        write: &dyn Fn(&str) -> Result<String>,
    ) -> Result<minijinja::Value> {
        let mut object = Map::new();
        if !self.fields.contains_key("role") {
            object.insert("role".into(), self.speaker.name().into());
        }
        if self.has_content && !self.fields.contains_key("content") {
            object.insert("content".into(), reads.write(&self.content, None));
        }
        for (name, value) in &self.fields {
            let value = match value {
                Value::String(_) if name == "content" => reads.write(&self.content, None),
                Value::Array(parts) if name == "content" => {
                    // Whoever changed the text means the text.
                    let is_same = content::join(0, parts).is_ok_and(|joined| joined == self.content);
                    reads.write(&self.content, is_same.then_some(value))
                }
                _ => value.clone(),
            };
            object.insert(name.clone(), value);
        }
        super::value::with_texts(&Value::Object(object), write)
    }

    /// Makes text of calls, each as `write` has it, and of a tool's result what a user says: for templates without tools.
    pub(super) fn spell_out(&mut self, write: impl Fn(&Value) -> String) {
        if let Some(Value::Array(calls)) = self.fields.remove("tool_calls") {
            for call in &calls {
                let call = call.get("function").unwrap_or(call);
                let call = json!({ "name": call.get("name"), "arguments": call.get("arguments") });
                let line = if self.content.is_empty() { "" } else { "\n" };
                self.content = format!("{}{line}{}", self.content, write(&call));
            }
            self.fields.remove("content");
            self.has_content = true;
        }
        if self.speaker == Speaker::Tool {
            let content = format!("<tool_response>\n{}\n</tool_response>", self.content);
            *self = Message::new(Speaker::User, content);
        }
    }

    /// The bytes of all texts, about.
    pub(super) fn size(&self) -> usize {
        let fields = if self.fields.is_empty() { 0 } else { format!("{:?}", self.fields).len() };
        self.content.len() + fields
    }

    /// Whether any of its texts has the character `c`.
    pub(super) fn contains(&self, c: char) -> bool {
        self.content.contains(c) || self.fields.values().any(|value| super::value::contains(value, c))
    }
}

/// The arguments of tool calls as what their JSON says.
fn read_arguments(fields: &mut Map<String, Value>) {
    for call in fields.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let arguments = match call.get_mut("function") {
            Some(function) => function.get_mut("arguments"),
            None => call.get_mut("arguments"),
        };
        if let Some(arguments) = arguments
            && let Some(Ok(read @ Value::Object(_))) = arguments.as_str().map(crate::json::parse)
        {
            *arguments = read;
        }
    }
}
