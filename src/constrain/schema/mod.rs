//! Floor 4. A JSON schema made ready for the compiler.
//!
//! Every reference becomes one of the form `#/$defs/name` (references.rs), alternatives of which exactly one may hold become
//! ones of which any may (one_of.rs), patterns are written as the compiler's expressions (pattern.rs), and formats get the
//! bounds that the compiler's expressions for them leave out. Invariant: what the schema that comes out accepts, the one that
//! went in accepts too.
#![forbid(unsafe_code)]

mod apart;
mod one_of;
mod pattern;
mod references;

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result, text};

/// Keywords whose values are no schemas, though they may look like them.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "x-guidance"];
/// Keywords whose values hold schemas by names, which are no keywords.
const NAMED: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// What is narrowed: how long the parts of an e-mail address may be (RFC 5321, 4.5.3.1; RFC 1035, 2.3.4), and no second 60,
/// which few moments have.
const FORMATS: [(&str, &str); 3] = [
    ("email", r"^[^@]{1,64}@[^.@]{1,63}(\.[^.@]{1,63}){0,3}$"),
    ("time", r"^[^:]*:[^:]*:[0-5].*$"),
    ("date-time", r"^[^:]*:[^:]*:[0-5].*$"),
];

/// The schema that the compiler is given.
///
/// # Errors
/// [`Error::Grammar`] for a schema that is no object, a reference that leads nowhere, and alternatives that cannot be told apart.
pub(crate) fn prepare(schema: Value) -> Result<Value> {
    let mut schema = match schema {
        Value::Bool(true) => Value::Object(Map::new()),
        Value::Bool(false) => return Err(Error::Grammar(text!("the schema accepts nothing"))),
        Value::Object(map) => Value::Object(map),
        _ => return Err(Error::Grammar(text!("a schema is an object, true or false"))),
    };
    let mut result = Ok(());
    visit(&mut schema, &mut |place, map| {
        narrow_format(map);
        pattern::translate(map);
        result = result.and(check_names(place, map)).and(check_numbers(place, map));
    });
    result?;
    references::resolve(&mut schema)?;
    one_of::settle(&mut schema)?;
    Ok(schema)
}

/// Shows every schema within `value`, itself first, with its place as a JSON pointer.
pub(crate) fn visit(value: &mut Value, each: &mut dyn FnMut(&str, &mut Map<String, Value>)) {
    visit_at(&mut String::from("#"), value, each);
}

fn visit_at(place: &mut String, value: &mut Value, each: &mut dyn FnMut(&str, &mut Map<String, Value>)) {
    let mut below = |place: &mut String, name: &str, value: &mut Value| {
        let length = place.len();
        place.push('/');
        place.push_str(name);
        visit_at(place, value, each);
        place.truncate(length);
    };
    match value {
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(i, item)| below(place, &i.to_string(), item));
        }
        Value::Object(map) => {
            each(place, map);
            for (key, value) in map {
                match value {
                    Value::Array(_) | Value::Object(_) if DATA.contains(&key.as_str()) => {}
                    Value::Object(named) if NAMED.contains(&key.as_str()) => {
                        for (name, value) in named {
                            visit_at(&mut format!("{place}/{key}/{name}"), value, each);
                        }
                    }
                    Value::Array(_) | Value::Object(_) => {
                        visit_at(&mut format!("{place}/{key}"), value, each);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn narrow_format(map: &mut Map<String, Value>) {
    let format = map.get("format").and_then(Value::as_str);
    if let Some((_, pattern)) = FORMATS.iter().find(|(name, _)| Some(*name) == format) {
        let all = map.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
        if let Some(all) = all.as_array_mut() {
            all.push(json!({ "pattern": pattern }));
        }
    }
}

/// Refuses a schema that counts the names of an object where names are free: an object may have one of them twice, which is one
/// property for who reads it.
fn check_names(place: &str, map: &Map<String, Value>) -> Result<()> {
    let Some(least) = map.get("minProperties").and_then(Value::as_u64) else { return Ok(()) };
    let is_closed = map.get("additionalProperties") == Some(&Value::Bool(false))
        && map.get("patternProperties").and_then(Value::as_object).is_none_or(Map::is_empty);
    let required = map.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    if is_closed || least <= (required + 1) {
        return Ok(());
    }
    Err(Error::Grammar(text!(
        "{place}: minProperties: {least} cannot be held to where names are free, as one may come twice: name the properties \
         in \"required\""
    )))
}

/// Refuses whole numbers that a double does not hold, as the compiler reads them so.
fn check_numbers(place: &str, map: &Map<String, Value>) -> Result<()> {
    const KEYS: [&str; 7] =
        ["const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
    fn inexact(value: &Value) -> Option<i128> {
        match value {
            Value::Number(number) => {
                let whole = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from))?;
                (whole as f64 as i128 != whole).then_some(whole)
            }
            Value::Array(items) => items.iter().find_map(inexact),
            Value::Object(map) => map.values().find_map(inexact),
            _ => None,
        }
    }
    match KEYS.iter().filter_map(|key| map.get(*key)).find_map(inexact) {
        Some(number) => {
            Err(Error::Grammar(text!("{place}: {number} is more exact than a double, and cannot be held to")))
        }
        None => Ok(()),
    }
}
