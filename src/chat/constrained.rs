//! Floor 4 (features `chat` and `constrain`). Grammars for answers that may call tools: every call is of a tool that there is, with
//! arguments that its schema accepts.
#![forbid(unsafe_code)]

use core::fmt::Write;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use serde_json::{Map, Value, json};

use super::calls::{CallSyntax, Form, ToolChoice};
use super::pythonic;
use super::tools::Tool;
use crate::constrain::{self, Grammar};
use crate::error::{Error, Result, text};
use crate::tokenizer::{EncodeOptions, Tokenizer};

impl ToolChoice<'_> {
    /// The tools that may be called.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that no tool has, and calls that are required where there are no tools.
    fn among<'t>(&self, tools: &'t [Tool]) -> Result<Vec<&'t Tool>> {
        match *self {
            ToolChoice::None => Ok(Vec::new()),
            ToolChoice::Auto => Ok(tools.iter().collect()),
            ToolChoice::Required if tools.is_empty() => {
                Err(Error::Argument(text!("a call of a tool is required, but there are no tools")))
            }
            ToolChoice::Required => Ok(tools.iter().collect()),
            ToolChoice::Named(name) => match tools.iter().find(|tool| tool.name() == name) {
                Some(tool) => Ok(vec![tool]),
                None => Err(Error::Argument(text!("there is no tool {name:?}"))),
            },
        }
    }
}

impl CallSyntax {
    /// What an answer may look like, given the tools; `None` if anything goes. Text may stand before calls that are the model's own
    /// choice; with `thinks`, also before those that are required, so that the model can think first.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) as the choice asks for a tool that there is not;
    /// [`Error::Grammar`](crate::Error::Grammar) for a schema that cannot be read.
    pub fn grammar(
        &self,
        tokenizer: &Tokenizer,
        tools: &[Tool],
        choice: ToolChoice<'_>,
        thinks: bool,
    ) -> Result<Option<Grammar>> {
        let tools = choice.among(tools)?;
        if tools.is_empty() {
            return Ok(None);
        }
        let may_talk = thinks || choice == ToolChoice::Auto;
        let begin = pieces(tokenizer, &[self.open, self.before].concat())?;
        let between = pieces(tokenizer, &[self.between, self.before].concat())?;
        // Behind the mark that tells calls from text, so that the text before it can end in that mark.
        let (mark, behind_mark) = match begin.split_first() {
            Some((Piece::Text(text), behind)) => {
                let mark = text.trim_end();
                let rest = text.get(mark.len()..).unwrap_or_default();
                let rest = (!rest.is_empty()).then(|| Piece::Text(rest.into()));
                (Some(mark), rest.into_iter().chain(behind.iter().cloned()).collect())
            }
            _ => (None, begin.clone()),
        };
        let calls = |begin: &[Piece]| {
            // Who names a tool wants one call of it.
            let is_many = self.is_many && !matches!(choice, ToolChoice::Named(_));
            let more = if is_many { format!(" ({} call)*", lark(&between)) } else { String::new() };
            let close = pieces(tokenizer, self.close)?;
            Ok::<String, crate::Error>(format!("{} call{more} {}", lark(begin), lark(&close)))
        };
        let mut source = String::new();
        // Writing to a String cannot fail.
        let _ = match (may_talk, mark) {
            (false, _) => writeln!(source, "start: {}", calls(&begin)?),
            (true, Some(mark)) => {
                let free = if choice == ToolChoice::Auto { "TEXT | " } else { "" };
                writeln!(source, "start: {free}head {}", calls(&behind_mark)?).and_then(|()| {
                    writeln!(source, "head[lazy]: /(.|\\n)*{}/\nTEXT: /(.|\\n)*/", escaped(mark))
                })
            }
            // No text holds a control token.
            (true, None) if !begin.is_empty() => {
                let optional = if choice == ToolChoice::Auto { "?" } else { "" };
                writeln!(
                    source,
                    "start: TEXT? (calls){optional}\ncalls: {}\nTEXT: /(.|\\n)+/",
                    calls(&begin)?
                )
            }
            // A call is JSON and nothing else.
            (true, None) => {
                let free = if choice == ToolChoice::Auto { "TEXT | " } else { "" };
                writeln!(source, "start: {free}{}\nTEXT: /\\s*[^{{\\s](.|\\n)*/", calls(&begin)?)
            }
        };
        self.write_call(tokenizer, &tools, &mut source)?;
        Grammar::calls(&source).map(Some)
    }

    /// Writes the rule `call`.
    fn write_call(&self, tokenizer: &Tokenizer, tools: &[&Tool], source: &mut String) -> Result<()> {
        let after = lark(&pieces(tokenizer, self.after)?);
        let (name, arguments, id) = match self.form {
            Form::Object { name, arguments, id } => (name, arguments, id),
            Form::Tagged(tags) => {
                let (mut ways, mut words) = (Vec::new(), Vec::new());
                for tool in tools {
                    let head = lark(&pieces(tokenizer, &[tool.name(), tags.behind_name].concat())?);
                    ways.push(format!("{head}{} {after}", tags.arguments(tool, &mut words)?));
                }
                let _ = writeln!(source, "call: {}", ways.join("\n    | "));
                for (i, word) in words.iter().enumerate() {
                    let _ = writeln!(source, "TEXT_{i}: {word}");
                }
                return Ok(());
            }
            Form::Python => {
                let mut ways = Vec::new();
                for tool in tools {
                    let head = lark(&pieces(tokenizer, tool.name())?);
                    ways.push(format!("{head} {} {after}", pythonic::arguments(tool)?));
                }
                let _ = writeln!(source, "call: {}", ways.join("\n    | "));
                return Ok(());
            }
            Form::Named(middle) | Form::Numbered(middle) => {
                let is_numbered = matches!(self.form, Form::Numbered(_));
                let mut ways = Vec::new();
                for tool in tools {
                    let mut head = lark(&pieces(tokenizer, tool.name())?);
                    if is_numbered {
                        head += " /:[0-9]{1,3}/";
                    }
                    head = format!("{head} {}", lark(&pieces(tokenizer, middle)?));
                    let schema = constrain::with_options(constrain::prepare(tool.schema().clone())?);
                    ways.push(format!("{head} %json {schema} {after}"));
                }
                source.push_str("call: ");
                source.push_str(&ways.join("\n    | "));
                source.push('\n');
                return Ok(());
            }
        };
        let mut ways = Vec::new();
        for (i, tool) in tools.iter().enumerate() {
            let mut schema = constrain::prepare(tool.schema().clone())?;
            rebase(&mut schema, &format!("#/anyOf/{i}/properties/{arguments}"));
            let mut properties = Map::new();
            let mut add = |name: &str, schema: Value| {
                properties.insert(name.into(), schema);
            };
            // Who numbers calls does it first; a name of its own, which Mistral's templates want so long, comes last.
            if let Some(id) = id.filter(|id| *id != "id") {
                add(id, json!({ "type": "string", "pattern": "^[0-9]{1,3}$" }));
            }
            add(name, json!({ "const": tool.name() }));
            add(arguments, schema);
            if let Some(id) = id.filter(|id| *id == "id") {
                add(id, json!({ "type": "string", "pattern": "^[a-zA-Z0-9]{9}$" }));
            }
            let required: Vec<String> = properties.keys().cloned().collect();
            ways.push(json!({
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            }));
        }
        let schema = constrain::with_options(json!({ "anyOf": ways }));
        let _ = writeln!(source, "call: %json {schema} {after}");
        Ok(())
    }
}

/// Moves the references of a schema that becomes a part of another.
fn rebase(value: &mut Value, base: &str) {
    constrain::visit(value, &mut |_, map| {
        if let Some(Value::String(reference)) = map.get_mut("$ref")
            && let Some(rest) = reference.strip_prefix('#')
        {
            *reference = format!("{base}{rest}");
        }
    });
}

/// A part of what surrounds calls.
#[derive(Clone)]
enum Piece {
    Text(String),
    /// A control token.
    Token(crate::tokenizer::TokenId),
}

/// The parts of `frame`: texts, and the control tokens that this vocabulary has of it.
fn pieces(tokenizer: &Tokenizer, frame: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut copied = 0;
    let text = |from: usize, to: usize| frame.get(from..to).filter(|text| !text.is_empty());
    for range in tokenizer.find_control(frame)? {
        pieces.extend(text(copied, range.start).map(|text| Piece::Text(text.to_string())));
        copied = range.end;
        let mut ids = Vec::new();
        let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
        tokenizer.encode(frame.get(range).unwrap_or_default(), options, &mut ids)?;
        pieces.extend(ids.into_iter().map(Piece::Token));
    }
    pieces.extend(text(copied, frame.len()).map(|text| Piece::Text(text.to_string())));
    Ok(pieces)
}

/// The pieces as a sequence of Lark.
fn lark(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => Value::from(text.as_str()).to_string(),
        Piece::Token(id) => format!("<[{id}]>"),
    };
    pieces.iter().map(piece).collect::<Vec<String>>().join(" ")
}

/// `text` as a part of a regular expression between slashes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || c == '_' {
            out.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
        }
    }
    out
}
