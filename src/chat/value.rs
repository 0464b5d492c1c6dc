//! Floor 4. JSON as the values of templates.
#![forbid(unsafe_code)]

use std::string::String;
use std::vec::Vec;

use minijinja::Value;
use serde_json::Value as Json;

use crate::error::Result;

/// `json` with each of its texts, the names of fields left out, as `write` has it.
pub(super) fn with_texts(json: &Json, write: &dyn Fn(&str) -> Result<String>) -> Result<Value> {
    Ok(match json {
        Json::Null => Value::from(()),
        Json::Bool(is) => Value::from(*is),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (_, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(write(text)?),
        Json::Array(items) => {
            let items: Result<Vec<Value>> = items.iter().map(|item| with_texts(item, write)).collect();
            Value::from(items?)
        }
        Json::Object(fields) => {
            let field = |(name, value): (&String, &Json)| Ok((name.clone(), with_texts(value, write)?));
            let fields: Result<Vec<(String, Value)>> = fields.iter().map(field).collect();
            Value::from_pairs(fields?)
        }
    })
}

/// `json` as it is.
pub(super) fn plain(json: &Json) -> Value {
    // Copying a text cannot fail.
    with_texts(json, &|text| Ok(text.into())).unwrap_or_default()
}

/// Whether a text in `json` has the character `c`.
pub(super) fn contains(json: &Json, c: char) -> bool {
    match json {
        Json::String(text) => text.contains(c),
        Json::Array(items) => items.iter().any(|item| contains(item, c)),
        Json::Object(fields) => fields.values().any(|value| contains(value, c)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}
