//! Floor 4. The engine as Transformers sets it up: blocks trimmed, loop controls, `raise_exception`, `strftime_now`, a `tojson`
//! that is Python's, and the methods of Python's strings, lists and dictionaries.
//!
//! Invariant: whatever the template, it stops after the steps and the bytes of output that [`Bounds`] allows.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;
use std::string::String;
use std::vec::Vec;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, Value};

use super::{date, json};
use crate::error::{Error, Result, text};

/// The most that a template may take for one conversation.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    steps: u64,
    bytes: usize,
}

impl Bounds {
    /// Generous for a conversation of so many messages and bytes: a template takes some hundred steps for a message, and
    /// writes what it says once or twice.
    pub(super) fn of(messages: usize, bytes: usize) -> Bounds {
        Bounds {
            steps: 200_000 + 5_000 * messages as u64,
            bytes: bytes.saturating_mul(4).saturating_add(1 << 20),
        }
    }
}

/// The name that stands for the template in the engine.
const NAME: &str = "chat_template";

/// Fails if `source` cannot be parsed.
pub(super) fn check(source: &str) -> Result<()> {
    let environment = environment(Bounds::of(0, 0)).map_err(|error| explain(&error))?;
    environment.template_from_named_str(NAME, source).map(|_| ()).map_err(|error| explain(&error))
}

/// Renders `source` with the variables of `context`.
pub(super) fn render(source: &str, context: Value, bounds: Bounds) -> Result<String> {
    let environment = environment(bounds).map_err(|error| explain(&error))?;
    let template = environment.template_from_named_str(NAME, source).map_err(|error| explain(&error))?;
    let mut page = Page { bytes: Vec::new(), left: bounds.bytes };
    if let Err(error) = template.render_captured_to(context, &mut page) {
        return Err(if page.left == 0 { too_large(bounds) } else { explain(&error) });
    }
    String::from_utf8(page.bytes).map_err(|_| Error::Template(text!("its output is not UTF-8")))
}

fn environment<'source>(bounds: Bounds) -> core::result::Result<Environment<'source>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(bounds.steps));
    environment.set_formatter(move |out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value| {
        let mut limited = Limited { out, left: bounds.bytes };
        fmt::Write::write_fmt(&mut limited, format_args!("{value}")).map_err(minijinja::Error::from)
    });
    environment.add_filter("tojson", json::to_json);
    environment.add_function("raise_exception", |message: String| -> core::result::Result<Value, _> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| {
        date::format(&format, date::now())
            .map_err(|what| minijinja::Error::new(ErrorKind::InvalidOperation, what))
    });
    Ok(environment)
}

/// An error with the line of the template.
fn explain(error: &minijinja::Error) -> Error {
    let line = error.line().unwrap_or(0);
    Error::Template(match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => text!("line {line}: it takes more steps than a conversation can need"),
        // What raise_exception says is for people.
        (ErrorKind::InvalidOperation, Some(detail)) => text!("line {line}: {detail}"),
        (kind, Some(detail)) => text!("line {line}: {kind}: {detail}"),
        (kind, None) => text!("line {line}: {kind}"),
    })
}

fn too_large(bounds: Bounds) -> Error {
    Error::Template(text!("it writes more than {} bytes, more than the conversation can need", bounds.bytes))
}

/// The output, up to a number of bytes.
struct Page {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len()).filter(|&left| left > 0) else {
            self.left = 0;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.bytes.try_reserve(bytes.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.bytes.extend_from_slice(bytes);
        self.left = left;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One value on its way to the output or to a captured block, up to a number of bytes.
struct Limited<'a, 'out> {
    out: &'a mut Output<'out>,
    left: usize,
}

impl fmt::Write for Limited<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.out.write_str(text)
    }
}
