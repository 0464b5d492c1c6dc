//! Floor 4. What an answer may look like, in one of the languages that it can be written in.
#![forbid(unsafe_code)]

use std::format;
use std::string::{String, ToString};

use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use super::{gbnf, limits, schema};
use crate::error::{Error, Result, text};

/// A grammar. It is compiled for a vocabulary by [`Constrainer::constraint`](super::Constrainer::constraint), where errors that
/// only show then are reported.
#[derive(Clone, Debug)]
pub struct Grammar(Language);

#[derive(Clone, Debug)]
enum Language {
    Schema(Value),
    Lark(String),
}

/// Blanks between the pieces of JSON: one, or a line break with what indents the next line. Without a bound, a model that is
/// unsure writes blanks for ever.
const BLANKS: &str = r"\x20|\r?\n[\x20\t]{0,40}";

impl Grammar {
    /// Any JSON value.
    pub fn json() -> Grammar {
        Grammar(Language::Schema(json!({})))
    }

    /// JSON that a schema (draft 2020-12 and older) accepts. Properties come in the order of the schema. References may point
    /// into the schema only; a keyword that cannot be enforced is an error; of `oneOf`, where alternatives overlap, any one.
    /// Numbers without bounds may be larger than a double holds.
    ///
    /// # Errors
    /// [`Error::Grammar`] if it is not JSON, or a reference leads nowhere.
    pub fn json_schema(source: &str) -> Result<Grammar> {
        limits::check_source(source)?;
        let schema: Value = serde_json::from_str(source)
            .map_err(|error| Error::Grammar(text!("the schema is not JSON: {error}")))?;
        schema::prepare(schema).map(|schema| Grammar(Language::Schema(schema)))
    }

    /// Text that a regular expression matches from its beginning to its end, in the syntax of Rust's crate `regex`.
    ///
    /// # Errors
    /// [`Error::Grammar`].
    pub fn regex(source: &str) -> Result<Grammar> {
        limits::check_source(source)?;
        let source = source.strip_prefix('^').unwrap_or(source);
        let ends = source.ends_with('$') && !is_escaped(source, source.len() - 1);
        let source = if ends { &source[..source.len() - 1] } else { source };
        if source.is_empty() {
            return Err(Error::Grammar(text!("the regular expression is empty")));
        }
        Ok(Grammar(Language::Lark(format!("start: /{}/", llguidance::regex_to_lark(source, "")))))
    }

    /// Text of a grammar in llguidance's dialect of Lark; it begins with the rule `start`.
    ///
    /// # Errors
    /// [`Error::Grammar`].
    pub fn lark(source: &str) -> Result<Grammar> {
        limits::check_source(source)?;
        Ok(Grammar(Language::Lark(source.to_string())))
    }

    /// Text of a grammar in GBNF, as llama.cpp reads it; it begins with the rule `root`.
    ///
    /// # Errors
    /// [`Error::Grammar`] with the line that cannot be read, or the rule that is not there.
    pub fn gbnf(source: &str) -> Result<Grammar> {
        limits::check_source(source)?;
        let read = || {
            gbnf::to_lark(source).map_err(|error| match error {
                Error::Grammar(what) => what,
                other => text!("{other}"),
            })
        };
        limits::on_large_stack(read).map(|lark| Grammar(Language::Lark(lark)))
    }

    pub(super) fn is_schema(&self) -> bool {
        matches!(self.0, Language::Schema(_))
    }

    /// The grammar as the library takes it. `any_of_one` takes `oneOf` for `anyOf`.
    pub(super) fn compiled(&self, any_of_one: bool) -> TopLevelGrammar {
        match &self.0 {
            Language::Lark(source) => TopLevelGrammar::from_lark(source.clone()),
            Language::Schema(schema) => {
                let mut schema = schema.clone();
                if let Some(object) = schema.as_object_mut() {
                    let options = json!({ "whitespace_pattern": BLANKS, "coerce_one_of": any_of_one });
                    object.insert("x-guidance".into(), options);
                }
                TopLevelGrammar::from_json_schema(schema)
            }
        }
    }
}

/// A schema as a part of a grammar in Lark.
///
/// # Errors
/// As [`Grammar::json_schema`].
#[cfg(feature = "chat")]
pub(crate) fn embedded(schema: Value) -> Result<Value> {
    let mut schema = schema::prepare(schema)?;
    if let Some(object) = schema.as_object_mut() {
        object.insert("x-guidance".into(), json!({ "whitespace_pattern": BLANKS, "coerce_one_of": true }));
    }
    Ok(schema)
}

/// Whether the byte at `at` has an odd number of backslashes before it.
fn is_escaped(source: &str, at: usize) -> bool {
    source[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}
