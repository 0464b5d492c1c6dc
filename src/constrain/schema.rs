//! Floor 4. A JSON schema made ready for the compiler: every reference becomes one of the form `#/$defs/name`, and formats get
//! the bounds that the compiler's expressions for them leave out.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Map, Value};

use crate::error::{Error, Result, text};

/// Keywords whose values are no schemas, though they may look like them.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "x-guidance"];

/// What is narrowed: how long the parts of an e-mail address may be (RFC 5321, 4.5.3.1; RFC 1035, 2.3.4), and no second 60,
/// which few moments have.
const FORMATS: [(&str, &str); 3] = [
    ("email", r"^[^@]{1,64}@[^.@]{1,63}(\.[^.@]{1,63}){0,3}$"),
    ("time", r"^[^:]*:[^:]*:[0-5].*$"),
    ("date-time", r"^[^:]*:[^:]*:[0-5].*$"),
];

/// A schema whose references the compiler can follow: those that it cannot (escaped names, anchors, ids) lead to copies among
/// the definitions.
///
/// # Errors
/// [`Error::Grammar`] for a schema that is no object, and a reference that leads nowhere.
pub(super) fn prepare(schema: Value) -> Result<Value> {
    let mut schema = match schema {
        Value::Bool(true) => Value::Object(Map::new()),
        Value::Bool(false) => return Err(Error::Grammar(text!("the schema accepts nothing"))),
        Value::Object(map) => Value::Object(map),
        _ => return Err(Error::Grammar(text!("a schema is an object, true or false"))),
    };
    narrow_formats(&mut schema);
    let mut wanted = BTreeMap::new();
    collect(&schema, &mut wanted);
    if wanted.is_empty() {
        return Ok(schema);
    }
    for (reference, name) in &mut wanted {
        let target = find(&schema, reference).ok_or_else(|| {
            Error::Grammar(text!("$ref {reference:?} leads nowhere in the schema; only it is searched"))
        })?;
        *name = Some(target.clone());
    }
    let names: BTreeMap<String, String> =
        wanted.keys().enumerate().map(|(i, reference)| (reference.clone(), format!("__ref_{i}"))).collect();
    let mut definitions = Map::new();
    for (reference, target) in wanted {
        let mut target = target.unwrap_or_default();
        rewrite(&mut target, &names);
        definitions.insert(names[&reference].clone(), target);
    }
    rewrite(&mut schema, &names);
    if let Some(root) = schema.as_object_mut() {
        match root.entry("$defs").or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(defs) => defs.extend(definitions),
            _ => return Err(Error::Grammar(text!("$defs is no object"))),
        }
    }
    Ok(schema)
}

/// Whether the compiler follows `reference` as it stands.
fn is_plain(reference: &str) -> bool {
    reference == "#" || (reference.starts_with("#/") && !reference.contains(['~', '%']))
}

/// Whether what a schema has under `key` is no schema, though it may look like one.
#[cfg(feature = "chat")]
pub(crate) fn holds_data(key: &str) -> bool {
    DATA.contains(&key)
}

fn narrow_formats(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(narrow_formats),
        Value::Object(map) => {
            let format = map.get("format").and_then(Value::as_str);
            if let Some((_, pattern)) = FORMATS.iter().find(|(name, _)| Some(*name) == format) {
                map.entry("pattern").or_insert_with(|| Value::from(*pattern));
            }
            map.iter_mut()
                .filter(|(key, _)| !DATA.contains(&key.as_str()))
                .for_each(|(_, value)| narrow_formats(value));
        }
        _ => {}
    }
}

fn collect(value: &Value, wanted: &mut BTreeMap<String, Option<Value>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, wanted)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(reference) if key == "$ref" && !is_plain(reference) => {
                        wanted.insert(reference.clone(), None);
                    }
                    value if !DATA.contains(&key.as_str()) => collect(value, wanted),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn rewrite(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, names)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(reference) if key == "$ref" => {
                        if let Some(name) = names.get(reference.as_str()) {
                            *reference = format!("#/$defs/{name}");
                        }
                    }
                    value if !DATA.contains(&key.as_str()) => rewrite(value, names),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// What a reference leads to: a pointer (`#/a/b`), an anchor (`#name`), or an id.
fn find<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let (id, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let base = if id.is_empty() {
        root
    } else {
        // An id may be written from the root or from where its schema lies.
        named(root, &["$id", "id"], &|name| {
            let name = name.trim_end_matches('#');
            name == id || (!id.contains("://") && name.rsplit('/').next() == id.rsplit('/').next())
        })?
    };
    match unescape(fragment) {
        fragment if fragment.is_empty() => Some(base),
        fragment if fragment.starts_with('/') => base.pointer(&fragment),
        fragment => named(base, &["$anchor", "$dynamicAnchor"], &|name| name == fragment)
            .or_else(|| named(base, &["$id", "id"], &|name| name.strip_prefix('#') == Some(&*fragment))),
    }
}

/// The schema for which one of `keys` holds a name that `is_it`.
fn named<'a>(value: &'a Value, keys: &[&str], is_it: &dyn Fn(&str) -> bool) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| named(item, keys, is_it)),
        Value::Object(map) => {
            let has = |key: &&str| map.get(*key).and_then(Value::as_str).is_some_and(is_it);
            if keys.iter().any(has) {
                return Some(value);
            }
            map.iter()
                .filter(|(key, _)| !DATA.contains(&key.as_str()))
                .find_map(|(_, value)| named(value, keys, is_it))
        }
        _ => None,
    }
}

/// `%41` becomes `A`.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).to_string())
}
