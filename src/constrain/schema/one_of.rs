//! Floor 4. `oneOf`: exactly one of several schemas holds.
//!
//! A grammar can only say that any of them may. That is the same where no value is of two of them, which is proven here
//! (apart.rs). Where two objects could be one value, each is first forbidden a property that the other requires. Invariant: what
//! is left of a `oneOf` is an `anyOf` whose values are of exactly one of the schemas.
#![forbid(unsafe_code)]

use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Map, Value, json};

use super::apart::{Proof, Schemas};
use super::visit;
use crate::error::{Error, Result, text};

/// Makes every `oneOf` an `anyOf`.
///
/// # Errors
/// [`Error::Grammar`] where a value could be of two of the schemas.
pub(super) fn settle(schema: &mut Value) -> Result<()> {
    let mut is_used = false;
    visit(schema, &mut |_, map| is_used |= map.contains_key("oneOf"));
    if !is_used {
        return Ok(());
    }
    let root = schema.clone();
    let proof = Proof::new(&root);
    let mut result = Ok(());
    visit(schema, &mut |place, map| {
        if let Some(Value::Array(choices)) = map.get("oneOf")
            && result.is_ok()
        {
            match told_apart(&proof, map, choices) {
                Ok(choices) => replace(map, choices),
                Err((a, b)) => {
                    result = Err(Error::Grammar(text!(
                        "{place}/oneOf: a value may be of both {a} and {b}, and exactly one must hold: write anyOf, or \
                         have each require a property with a const of its own"
                    )));
                }
            }
        }
    });
    result
}

/// The choices, so that no value is of two of them; or which two could not be told apart, counted from 0.
fn told_apart(
    proof: &Proof<'_>,
    map: &Map<String, Value>,
    choices: &[Value],
) -> core::result::Result<Vec<Value>, (usize, usize)> {
    // What stands beside the choices holds as well.
    let beside = proof.beside(map);
    let all: Vec<Schemas<'_>> = choices.iter().map(|choice| proof.with(&beside, choice)).collect();
    let mut forbidden: Vec<Vec<&str>> = choices.iter().map(|_| Vec::new()).collect();
    for b in 1..all.len() {
        for a in 0..b {
            if proof.are_apart(&all[a], &all[b]) {
                continue;
            }
            let (Some(of_b), Some(of_a)) = (proof.only(&all[b], &all[a]), proof.only(&all[a], &all[b]))
            else {
                return Err((a, b));
            };
            forbidden[a].push(of_b);
            forbidden[b].push(of_a);
        }
    }
    let narrowed = choices.iter().zip(forbidden).map(|(choice, names)| {
        if names.is_empty() {
            return choice.clone();
        }
        let none: Map<String, Value> =
            names.into_iter().map(|name| (name.to_string(), Value::Bool(false))).collect();
        json!({ "allOf": [choice, { "properties": none }] })
    });
    Ok(narrowed.collect())
}

/// Puts `anyOf` in the place of `oneOf`, beside one that is there already.
fn replace(map: &mut Map<String, Value>, choices: Vec<Value>) {
    let choices = Value::Array(choices);
    let moved = core::mem::take(map).into_iter().map(|(key, value)| match key.as_str() {
        "oneOf" => ("anyOf".to_string(), choices.clone()),
        "anyOf" => ("allOf".to_string(), json!([{ "anyOf": value }])),
        _ => (key, value),
    });
    for (key, value) in moved {
        match (map.get_mut(&key), value) {
            (Some(Value::Array(there)), Value::Array(more)) => there.extend(more),
            (_, value) => {
                map.insert(key, value);
            }
        }
    }
}
