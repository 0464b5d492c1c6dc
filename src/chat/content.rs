//! Floor 4. What a message says, as a text or as the list of parts that APIs in OpenAI's style have; and which of the two a template reads.
//!
//! Templates of models that see pictures often read lists only, and write nothing of a text; most others fail on a list.
#![forbid(unsafe_code)]

use std::format;
use std::string::{String, ToString};

use serde_json::{Value as Json, json};

use super::{ChatTemplate, Message};
use crate::error::{Error, Result, text};

/// How a template reads what a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// As a text; lists it does not read.
    Text,
    /// As a list of parts; of a text it writes nothing.
    Parts,
    /// As it comes.
    Either,
}

impl Content {
    /// Tries a template, which is given content as it comes: on a message that is a text, and on one of two parts.
    ///
    /// # Errors
    /// [`Error::Memory`]. A template that fails on what it is tried on does not read it.
    pub(super) fn of(template: &ChatTemplate) -> Result<Content> {
        // Every list of parts has their texts under this name.
        if !template.source().contains("text") {
            return Ok(Content::Text);
        }
        const FIRST: &str = "what the first part says";
        const SECOND: &str = "what the second part says";
        const UNSAID: &str = "what no template writes unless it writes down the list itself";
        let writes = |content: Json| {
            let messages = json!([{ "role": "user", "content": content }]).to_string();
            match template.render(&Message::list_from_json(&messages)?, true) {
                // Templates may change the case.
                Ok(page) => Ok(page.to_lowercase()),
                Err(error @ Error::Memory { .. }) => Err(error),
                Err(_) => Ok(String::new()),
            }
        };
        let list = writes(json!([
            { "type": "text", "text": FIRST, "unsaid": UNSAID },
            { "type": "text", "text": SECOND }
        ]))?;
        let reads_parts = list.contains(FIRST) && list.contains(SECOND) && !list.contains(UNSAID);
        if !reads_parts {
            return Ok(Content::Text);
        }
        Ok(if writes(json!(FIRST))?.contains(FIRST) { Content::Either } else { Content::Parts })
    }

    /// The content of a message, as this template reads it: `text`, or the `parts` that say the same.
    pub(super) fn write(self, text: &str, parts: Option<&Json>) -> Json {
        // What one part says is a text, which some templates want of the system where they take a list of the user.
        let several = parts.filter(|parts| parts.as_array().is_some_and(|parts| parts.len() > 1));
        match (self, parts, several) {
            (Content::Parts, Some(parts), _) | (Content::Either, _, Some(parts)) => parts.clone(),
            (Content::Parts, None, _) => json!([{ "type": "text", "text": text }]),
            (Content::Text, ..) | (Content::Either, _, None) => text.into(),
        }
    }
}

/// What a list of parts says: their texts, one per line.
///
/// # Errors
/// [`Error::Argument`] if a part is no text; `i` is the number of the message.
pub(super) fn join(i: usize, parts: &[Json]) -> Result<String> {
    let mut joined = String::new();
    for part in parts {
        let kind = part.get("type").and_then(Json::as_str);
        let Some(text) = part.get("text").and_then(Json::as_str).filter(|_| kind == Some("text")) else {
            let kind = kind.map(|kind| format!(" of type {kind}")).unwrap_or_default();
            return Err(Error::Argument(text!("message {i} has a part{kind}; only parts of text are read")));
        };
        if !joined.is_empty() {
            joined.push('\n');
        }
        joined.push_str(text);
    }
    Ok(joined)
}
