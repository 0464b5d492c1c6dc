//! Floor 4. The engine as Transformers sets it up: blocks trimmed, loop controls, `raise_exception`, `strftime_now`, a `tojson`
//! that is Python's, and the methods of Python's strings, lists and dictionaries.
//!
//! Invariant: whatever the template, it ends, in the steps and the memory that `limits` allows.
#![forbid(unsafe_code)]

use std::string::String;
use std::sync::Arc;

use minijinja::machinery::{self, CompiledTemplate, TemplateConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, Value};

use super::limits::{self, Budget};
use super::{date, json, python};
use crate::error::{Error, Result, text};
use crate::stack::DeepStack;

type EngineResult<T> = core::result::Result<T, minijinja::Error>;

/// The name that stands for the template in the engine.
const NAME: &str = "chat_template";
/// The thread that reads and renders a template: expressions, lists and their like lie in each other as deep as the template
/// says, and the engine goes through them by recursion.
const STACK: DeepStack = DeepStack {
    name: "bantam-template",
    what: "the stack of the chat template",
    bytes: if limits::IS_WIDE { 512 << 20 } else { 64 << 20 },
};

/// Fails if `source` cannot be parsed.
pub(super) fn check(source: &str) -> Result<()> {
    if source.len() > limits::SOURCE_MAX {
        return Err(Error::Template(text!(
            "{} bytes; at most {} are read",
            source.len(),
            limits::SOURCE_MAX
        )));
    }
    let source = python::read(source);
    on_large_stack(|| compile(&source).map(|_| ()))
}

/// What a rendering is of.
pub(super) struct Call {
    /// Messages of the conversation.
    pub(super) messages: usize,
    /// Bytes of all texts.
    pub(super) bytes: usize,
    /// Seconds since 1970 began; the clock's if `None`.
    pub(super) now: Option<u64>,
}

/// Renders `source` with the variables of `context`.
pub(super) fn render(source: &str, context: Value, call: &Call) -> Result<String> {
    let budget = Budget::of(call.bytes);
    let source = python::read(source);
    on_large_stack(|| {
        let template = compile(&source)?;
        let mut environment = environment(&budget, call.now);
        // Together, the texts between the blocks cost no more than what is counted.
        let steps_by_raw = Budget::RAW_BYTES / limits::longest_raw(&template).max(1);
        environment.set_fuel(Some(Budget::steps(call.messages).min(steps_by_raw as u64)));
        let mut page = String::new();
        let mut output = machinery::make_string_output(&mut page);
        let (instructions, blocks) = (&template.instructions, &template.blocks);
        machinery::eval(&environment, instructions, context, blocks, &mut output, AutoEscape::None)?;
        Ok(page)
    })
}

/// Runs `work` on a thread of its own.
fn on_large_stack<T: Send>(work: impl FnOnce() -> EngineResult<T> + Send) -> Result<T> {
    let died = Error::Template(text!("the engine failed on it"));
    STACK.run(died, || work().map_err(|error| explain(&error)))
}

fn compile(source: &str) -> EngineResult<CompiledTemplate<'_>> {
    let config = TemplateConfig {
        syntax_config: SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?,
        default_auto_escape: Arc::new(|_| AutoEscape::None),
    };
    let mut template = CompiledTemplate::new(NAME, source, &config)?;
    limits::guard(&mut template);
    Ok(template)
}

fn environment<'source>(budget: &Budget, now: Option<u64>) -> Environment<'source> {
    let mut environment = Environment::new();
    limits::install(&mut environment, budget);
    let own = budget.clone();
    environment.set_formatter(move |out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value| {
        own.pay_copies(core::slice::from_ref(value), 1)?;
        write!(out, "{value}").map_err(minijinja::Error::from)
    });
    let own = budget.clone();
    environment.add_filter("tojson", move |value: &Value, options| {
        own.pay_copies(core::slice::from_ref(value), 8)?;
        json::to_json(value, options)
    });
    environment.add_filter("length", python::length);
    environment.add_filter("count", python::length);
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
    environment.add_test("iterable", python::is_iterable);
    environment.add_test("sequence", python::is_sequence);
    environment.add_function("raise_exception", |message: String| -> EngineResult<Value> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: String| {
        date::format(&format, now.unwrap_or_else(date::now))
            .map_err(|what| minijinja::Error::new(ErrorKind::InvalidOperation, what))
    });
    environment
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
