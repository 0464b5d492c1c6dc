//! Text that is read from a file or from standard input.
#![forbid(unsafe_code)]

use std::io::{Read, stdin};
use std::path::Path;

use serde_json::Value;

use crate::failure::{Failure, Result};

/// The roles that are known; `function` and `ipython` are older names of `tool`, and `document` and `observation` are those of
/// templates that have more than the usual ones. The library takes any other for the user's, so a slip would go unnoticed.
const ROLES: [&str; 9] =
    ["system", "developer", "user", "assistant", "tool", "function", "ipython", "document", "observation"];

/// The file that is read; none is standard input, and so is `-`.
fn file_of(file: Option<&Path>) -> Option<&Path> {
    file.filter(|path| path.as_os_str() != "-")
}

/// What the file is called in an error.
pub(crate) fn name_of(file: Option<&Path>) -> String {
    file_of(file).map_or_else(|| "standard input".into(), |path| path.display().to_string())
}

/// All of a file, or of standard input if there is none or it is `-`, as it stands but for a byte order mark.
pub(crate) fn read_text(file: Option<&Path>) -> Result<String> {
    let name = name_of(file);
    let mut bytes = Vec::new();
    let read = match file_of(file) {
        Some(path) => std::fs::read(path).map(|read| bytes = read),
        None => stdin().lock().read_to_end(&mut bytes).map(|_| ()),
    };
    read.map_err(|error| Failure::Message(format!("cannot read {name}: {error}")))?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::Message(format!("{name} is not UTF-8 text: byte {at} begins no character"))
    })?;
    let len = without_mark(&text).len();
    text.drain(..text.len() - len);
    Ok(text)
}

/// A file's text without the byte order mark that editors of Windows begin it with: JSON has no place for it, and a model
/// was not trained on it.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
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
    for (i, message) in (1..).zip(messages) {
        let Some(message) = message.as_object() else { return Err(format!("message {i} is no object")) };
        match message.get("role").map(|role| role.as_str().ok_or(role)) {
            Some(Ok(role)) if ROLES.contains(&role) => {}
            None => return Err(format!("message {i} has no role")),
            Some(Ok(role)) => return Err(unknown(i, &format!("{role:?}"))),
            Some(Err(role)) => return Err(unknown(i, &role.to_string())),
        }
        let is_silent = message.get("content").is_none_or(Value::is_null);
        if is_silent && !message.contains_key("tool_calls") {
            return Err(format!("message {i} has no content"));
        }
    }
    Ok(value)
}

fn unknown(i: usize, role: &str) -> String {
    format!("message {i} has the role {role}: there are {}", ROLES[..5].join(", "))
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
            ("[{\"role\": \"user\"}]", "message 1 has no content"),
            ("[{\"content\": \"a\"}]", "message 1 has no role"),
            ("[{\"role\": 3, \"content\": \"a\"}]", "message 1 has the role 3"),
            (
                "[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assitant\", \"content\": \"b\"}]",
                "message 2 has the role \"assitant\": there are system, developer, user, assistant, tool",
            ),
            ("3", "neither"),
            ("[1]", "message 1 is no object"),
            ("[", "not JSON"),
        ] {
            assert!(messages(source).unwrap_err().contains(what), "{source}");
        }
    }
}
