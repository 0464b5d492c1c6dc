//! Floor 4. Whether no value can be of two schemas.
//!
//! Invariant: "apart" is proven. Two schemas that nothing is known of are not apart, nor are those whose comparison would take
//! too long.
#![forbid(unsafe_code)]

use core::cell::Cell;
use std::format;
use std::string::ToString;
use std::vec::Vec;

use llguidance::derivre::{RegexAst, RegexBuilder};
use llguidance::regex_to_lark;
use serde_json::{Map, Value};

/// How deep references, properties and choices are followed.
const DEPTH_MAX: usize = 12;
/// How many comparisons all of a schema may take.
const WORK_MAX: usize = 20_000;
/// How much work one comparison of patterns may be, in the units of the library that does it.
const PATTERN_FUEL: u64 = 10_000;

/// The kinds of values. An integer is a number.
const KINDS: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

/// Schemas that all hold for one value; `None` where nothing can.
pub(super) type Schemas<'a> = Option<Vec<Part<'a>>>;

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    map: &'a Map<std::string::String, Value>,
    /// Whether its choices (`anyOf`, `oneOf`) are looked at elsewhere.
    is_split: bool,
}

/// Finds out about the schemas of one document.
pub(super) struct Proof<'a> {
    root: &'a Value,
    work: Cell<usize>,
}

impl<'a> Proof<'a> {
    pub(super) fn new(root: &'a Value) -> Proof<'a> {
        Proof { root, work: Cell::new(WORK_MAX) }
    }

    /// What holds beside the choices of `map`.
    pub(super) fn beside<'b>(&self, map: &'b Map<std::string::String, Value>) -> Vec<Part<'b>>
    where
        'a: 'b,
    {
        let mut parts = Vec::new();
        self.add_map(map, true, 0, &mut parts);
        parts
    }

    /// `beside` and a choice.
    pub(super) fn with<'b>(&self, beside: &[Part<'b>], choice: &'b Value) -> Schemas<'b>
    where
        'a: 'b,
    {
        let mut parts = beside.to_vec();
        self.add(choice, 0, &mut parts).then_some(parts)
    }

    /// A property that `one` requires and `other` does not, if values of both can only be objects.
    pub(super) fn only<'b>(&self, one: &Schemas<'b>, other: &Schemas<'b>) -> Option<&'b str> {
        let (one, other) = (one.as_ref()?, other.as_ref()?);
        if KINDS.iter().any(|kind| *kind != "object" && may_be(one, kind) && may_be(other, kind)) {
            return None;
        }
        required(one).find(|name| required(other).all(|needed| needed != *name))
    }

    /// Whether no value is of both.
    pub(super) fn are_apart(&self, a: &Schemas<'_>, b: &Schemas<'_>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.apart(a, b, 0),
            _ => true,
        }
    }

    /// Adds what all holds where `schema` does; whether anything can.
    fn add<'b>(&self, schema: &'b Value, depth: usize, parts: &mut Vec<Part<'b>>) -> bool
    where
        'a: 'b,
    {
        match schema {
            Value::Bool(may) => *may,
            Value::Object(map) => self.add_map(map, false, depth, parts),
            _ => true,
        }
    }

    fn add_map<'b>(
        &self,
        map: &'b Map<std::string::String, Value>,
        is_split: bool,
        depth: usize,
        parts: &mut Vec<Part<'b>>,
    ) -> bool
    where
        'a: 'b,
    {
        parts.push(Part { map, is_split });
        if depth == DEPTH_MAX {
            return true;
        }
        let reference =
            map.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        let target: Option<&'b Value> = reference.and_then(|pointer| self.root.pointer(pointer));
        let all = map.get("allOf").and_then(Value::as_array).into_iter().flatten();
        target.into_iter().chain(all).all(|schema| self.add(schema, depth + 1, parts))
    }

    fn apart(&self, a: &[Part<'_>], b: &[Part<'_>], depth: usize) -> bool {
        let Some(left) = self.work.get().checked_sub(1).filter(|_| depth < DEPTH_MAX) else { return false };
        self.work.set(left);
        let by_kind = KINDS.iter().all(|kind| {
            !may_be(a, kind)
                || !may_be(b, kind)
                || self.apart_as(kind, a, b, depth)
                || are_other_values(a, b, kind)
        });
        by_kind || self.apart_by_choice(a, b, depth) || self.apart_by_choice(b, a, depth)
    }

    /// Whether each choice that `a` has is apart from `b`.
    fn apart_by_choice(&self, a: &[Part<'_>], b: &[Part<'_>], depth: usize) -> bool {
        for (i, part) in a.iter().enumerate().filter(|(_, part)| !part.is_split) {
            for key in ["anyOf", "oneOf"] {
                let Some(choices) = part.map.get(key).and_then(Value::as_array) else { continue };
                let is_apart = |choice| {
                    let mut parts = a.to_vec();
                    parts[i].is_split = true;
                    !self.add(choice, depth + 1, &mut parts) || self.apart(&parts, b, depth + 1)
                };
                if choices.iter().all(is_apart) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether no value of that kind is of both.
    fn apart_as(&self, kind: &str, a: &[Part<'_>], b: &[Part<'_>], depth: usize) -> bool {
        match kind {
            "number" => are_beside(a, b) || are_beside(b, a),
            "string" => are_too_long(a, b) || are_too_long(b, a) || are_other_texts(a, b),
            "array" => {
                let longest = least(a, "minItems").max(least(b, "minItems"));
                let too_few = |parts| most(parts, "maxItems") < longest;
                too_few(a)
                    || too_few(b)
                    || (0..longest.min(8) as usize)
                        .any(|i| self.are_values_apart(self.item(a, i), self.item(b, i), depth))
            }
            "object" => required(a)
                .chain(required(b))
                .any(|name| self.are_values_apart(self.property(a, name), self.property(b, name), depth)),
            _ => false,
        }
    }

    fn are_values_apart(&self, a: Schemas<'_>, b: Schemas<'_>, depth: usize) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => !a.is_empty() && !b.is_empty() && self.apart(&a, &b, depth + 1),
            _ => true,
        }
    }

    /// What holds for the property of that name.
    fn property<'b>(&self, parts: &[Part<'b>], name: &str) -> Schemas<'b>
    where
        'a: 'b,
    {
        let mut found = Vec::new();
        for part in parts {
            let object = |key: &str| part.map.get(key).and_then(Value::as_object);
            let own = object("properties").and_then(|properties| properties.get(name));
            let by_pattern = object("patternProperties").is_some_and(|patterns| !patterns.is_empty());
            let other = part.map.get("additionalProperties").filter(|_| !by_pattern);
            if let Some(schema) = own.or(other)
                && !self.add(schema, 1, &mut found)
            {
                return None;
            }
        }
        Some(found)
    }

    /// What holds for the item at that place.
    fn item<'b>(&self, parts: &[Part<'b>], at: usize) -> Schemas<'b>
    where
        'a: 'b,
    {
        let mut found = Vec::new();
        for part in parts {
            let first = part.map.get("prefixItems").and_then(Value::as_array);
            let own = first.and_then(|first| first.get(at));
            let other = part.map.get("items").filter(|items| !items.is_array());
            if let Some(schema) = own.or(other)
                && !self.add(schema, 1, &mut found)
            {
                return None;
            }
        }
        Some(found)
    }
}

/// The kind of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The values that a schema lists, if it does.
fn listed<'b>(part: &Part<'b>) -> Option<&'b [Value]> {
    match (part.map.get("const"), part.map.get("enum")) {
        (Some(value), _) => Some(core::slice::from_ref(value)),
        (None, Some(Value::Array(values))) => Some(values),
        _ => None,
    }
}

/// Whether a value of this kind may be of them.
fn may_be(parts: &[Part<'_>], wanted: &str) -> bool {
    let is_it = |name: &Value| match name.as_str() {
        Some("integer") => wanted == "number",
        name => name == Some(wanted),
    };
    parts.iter().all(|part| {
        let by_type = match part.map.get("type") {
            Some(Value::Array(names)) => names.iter().any(is_it),
            Some(name) => is_it(name),
            None => true,
        };
        by_type && listed(part).is_none_or(|values| values.iter().any(|value| kind(value) == wanted))
    })
}

/// Whether both list values, and none of this kind is in both lists.
fn are_other_values(a: &[Part<'_>], b: &[Part<'_>], wanted: &str) -> bool {
    let is_same = |a: &Value, b: &Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        // Numbers within are compared as they are written, so only simple values are.
        _ => a == b || a.is_array() || a.is_object(),
    };
    a.iter().filter_map(listed).any(|a| {
        b.iter().filter_map(listed).any(|b| {
            let of_kind = |value: &&Value| kind(value) == wanted;
            !a.iter().filter(of_kind).any(|a| b.iter().filter(of_kind).any(|b| is_same(a, b)))
        })
    })
}

/// The names of the properties that have to be there.
fn required<'b>(parts: &[Part<'b>]) -> impl Iterator<Item = &'b str> {
    let lists = parts.iter().map(|part| part.map.get("required"));
    let lists: Vec<&'b Value> = lists.flatten().collect();
    lists.into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str)
}

/// Whether all numbers of `a` are less than those of `b`.
fn are_beside(a: &[Part<'_>], b: &[Part<'_>]) -> bool {
    // A bound, and whether it is left out.
    let bounds = |parts: &[Part<'_>], closed: &str, open: &str, sign: f64| {
        let mut bound = (f64::NEG_INFINITY, false);
        for part in parts {
            let number = |key: &str| part.map.get(key).and_then(Value::as_f64);
            let all: Option<f64> = listed(part).and_then(|values| {
                values.iter().filter_map(Value::as_f64).map(|value| sign * value).reduce(f64::min)
            });
            for (value, is_open) in [
                (number(closed).map(|value| sign * value), false),
                (number(open).map(|value| sign * value), true),
                (all, false),
            ] {
                if let Some(value) = value
                    && (value > bound.0 || (value == bound.0 && is_open))
                {
                    bound = (value, is_open);
                }
            }
        }
        bound
    };
    let (upper, below) = bounds(a, "maximum", "exclusiveMaximum", -1.0);
    let (lower, above) = bounds(b, "minimum", "exclusiveMinimum", 1.0);
    -upper < lower || (-upper == lower && (below || above))
}

fn least(parts: &[Part<'_>], key: &str) -> u64 {
    parts.iter().filter_map(|part| part.map.get(key)?.as_u64()).max().unwrap_or(0)
}

fn most(parts: &[Part<'_>], key: &str) -> u64 {
    parts.iter().filter_map(|part| part.map.get(key)?.as_u64()).min().unwrap_or(u64::MAX)
}

/// Whether all texts of `a` are longer than those of `b`.
fn are_too_long(a: &[Part<'_>], b: &[Part<'_>]) -> bool {
    least(a, "minLength") > most(b, "maxLength")
}

/// Whether no text has the patterns and is in the lists of both.
fn are_other_texts(a: &[Part<'_>], b: &[Part<'_>]) -> bool {
    let mut all = Vec::new();
    for part in a.iter().chain(b) {
        if let Some(pattern) = part.map.get("pattern").and_then(Value::as_str) {
            all.push(RegexAst::SearchRegex(regex_to_lark(pattern, "dw")));
        }
        if let Some(values) = listed(part) {
            let texts = values.iter().filter_map(Value::as_str);
            all.push(RegexAst::Or(texts.map(|text| RegexAst::Literal(text.to_string())).collect()));
        }
        let (least, most) = (least(&[*part], "minLength"), most(&[*part], "maxLength"));
        if least > 0 && least < 100 {
            all.push(RegexAst::Regex(format!("(?s:.{{{least},}})")));
        }
        if most < 100 {
            all.push(RegexAst::Regex(format!("(?s:.{{0,{most}}})")));
        }
    }
    if all.len() < 2 {
        return false;
    }
    let mut builder = RegexBuilder::new();
    let both = builder.mk(&RegexAst::And(all));
    both.and_then(|both| builder.to_regex_limited(both, PATTERN_FUEL))
        .is_ok_and(|mut regex| regex.always_empty())
}
