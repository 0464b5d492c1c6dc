//! Floor 4. What a template may take: steps, and bytes of the texts and lists that it makes.
//!
//! The engine counts steps, but thirty of them are enough to double a text thirty times. So the operators, filters and
//! methods that make something larger out of what they are given are replaced by ones that first say how large it will be.
//! Invariant: whatever is made is paid for from the [`Budget`] before it is made.
#![forbid(unsafe_code)]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::vec::Vec;

use minijinja::machinery::{CompiledTemplate, Instruction, Instructions};
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, context};
use minijinja_contrib::pycompat;

use super::python;

type Result<T> = core::result::Result<T, Error>;

/// Whether addresses are plenty.
pub(super) const IS_WIDE: bool = usize::BITS >= 64;
/// The most bytes of a template; published ones have some ten thousand. Each can begin an expression inside another.
pub(super) const SOURCE_MAX: usize = if IS_WIDE { 256 << 10 } else { 64 << 10 };
/// The most steps of a rendering. Some of them can put a list into a list.
const STEPS_MAX: u64 = if IS_WIDE { 400_000 } else { 100_000 };
/// Bytes that an element of a list takes at most, without its text.
const ELEMENT_BYTES: usize = 64;

/// What a piece of a list's text costs at least, since finding it takes time: a few lists in each other can have more pieces
/// than there are atoms.
const PIECE_BYTES: usize = 32;

/// Filters that make texts or lists, and those that they are made from.
const FILTERS: [&str; 27] = [
    "batch",
    "capitalize",
    "chain",
    "dictsort",
    "e",
    "escape",
    "format",
    "groupby",
    "indent",
    "items",
    "join",
    "lines",
    "list",
    "lower",
    "pprint",
    "replace",
    "reverse",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
    "urlencode",
];
/// Methods that only look at a text.
const LOOKING: [&str; 14] = [
    "count",
    "endswith",
    "find",
    "get",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "rfind",
    "startswith",
];

/// The engine as it is, to do what has been paid for.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(Environment::new);

/// What is left for one rendering.
#[derive(Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// The most that all texts between blocks may come to; they are not paid for one by one.
    pub(super) const RAW_BYTES: usize = 256 << 20;

    /// Generous for a conversation of so many bytes: a template handles each of them some ten times.
    pub(super) fn of(bytes: usize) -> Budget {
        Budget(Arc::new(AtomicUsize::new(bytes.saturating_mul(256).saturating_add(64 << 20))))
    }

    /// Steps for a conversation of so many messages; a template takes some hundred for one.
    pub(super) fn steps(messages: usize) -> u64 {
        (100_000 + 2_000 * messages as u64).min(STEPS_MAX)
    }

    /// Pays for `bytes`.
    pub(super) fn pay(&self, bytes: usize) -> Result<()> {
        let take = |left: usize| left.checked_sub(bytes);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                "it makes more text than a conversation can need",
            )),
        }
    }

    /// Pays for `times` copies of the values.
    pub(super) fn pay_copies(&self, values: &[Value], times: usize) -> Result<()> {
        let bytes = self.size_of(values)?;
        self.pay(bytes.saturating_mul(times))
    }

    /// The bytes of the values as text. Finding out is paid for as well.
    fn size_of(&self, values: &[Value]) -> Result<usize> {
        let mut size = 0;
        for value in values {
            if let Some(text) = value.as_str() {
                size += text.len();
                continue;
            }
            let mut written = Counted { budget: self, bytes: 0 };
            if write!(written, "{value}").is_err() {
                self.pay(usize::MAX)?;
            }
            let elements = if is_list(value) { value.len().unwrap_or(0) } else { 0 };
            size += written.bytes + elements * ELEMENT_BYTES;
        }
        Ok(size)
    }
}

/// Counts what is written to it, and pays for it.
struct Counted<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Write for Counted<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len();
        self.budget.pay(text.len().max(PIECE_BYTES)).map_err(|_| fmt::Error)
    }
}

/// Replaces the operators of a compiled template by functions, whose names no template can write.
pub(super) fn guard(template: &mut CompiledTemplate<'_>) {
    guard_instructions(&mut template.instructions);
    template.blocks.values_mut().for_each(guard_instructions);
}

fn guard_instructions(instructions: &mut Instructions<'_>) {
    for index in 0.. {
        let Some(instruction) = instructions.get_mut(index) else { return };
        *instruction = match instruction {
            Instruction::StringConcat => Instruction::CallFunction("~", Some(2)),
            Instruction::Add => Instruction::CallFunction("+", Some(2)),
            Instruction::Mul => Instruction::CallFunction("*", Some(2)),
            Instruction::Slice => Instruction::CallFunction("[:]", Some(4)),
            _ => continue,
        };
    }
}

/// The longest text that a template has between its blocks: it is written without being paid for.
pub(super) fn longest_raw(template: &CompiledTemplate<'_>) -> usize {
    let all = core::iter::once(&template.instructions).chain(template.blocks.values());
    let raw = |instructions: &Instructions<'_>| {
        let each = (0..).map_while(|index| instructions.get(index));
        each.map(|instruction| if let Instruction::EmitRaw(text) = instruction { text.len() } else { 0 })
            .max()
    };
    all.filter_map(raw).max().unwrap_or(0)
}

/// Puts the operators, filters and methods that pay into `environment`.
pub(super) fn install(environment: &mut Environment<'_>, budget: &Budget) {
    let own = budget.clone();
    environment.add_function("~", move |a: Value, b: Value| {
        own.pay_copies(&[a.clone(), b.clone()], 1)?;
        Ok::<_, Error>(Value::from(std::format!("{a}{b}")))
    });
    let own = budget.clone();
    environment.add_function("+", move |a: Value, b: Value| {
        if !(a.is_number() && b.is_number()) {
            own.pay_copies(&[a.clone(), b.clone()], 1)?;
        }
        if let Some(text) = python::add_safe(&a, &b) {
            own.pay(text.len())?;
            return Ok(Value::from_safe_string(text));
        }
        PLAIN.compile_expression("a + b")?.eval(context! { a, b })
    });
    let own = budget.clone();
    environment.add_function("*", move |a: Value, b: Value| {
        let times = a.as_usize().or(b.as_usize()).unwrap_or(1);
        if !(a.is_number() && b.is_number()) {
            own.pay_copies(&[a.clone(), b.clone()], times)?;
        }
        PLAIN.compile_expression("a * b")?.eval(context! { a, b })
    });
    let own = budget.clone();
    environment.add_function("[:]", move |all: Value, from: Value, to: Value, step: Value| {
        own.pay_copies(core::slice::from_ref(&all), 1)?;
        python::slice(&all, [&from, &to, &step])
    });
    for name in FILTERS {
        let own = budget.clone();
        environment.add_filter(name, move |values: Rest<ValueOrKwargs>| {
            let values: Vec<Value> = values.iter().cloned().map(Value::from).collect();
            pay_call(&own, name, &values)?;
            PLAIN.empty_state().apply_filter(name, &values)
        });
    }
    let own = budget.clone();
    environment.set_unknown_method_callback(move |state: &mut State<'_, '_>, value, method, arguments| {
        if !LOOKING.contains(&method) {
            let values: Vec<Value> = core::iter::once(value).chain(arguments).cloned().collect();
            pay_call(&own, method, &values)?;
        }
        if let Some(result) = value.as_str().and_then(|text| python::method(text, method, arguments)) {
            return Ok(result);
        }
        pycompat::unknown_method_callback(state, value, method, arguments)
    });
    // It shows everything that there is.
    environment.remove_global("debug");
}

/// Pays for the most that a filter or method can make of `values`.
fn pay_call(budget: &Budget, name: &str, values: &[Value]) -> Result<()> {
    let texts: usize = budget.size_of(values)?;
    let bytes = match (name, values) {
        // Each place of the old text becomes the new one; an empty one is found between all characters.
        ("replace", [_, _, new, ..]) => texts.saturating_mul(budget.size_of(core::slice::from_ref(new))? + 1),
        ("join", [list, between, ..]) => {
            // The method has them the other way round.
            let (list, between) = if is_list(list) { (list, between) } else { (between, list) };
            let between = budget.size_of(core::slice::from_ref(between))?;
            texts.saturating_add(list.len().unwrap_or(texts).saturating_mul(between))
        }
        ("indent" | "format", _) => {
            texts.saturating_mul(8).saturating_add(widths(values).saturating_mul(texts + 1))
        }
        // A text becomes a list of its characters.
        (
            "list" | "batch" | "slice" | "reverse" | "sort" | "unique" | "split" | "rsplit" | "splitlines",
            _,
        ) => texts.saturating_mul(ELEMENT_BYTES),
        // What an escape takes at most.
        _ => texts.saturating_mul(8),
    };
    budget.pay(bytes)
}

/// The sum of all numbers in the values: what they could want something to be widened to.
fn widths(values: &[Value]) -> usize {
    let digits = |value: &Value| {
        let text = std::string::ToString::to_string(value);
        let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
        numbers.fold(0usize, |sum, digits| sum.saturating_add(digits.parse().unwrap_or(usize::MAX)))
    };
    values.iter().map(digits).fold(0, usize::saturating_add)
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map)
}
