//! Floor 1 (features `chat` and `constrain`). JSON from outside: messages, tools, schemas, and what a model says.
//!
//! Invariant: nothing that is read is nested deeper than [`DEPTH_MAX`], since whoever reads, copies or drops a value recurses into it, on
//! stacks as small as 64 KB.
#![forbid(unsafe_code)]

use serde_json::Value;

use crate::error::{Text, text};

/// The most arrays and objects around a value.
pub(crate) const DEPTH_MAX: usize = 48;

/// Reads JSON, or says what is wrong with it.
pub(crate) fn parse(source: &str) -> Result<Value, Text> {
    if let Some(at) = too_deep(source) {
        return Err(text!("it is nested more than {DEPTH_MAX} deep at byte {at}"));
    }
    serde_json::from_str(source).map_err(|error| text!("{error}"))
}

/// The JSON at the beginning of `source`, and what is behind it.
#[cfg(feature = "chat")]
pub(crate) fn parse_at(source: &str) -> Option<(Value, &str)> {
    if too_deep(source).is_some() {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(source).into_iter::<Value>();
    let value = stream.next()?.ok()?;
    Some((value, source.get(stream.byte_offset()..)?))
}

/// Where the first value of `source` goes deeper than it may.
fn too_deep(source: &str) -> Option<usize> {
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'[' | b'{' if depth == DEPTH_MAX => return Some(at),
            b'[' | b'{' => depth += 1,
            // The last one that closes ends the value; what is no JSON is found by whoever reads it.
            b']' | b'}' if depth <= 1 => return None,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_and_texts_have_none() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        let error = parse(&nested(DEPTH_MAX + 1)).unwrap_err();
        assert_eq!(error.as_str(), "it is nested more than 48 deep at byte 48");
        // Never closed, never opened, in a text, behind the value.
        assert!(parse(&"{\"a\":".repeat(100_000)).is_err());
        assert!(parse(&"]".repeat(100)).is_err());
        let quoted = format!("{{\"a\\\"[\": \"\\\\{}\"}}", "[".repeat(100));
        assert_eq!(parse(&quoted).unwrap()["a\"["], format!("\\{}", "[".repeat(100)));
        let behind = format!("{{\"a\": [1]}} {}", nested(100));
        assert!(parse(&behind).is_err());
        #[cfg(feature = "chat")]
        assert_eq!(parse_at(&behind).unwrap().1.trim(), nested(100));
    }
}
