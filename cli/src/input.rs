//! Text that is read from a file or from standard input.
#![forbid(unsafe_code)]

use std::io::{Read, stdin};
use std::path::Path;

use serde_json::Value;

use crate::failure::{Failure, Result};

/// All of a file, or of standard input if there is none, as it stands.
pub(crate) fn read_text(file: Option<&Path>) -> Result<String> {
    let name = file.map_or_else(|| "standard input".into(), |path| path.display().to_string());
    let mut bytes = Vec::new();
    let read = match file {
        Some(path) => std::fs::read(path).map(|read| bytes = read),
        None => stdin().lock().read_to_end(&mut bytes).map(|_| ()),
    };
    read.map_err(|error| Failure::Message(format!("cannot read {name}: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::Message(format!("{name} is not UTF-8 text: byte {at} begins no character"))
    })
}

/// The messages of a conversation in JSON: an array, or an object that has one under `messages`, as a saved chat.
pub(crate) fn messages(source: &str) -> std::result::Result<Value, String> {
    let mut value: Value =
        serde_json::from_str(source).map_err(|error| format!("it is not JSON: {error}"))?;
    if let Some(messages) = value.get_mut("messages") {
        value = messages.take();
    }
    let Value::Array(messages) = &value else {
        return Err("it is neither an array of messages nor an object with `messages`".into());
    };
    for (i, message) in messages.iter().enumerate() {
        let Some(message) = message.as_object() else { return Err(format!("message {i} is no object")) };
        let is_silent = message.get("content").is_none_or(Value::is_null);
        if is_silent && !message.contains_key("tool_calls") {
            return Err(format!("message {i} has no content"));
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_either_form() {
        let plain = r#"[{"role": "user", "content": "a\nb"}]"#;
        let saved = r#"{"messages": [{"role": "user", "content": "a\nb"}]}"#;
        assert_eq!(messages(plain), messages(saved));
        let calls = r#"[{"role": "assistant", "content": null, "tool_calls": []}]"#;
        assert!(messages(calls).is_ok());
        for (source, what) in [
            ("[{\"role\": \"user\"}]", "no content"),
            ("3", "neither"),
            ("[1]", "no object"),
            ("[", "not JSON"),
        ] {
            assert!(messages(source).unwrap_err().contains(what), "{source}");
        }
    }
}
