//! Floor 4. References of a JSON schema: those that the compiler cannot follow (escaped names, anchors, ids) lead to copies
//! among the definitions.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Map, Value};

use super::{DATA, NAMED, visit};
use crate::error::{Error, Result, text};

/// Makes every reference one that the compiler follows.
///
/// # Errors
/// [`Error::Grammar`] for one that leads nowhere.
pub(super) fn resolve(schema: &mut Value) -> Result<()> {
    let mut wanted: BTreeMap<String, Value> = BTreeMap::new();
    visit(schema, &mut |_, map| {
        if let Some(Value::String(reference)) = map.get("$ref")
            && !is_plain(reference)
        {
            wanted.insert(reference.clone(), Value::Null);
        }
    });
    if wanted.is_empty() {
        return Ok(());
    }
    for (reference, target) in &mut wanted {
        let found = find(schema, reference).ok_or_else(|| {
            Error::Grammar(text!("$ref {reference:?} leads nowhere in the schema; only it is searched"))
        })?;
        *target = found.clone();
    }
    let names: BTreeMap<String, String> =
        wanted.keys().enumerate().map(|(i, reference)| (reference.clone(), format!("__ref_{i}"))).collect();
    let rename = |value: &mut Value| {
        visit(value, &mut |_, map| {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(name) = names.get(reference.as_str())
            {
                *reference = format!("#/$defs/{name}");
            }
        });
    };
    let mut definitions = Map::new();
    for (reference, mut target) in wanted {
        rename(&mut target);
        definitions.insert(names[&reference].clone(), target);
    }
    rename(schema);
    if let Some(root) = schema.as_object_mut() {
        match root.entry("$defs").or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(defs) => defs.extend(definitions),
            _ => return Err(Error::Grammar(text!("$defs is no object"))),
        }
    }
    Ok(())
}

/// Whether the compiler follows `reference` as it stands.
fn is_plain(reference: &str) -> bool {
    reference == "#" || (reference.starts_with("#/") && !reference.contains(['~', '%']))
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
            map.iter().filter(|(key, _)| !DATA.contains(&key.as_str())).find_map(|(key, value)| match value {
                Value::Object(schemas) if NAMED.contains(&key.as_str()) => {
                    schemas.values().find_map(|schema| named(schema, keys, is_it))
                }
                value => named(value, keys, is_it),
            })
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
