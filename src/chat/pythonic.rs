//! Floor 4. Calls written as Python writes them, which is how LFM2 does it.
//!
//! ```text
//!   NAME(ARGUMENT=value, ARGUMENT=value)
//! ```
//! Values are Python's or JSON's: what is read may be either, and what is constrained is JSON but for `True` and `False`.
#![forbid(unsafe_code)]

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Map, Value};

/// Lists within lists, at most.
const DEPTH_MAX: usize = 32;

/// The name and the arguments of a call at the beginning of `text`, and what is behind them.
pub(super) fn read(text: &str) -> Option<(String, Value, &str)> {
    let (name, mut rest) = text.split_once('(')?;
    let mut arguments = Map::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix(')') {
            return Some((name.trim().to_string(), Value::Object(arguments), behind));
        }
        let (argument, behind) = rest.split_once('=')?;
        let (value, behind) = value(behind, DEPTH_MAX)?;
        arguments.insert(argument.trim().to_string(), value);
        rest = next(behind, ')')?;
    }
}

/// A call as text.
pub(super) fn write(call: &Value) -> String {
    let name = call.get("name").and_then(Value::as_str).unwrap_or_default();
    let arguments = call.get("arguments").and_then(Value::as_object);
    let arguments = arguments.into_iter().flatten().map(|(name, value)| format!("{name}={}", written(value)));
    format!("<|tool_call_start|>[{name}({})]<|tool_call_end|>", arguments.collect::<Vec<String>>().join(", "))
}

/// A value as Python writes it.
fn written(value: &Value) -> String {
    let all = |values: Vec<String>| values.join(", ");
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Array(values) => format!("[{}]", all(values.iter().map(written).collect())),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), written(value))
            };
            format!("{{{}}}", all(map.iter().map(entry).collect()))
        }
        other => other.to_string(),
    }
}

/// What is behind a comma, or before the end.
fn next(text: &str, end: char) -> Option<&str> {
    let text = text.trim_start();
    text.strip_prefix(',').or_else(|| text.starts_with(end).then_some(text))
}

/// The value at the beginning of `text`, and what is behind it.
fn value(text: &str, depth: usize) -> Option<(Value, &str)> {
    let text = text.trim_start();
    let depth = depth.checked_sub(1)?;
    let words = [
        ("True", Value::Bool(true)),
        ("true", Value::Bool(true)),
        ("False", Value::Bool(false)),
        ("false", Value::Bool(false)),
        ("None", Value::Null),
        ("null", Value::Null),
    ];
    for (word, value) in words {
        if let Some(behind) = text.strip_prefix(word) {
            return Some((value, behind));
        }
    }
    match text.chars().next()? {
        quote @ ('"' | '\'') => match crate::json::parse_at(text) {
            Some(json) => Some(json),
            None => quoted(&text[1..], quote),
        },
        '[' => list(&text[1..], ']', depth),
        '(' => list(&text[1..], ')', depth),
        '{' => {
            let (mut map, mut rest) = (Map::new(), &text[1..]);
            loop {
                rest = rest.trim_start();
                if let Some(behind) = rest.strip_prefix('}') {
                    return Some((Value::Object(map), behind));
                }
                let (Value::String(key), behind) = value(rest, depth)? else { return None };
                let (value, behind) = value(behind.trim_start().strip_prefix(':')?, depth)?;
                map.insert(key, value);
                rest = next(behind, '}')?;
            }
        }
        // What reads JSON wants to see that a number ends, and knows of no parenthesis.
        _ => {
            let end = text.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
            let (number, behind) = text.split_at(end.unwrap_or(text.len()));
            Some((crate::json::parse(number).ok()?, behind))
        }
    }
}

fn list(mut rest: &str, end: char, depth: usize) -> Option<(Value, &str)> {
    let mut values = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix(end) {
            return Some((Value::Array(values), behind));
        }
        let (value, behind) = value(rest, depth)?;
        values.push(value);
        rest = next(behind, end)?;
    }
}

/// A text up to its quote.
fn quoted(text: &str, quote: char) -> Option<(Value, &str)> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            _ if c == quote => return Some((out.into(), &text[at + c.len_utf8()..])),
            '\\' => match characters.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                same @ ('\\' | '\'' | '"') => out.push(same),
                // Python keeps what is no escape as it is.
                other => out.extend(['\\', other]),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(feature = "constrain")]
mod constrained {
    use super::*;
    use crate::chat::tagged::{is_truth, whole_schema};
    use crate::chat::tools::Tool;
    use crate::error::Result;

    /// A call of `tool` behind its name, as a rule of Lark. Arguments come in the order of the schema.
    ///
    /// # Errors
    /// [`Error::Grammar`](crate::Error::Grammar) for a schema that cannot be read.
    pub(in crate::chat) fn arguments(tool: &Tool) -> Result<String> {
        let schema = tool.schema();
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        // Built from the last to the first: what may follow an argument, and what a call may begin with.
        let (mut behind, mut whole) = (String::new(), Some(String::new()));
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten().rev()
        {
            let value = match is_truth(tool, schema) {
                true => "(\"True\" | \"False\")".into(),
                false => format!("%json {}", whole_schema(tool, schema)?),
            };
            let own = format!("{} {value}", Value::from(format!("{name}=")));
            let first = format!("{own} {behind}");
            whole = match whole.filter(|_| !is_required(name)) {
                Some(rest) if rest.is_empty() => Some(format!("({first})?")),
                Some(rest) => Some(format!("(({first}) | {rest})")),
                None => Some(first),
            };
            behind = match is_required(name) {
                true => format!("\", \" {own} {behind}"),
                false => format!("(\", \" {own})? {behind}"),
            };
        }
        Ok(format!("\"(\" {} \")\"", whole.unwrap_or_default()))
    }
}

#[cfg(feature = "constrain")]
pub(in crate::chat) use constrained::arguments;
