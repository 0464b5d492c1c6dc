//! Floor 4. What an answer may look like, in one of the languages that it can be written in.
#![forbid(unsafe_code)]

use std::format;
use std::string::{String, ToString};

use llguidance::api::TopLevelGrammar;
use serde_json::{Map, Value, json};

use super::numerals::Place;
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
    /// Lark for text that may hold JSON.
    #[cfg(feature = "chat")]
    Calls(String),
}

/// Blanks between the pieces of JSON: one, or a line break with what indents the next line. Without a bound, a model that is
/// unsure writes blanks for ever.
const BLANKS: &str = r"\x20|\r?\n[\x20\t]{0,20}";

/// What may stand behind a backslash in a text of JSON: not `u`, with which every name could be written in other ways than its
/// own, and so taken for another.
const ESCAPES: &str = "nrbtf\\\"";

impl Grammar {
    /// Any JSON value.
    pub fn json() -> Grammar {
        Grammar(Language::Schema(with_options(Value::Object(Map::new()))))
    }

    /// JSON that a schema (draft 2020-12 and older) accepts. Properties come in the order of the schema. References may point
    /// into the schema only; a keyword that cannot be enforced is an error, and so is a `oneOf` with two alternatives that one
    /// value could be of. An object whose names are free may have one of them twice, with values that are both of the schema.
    ///
    /// Of what a schema accepts, some is never written: blanks but one space or line break, numbers with more than 16 digits
    /// before or behind the point, or 2 of the exponent, and characters as `\u` and four digits.
    ///
    /// # Errors
    /// [`Error::Grammar`] if it is not JSON, or a reference leads nowhere.
    pub fn json_schema(source: &str) -> Result<Grammar> {
        limits::check_source(source)?;
        let schema = crate::json::parse(source)
            .map_err(|error| Error::Grammar(text!("the schema is not JSON: {error}")))?;
        schema::prepare(schema).map(|schema| Grammar(Language::Schema(with_options(schema))))
    }

    /// Text that a regular expression matches from its beginning to its end, in the syntax of Rust's crate `regex`, without
    /// looking around (`\b`, `(?=`), and with ASCII for `\d`, `\w` and `\s`.
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
        Ok(Grammar(Language::Lark(format!("start: /{}/", llguidance::regex_to_lark(source, "dws")))))
    }

    /// Text of a grammar in llguidance's dialect of Lark; it begins with the rule `start`. Its regular expressions are of Rust's
    /// crate `regex`: there, `\d`, `\w` and `\s` are those of all scripts.
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

    /// Text in which calls of tools may be, in Lark.
    ///
    /// # Errors
    /// [`Error::Grammar`].
    #[cfg(feature = "chat")]
    pub(crate) fn calls(source: &str) -> Result<Grammar> {
        limits::check_source(source)?;
        Ok(Grammar(Language::Calls(source.to_string())))
    }

    /// Where in JSON the text begins, if there is any in it.
    pub(super) fn place(&self) -> Option<Place> {
        match &self.0 {
            Language::Schema(_) => Some(Place::new(true)),
            Language::Lark(_) => None,
            #[cfg(feature = "chat")]
            Language::Calls(_) => Some(Place::new(false)),
        }
    }

    /// The grammar as the library takes it.
    pub(super) fn compiled(&self) -> TopLevelGrammar {
        match &self.0 {
            Language::Schema(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Language::Lark(source) => TopLevelGrammar::from_lark(source.clone()),
            #[cfg(feature = "chat")]
            Language::Calls(source) => TopLevelGrammar::from_lark(source.clone()),
        }
    }
}

/// A schema that is prepared, with what the library is to do about it.
pub(crate) fn with_options(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        let options = json!({ "whitespace_pattern": BLANKS, "json_allowed_escapes": ESCAPES });
        object.insert("x-guidance".into(), options);
    }
    schema
}

/// Whether the byte at `at` has an odd number of backslashes before it.
fn is_escaped(source: &str, at: usize) -> bool {
    source[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}
