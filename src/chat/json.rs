//! Floor 4. The filter `tojson` as Transformers defines it: Python's `json.dumps` with `ensure_ascii=False`, and no escaping
//! for HTML.
#![forbid(unsafe_code)]

use core::fmt::Write;
use std::string::{String, ToString};
use std::vec::Vec;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// How deep values may lie in values.
const DEPTH_MAX: usize = 64;

/// `value | tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<(String, String)> = match options
        .get::<Option<Vec<String>>>("separators")?
        .as_deref()
    {
        None => None,
        Some([item, key]) => Some((item.clone(), key.clone())),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators are two texts")),
    };
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    let sorted: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    // Python leaves out the blank behind a comma that ends a line.
    let default = if indent.is_some() { (",", ": ") } else { (", ", ": ") };
    let (item, key) = separators.unwrap_or_else(|| (default.0.into(), default.1.into()));
    let mut writer = Writer {
        text: String::new(),
        indent,
        item,
        key,
        ascii: ascii == Some(true),
        sorted: sorted == Some(true),
    };
    writer.value(value, 0)?;
    Ok(Value::from(writer.text))
}

struct Writer {
    text: String,
    /// Blanks per level; all in one line if `None`.
    indent: Option<usize>,
    /// Between items.
    item: String,
    /// Between a key and its value.
    key: String,
    ascii: bool,
    sorted: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: values lie too deep in each other"));
        }
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self.text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(('[', ']'), items.len(), depth, |writer, i| writer.value(&items[i], depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.list(('{', '}'), keys.len(), depth, |writer, i| {
                    // A key that is no text becomes one: 1 -> "1", True -> "true".
                    match keys[i].kind() {
                        ValueKind::String => writer.string(keys[i].as_str().unwrap_or_default()),
                        ValueKind::Bool | ValueKind::None | ValueKind::Number => {
                            writer.text.push('"');
                            writer.value(&keys[i], depth + 1)?;
                            writer.text.push('"');
                        }
                        kind => return Err(no_json(kind)),
                    }
                    writer.text.push_str(&writer.key.clone());
                    writer.value(&value.get_item(&keys[i])?, depth + 1)
                })?;
            }
            kind => return Err(no_json(kind)),
        }
        Ok(())
    }

    fn list(
        &mut self,
        (open, close): (char, char),
        len: usize,
        depth: usize,
        mut item: impl FnMut(&mut Writer, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.text.push(open);
        for i in 0..len {
            if i > 0 {
                self.text.push_str(&self.item.clone());
            }
            self.line(depth + 1);
            item(self, i)?;
        }
        if len > 0 {
            self.line(depth);
        }
        self.text.push(close);
        Ok(())
    }

    /// Begins a line, if there are lines.
    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.text.push('\n');
            self.text.extend(core::iter::repeat_n(' ', indent.saturating_mul(depth).min(1024)));
        }
    }

    fn number(&mut self, value: &Value) {
        let text = value.to_string();
        match (text.as_str(), f64::try_from(value.clone())) {
            ("NaN", _) => self.text.push_str("NaN"),
            ("inf", _) => self.text.push_str("Infinity"),
            ("-inf", _) => self.text.push_str("-Infinity"),
            // Python writes floats of other magnitudes with an exponent of at least two digits: 1e+20, 1.5e-07.
            (_, Ok(number))
                if !value.is_integer() && !(1e-4..1e16).contains(&number.abs()) && number != 0.0 =>
            {
                let scientific = std::format!("{number:e}");
                let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
                let (sign, digits) =
                    exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
                // Writing to a String cannot fail.
                let _ = write!(self.text, "{mantissa}e{sign}{digits:0>2}");
            }
            _ => self.text.push_str(&text),
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                c if c < ' ' || (self.ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        let _ = write!(self.text, "\\u{unit:04x}");
                    }
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

fn no_json(kind: ValueKind) -> Error {
    Error::new(ErrorKind::InvalidOperation, std::format!("tojson: {kind} cannot be written as JSON"))
}
