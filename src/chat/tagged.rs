//! Floor 4. Calls whose arguments stand between tags, one by one: texts as they are, everything else as JSON. It is how
//! Qwen's coders and GLM write calls.
//!
//! ```text
//!   NAME behind_name { before_name ARGUMENT before_value VALUE behind_value }
//! ```
//! Invariant: a text that is constrained does not hold `behind_value`, so it ends where it is read to end.
#![forbid(unsafe_code)]

use std::string::{String, ToString};

use serde_json::{Map, Value};

use super::tools::Tool;

/// What stands around the name of a tool and its arguments. Line breaks at the ends of it may be missing where it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tags {
    pub(super) behind_name: &'static str,
    pub(super) before_name: &'static str,
    pub(super) before_value: &'static str,
    pub(super) behind_value: &'static str,
}

impl Tags {
    /// The name and the arguments of a call at the beginning of `text`, and what is behind them.
    pub(super) fn read<'a>(&self, tools: &[Tool], text: &'a str) -> Option<(String, Value, &'a str)> {
        let end = text.find(|c: char| c.is_whitespace() || c == '<' || self.behind_name.starts_with(c))?;
        let (name, mut rest) = text.split_at(end);
        let tool = tools.iter().find(|tool| tool.name() == name)?;
        rest = rest.strip_prefix(self.behind_name.trim_end()).unwrap_or(rest);
        let mut arguments = Map::new();
        while let Some(behind) = rest.trim_start().strip_prefix(self.before_name) {
            let (name, behind) = behind.split_once(self.before_value.trim_end())?;
            let behind = behind.strip_prefix('\n').unwrap_or(behind);
            let (value, behind) = behind.split_once(self.behind_value.trim())?;
            let value = value.strip_suffix('\n').unwrap_or(value);
            let name = name.trim();
            let is_text = property(tool, name).is_some_and(|schema| is_text(tool, schema));
            let read = || crate::json::parse(value.trim()).ok();
            let value = if is_text { None } else { read() }.unwrap_or_else(|| Value::from(value));
            arguments.insert(name.to_string(), value);
            rest = behind;
        }
        Some((name.to_string(), Value::Object(arguments), rest))
    }
}

fn property<'t>(tool: &'t Tool, name: &str) -> Option<&'t Value> {
    tool.schema().get("properties")?.get(name)
}

/// The schema that `schema` refers to, or itself.
fn target<'t>(tool: &'t Tool, mut schema: &'t Value) -> &'t Value {
    for _ in 0..8 {
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        match reference.and_then(|pointer| tool.schema().pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// Whether all values of a schema are texts.
fn is_text(tool: &Tool, schema: &Value) -> bool {
    let schema = target(tool, schema);
    match (schema.get("type"), schema.get("enum"), schema.get("const")) {
        (Some(Value::String(name)), ..) => name == "string",
        (None, Some(Value::Array(values)), _) => values.iter().all(Value::is_string),
        (None, None, Some(value)) => value.is_string(),
        _ => false,
    }
}

/// Whether all values of a schema are truths.
#[cfg(feature = "constrain")]
pub(super) fn is_truth(tool: &Tool, schema: &Value) -> bool {
    target(tool, schema).get("type").is_some_and(|name| name == "boolean")
}

#[cfg(feature = "constrain")]
pub(super) use constrained::whole_schema;

#[cfg(feature = "constrain")]
mod constrained {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;
    use crate::chat::constrained::escaped;
    use crate::constrain;
    use crate::error::{Error, Result, text};

    /// The schema of an argument with all that it refers to, as what follows `%json` in Lark.
    pub(in crate::chat) fn whole_schema(tool: &Tool, schema: &Value) -> Result<Value> {
        let mut whole = schema.clone();
        for key in ["$defs", "definitions"] {
            if let (Some(map), Some(defs)) = (whole.as_object_mut(), tool.schema().get(key)) {
                map.insert(key.into(), defs.clone());
            }
        }
        Ok(constrain::with_options(constrain::prepare(whole)?))
    }

    impl Tags {
        /// The arguments of a call of `tool` as a rule of Lark; `words` takes the words that it needs.
        ///
        /// # Errors
        /// [`Error::Grammar`](crate::Error::Grammar) for a schema that cannot be read, or not be held to between tags.
        pub(in crate::chat) fn arguments(&self, tool: &Tool, words: &mut Vec<String>) -> Result<String> {
            let schema = tool.schema();
            let required = schema.get("required").and_then(Value::as_array);
            let mut rule = String::new();
            for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let head = Value::from(format!("{}{name}{}", self.before_name, self.before_value));
                let value = if is_text(tool, schema) {
                    words.push(self.text(target(tool, schema))?);
                    format!("TEXT_{}", words.len() - 1)
                } else {
                    format!("%json {} {}", whole_schema(tool, schema)?, Value::from(self.behind_value))
                };
                let is_required = required.is_some_and(|names| names.iter().any(|one| one == name));
                rule += &format!(" ({head} {value}){}", if is_required { "" } else { "?" });
            }
            Ok(rule)
        }

        /// A text that a schema accepts, and what ends it, as a word of Lark.
        fn text(&self, schema: &Value) -> Result<String> {
            let end = escaped(self.behind_value);
            let listed = match (schema.get("enum"), schema.get("const")) {
                (Some(Value::Array(values)), _) => Some(values.as_slice()),
                (_, Some(value)) => Some(core::slice::from_ref(value)),
                _ => None,
            };
            if let Some(values) = listed {
                let texts: Vec<String> = values.iter().filter_map(Value::as_str).map(escaped).collect();
                return Ok(format!("/({}){end}/", texts.join("|")));
            }
            if let Some(key) = ["pattern", "format", "allOf", "anyOf", "oneOf"]
                .iter()
                .find(|key| schema.get(**key).is_some())
            {
                return Err(Error::Grammar(text!(
                    "{key} of a text cannot be held to in how this model writes calls: leave it out, and check the calls"
                )));
            }
            let bound = |key: &str| schema.get(key).and_then(Value::as_u64).map(|bound| bound.to_string());
            let (least, most) = (bound("minLength"), bound("maxLength"));
            // Whoever reads longer words and never goes back must not take the end for more of the text.
            let mark = escaped(self.behind_value.trim_end());
            let count = format!("{{{},{}}}", least.unwrap_or("0".into()), most.unwrap_or_default());
            Ok(format!("(/(?s:.){count}/ & ~/(?s:.)*{mark}(?s:.)*/) {}", Value::from(self.behind_value)))
        }
    }
}
