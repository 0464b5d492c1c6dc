//! Floor 4. Tools that a model may call, and its calls.
#![forbid(unsafe_code)]

use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Map, Value};

use crate::error::{Error, Result, text};

/// A tool: a function that the model may ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    name: String,
    /// As it was given.
    source: Value,
    parameters: Value,
    /// What calls are held to: see [`closed`].
    schema: Value,
}

impl Tool {
    /// The tools of a JSON array as APIs in OpenAI's style have them: `{"type": "function", "function": {"name", "description",
    /// "parameters"}}`, or the inner objects alone. `parameters` is a JSON schema; without it a tool takes nothing.
    /// Calls have no arguments that it does not list, unless it says `additionalProperties`.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not that, or two tools have one name.
    pub fn list_from_json(source: &str) -> Result<Vec<Tool>> {
        let list = crate::json::parse(source)
            .map_err(|error| Error::Argument(text!("the tools are not JSON: {error}")))?;
        let Value::Array(list) = list else {
            return Err(Error::Argument(text!("the tools are not a JSON array")));
        };
        let mut tools: Vec<Tool> = Vec::new();
        for (i, source) in list.into_iter().enumerate() {
            let tool = Tool::from_value(source).map_err(|what| Error::Argument(text!("tool {i}: {what}")))?;
            if tools.iter().any(|other| other.name == tool.name) {
                return Err(Error::Argument(text!("two tools have the name {:?}", tool.name)));
            }
            tools.push(tool);
        }
        Ok(tools)
    }

    fn from_value(mut source: Value) -> core::result::Result<Tool, &'static str> {
        if source.get("function").is_none() {
            let mut tool = Map::new();
            tool.insert("type".into(), "function".into());
            tool.insert("function".into(), source);
            source = Value::Object(tool);
        }
        let function =
            source.get("function").and_then(Value::as_object).ok_or("its function is no object")?;
        let name = function.get("name").and_then(Value::as_str).ok_or("it has no name")?;
        let is_known = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
        if name.is_empty() || name.len() > 128 || !name.chars().all(is_known) {
            return Err("its name is not 1 to 128 letters, digits and _ - . : /");
        }
        let parameters = match function.get("parameters") {
            Some(schema @ Value::Object(schema_fields)) if !schema_fields.is_empty() => schema.clone(),
            None | Some(Value::Null | Value::Object(_)) => {
                serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false })
            }
            Some(_) => return Err("its parameters are no JSON schema"),
        };
        Ok(Tool { name: name.to_string(), schema: closed(parameters.clone()), parameters, source })
    }

    /// Its name: letters, digits and `_ - . : /`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON schema of its arguments.
    pub fn parameters(&self) -> String {
        self.parameters.to_string()
    }

    /// The tool as it was given, under `function`.
    pub(super) fn source(&self) -> &Value {
        &self.source
    }

    /// The JSON schema that calls are held to.
    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }
}

/// Words by which a schema says more about properties than it lists.
const OPEN: [&str; 9] = [
    "additionalProperties",
    "allOf",
    "anyOf",
    "else",
    "oneOf",
    "patternProperties",
    "then",
    "unevaluatedProperties",
    "$ref",
];

/// The schema with its objects closed: an object that lists properties and says nothing of others has no others. By the letter of
/// JSON Schema it may have any, and a model that is held to that goes on and on; the function has no use for them. Definitions stay
/// as they are where `allOf` may make one object of several.
fn closed(mut schema: Value) -> Value {
    let is_composed = schema.to_string().contains("\"allOf\"");
    close(&mut schema, !is_composed);
    schema
}

fn close(schema: &mut Value, with_definitions: bool) {
    let Some(fields) = schema.as_object_mut() else { return };
    if fields.contains_key("properties") && !OPEN.iter().any(|word| fields.contains_key(*word)) {
        fields.insert("additionalProperties".into(), Value::Bool(false));
    }
    if let Some(items) = fields.get_mut("items") {
        close(items, with_definitions);
    }
    let definitions = if with_definitions { &["$defs", "definitions"][..] } else { &[] };
    for name in ["properties"].iter().chain(definitions) {
        let parts = fields.get_mut(*name).and_then(Value::as_object_mut);
        parts.into_iter().flat_map(Map::values_mut).for_each(|part| close(part, with_definitions));
    }
}

/// A call that a model asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// Tells its result from those of others. Some models give none: then it is made up.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON: an object, unless the model wrote something else.
    pub arguments: String,
}
