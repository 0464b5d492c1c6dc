//! Floor 4. Where the engine does other than Python's Jinja2 with Transformers' settings: the reading of the source, slices, two tests,
//! texts marked as safe.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::string::String;
use std::vec::Vec;

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The source as the engine reads it: lines end in one character, and the tag `generation`, by which Transformers marks what the
/// assistant says, is one that only has a scope of its own.
pub(super) fn read(source: &str) -> Cow<'_, str> {
    let mut source = Cow::Borrowed(source);
    if source.contains('\r') {
        source = Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n"));
    }
    if !source.contains("generation") {
        return source;
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = &*source;
    while let Some(at) = rest.find("{%") {
        let (text, tag) = rest.split_at(at + 2);
        out.push_str(text);
        let (sign, inner) = tag.split_at(usize::from(tag.starts_with(['-', '+'])));
        let word = inner.trim_start();
        let found =
            [("endgeneration", " endwith "), ("generation", " with ")].into_iter().find_map(|(name, own)| {
                let behind = word.strip_prefix(name)?.trim_start();
                let end = behind.strip_prefix(['-', '+']).unwrap_or(behind);
                end.starts_with("%}").then_some((own, behind))
            });
        rest = match found {
            Some((own, behind)) => {
                out.push_str(sign);
                out.push_str(own);
                behind
            }
            None => tag,
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Python's `is iterable`: texts and undefined values are, none is not.
pub(super) fn is_iterable(value: &Value) -> bool {
    value.is_undefined() || (!value.is_none() && value.try_iter().is_ok())
}

/// Jinja2's `is sequence`: whatever has a length and items.
pub(super) fn is_sequence(value: &Value) -> bool {
    value.is_undefined() || matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
}

/// `value | length`: an undefined value has none of anything.
pub(super) fn length(value: &Value) -> Result<usize, Error> {
    match value.len() {
        Some(length) => Ok(length),
        None if value.is_undefined() => Ok(0),
        None => {
            let what = std::format!("a value of type {} has no length", value.kind());
            Err(Error::new(ErrorKind::InvalidOperation, what))
        }
    }
}

/// The methods of texts that the engine lacks.
pub(super) fn method(text: &str, name: &str, arguments: &[Value]) -> Option<Value> {
    let first = arguments.first().and_then(Value::as_str);
    let parts = |parts: [&str; 3]| Value::from(Tuple::new(parts.map(Value::from).to_vec()));
    Some(match (name, first) {
        ("removeprefix", Some(prefix)) => Value::from(text.strip_prefix(prefix).unwrap_or(text)),
        ("removesuffix", Some(suffix)) => Value::from(text.strip_suffix(suffix).unwrap_or(text)),
        ("partition", Some(between)) if !between.is_empty() => {
            parts(text.split_once(between).map_or([text, "", ""], |(a, b)| [a, between, b]))
        }
        ("rpartition", Some(between)) if !between.is_empty() => {
            parts(text.rsplit_once(between).map_or(["", "", text], |(a, b)| [a, between, b]))
        }
        ("rsplit", Some(between)) if !between.is_empty() => {
            let most = match arguments.get(1) {
                Some(most) => i64::try_from(most.clone()).ok()?,
                None => -1,
            };
            let mut parts: Vec<Value> = match usize::try_from(most) {
                Ok(most) => text.rsplitn(most + 1, between).map(Value::from).collect(),
                Err(_) => text.rsplit(between).map(Value::from).collect(),
            };
            parts.reverse();
            Value::from(parts)
        }
        _ => return None,
    })
}

/// `all[from:to:step]`.
pub(super) fn slice(all: &Value, bounds: [&Value; 3]) -> Result<Value, Error> {
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        if !bound.is_none() && !bound.is_undefined() {
            let wrong = || Error::new(ErrorKind::InvalidOperation, "slice indices are integers or none");
            *number = Some(i64::try_from(bound.clone()).map_err(|_| wrong())?);
        }
    }
    if numbers[2] == Some(0) {
        return Err(Error::new(ErrorKind::InvalidOperation, "a slice cannot have step 0"));
    }
    if let Some(text) = all.as_str() {
        let characters: Vec<char> = text.chars().collect();
        let text: String = places(characters.len(), numbers).map(|i| characters[i]).collect();
        return Ok(if all.is_safe() { Value::from_safe_string(text) } else { Value::from(text) });
    }
    if !matches!(all.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(Value::UNDEFINED);
    }
    let items: Vec<Value> = all.try_iter()?.collect();
    let items: Vec<Value> = places(items.len(), numbers).map(|i| items[i].clone()).collect();
    let is_tuple = all.downcast_object_ref::<Tuple>().is_some();
    Ok(if is_tuple { Value::from(Tuple::new(items)) } else { Value::from(items) })
}

/// The places below `len` that a slice takes, in its order (CPython, `PySlice_AdjustIndices`).
fn places(len: usize, [from, to, step]: [Option<i64>; 3]) -> impl Iterator<Item = usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let step = step.unwrap_or(1);
    let (lowest, highest) = if step < 0 { (-1, len - 1) } else { (0, len) };
    let place = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add(len) } else { bound };
        bound.clamp(lowest, highest)
    };
    let (first, end) = if step < 0 { (highest, lowest) } else { (lowest, highest) };
    let end = to.map_or(end, place);
    let mut at = from.map_or(first, place);
    core::iter::from_fn(move || {
        let is_inside = if step < 0 { at > end } else { at < end };
        let place = is_inside.then_some(at)?;
        at = at.saturating_add(step);
        usize::try_from(place).ok()
    })
}

/// `a + b` where one of two texts is marked as safe: the other is escaped, as MarkupSafe does it.
pub(super) fn add_safe(a: &Value, b: &Value) -> Option<String> {
    let (left, right) = (a.as_str()?, b.as_str()?);
    if !(a.is_safe() || b.is_safe()) {
        return None;
    }
    let mut text = String::new();
    for (part, is_safe) in [(left, a.is_safe()), (right, b.is_safe())] {
        for c in part.chars() {
            match c {
                '&' if !is_safe => text.push_str("&amp;"),
                '<' if !is_safe => text.push_str("&lt;"),
                '>' if !is_safe => text.push_str("&gt;"),
                '\'' if !is_safe => text.push_str("&#39;"),
                '"' if !is_safe => text.push_str("&#34;"),
                c => text.push(c),
            }
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Expected: Python's `list(range(len))[from:to:step]`.
    #[test]
    fn slices_are_those_of_python() {
        let taken = |len, bounds| places(len, bounds).collect::<Vec<usize>>();
        assert_eq!(taken(4, [None, None, Some(-1)]), [3, 2, 1, 0]);
        assert_eq!(taken(0, [None, None, Some(-1)]), vec![0; 0]);
        assert_eq!(taken(4, [Some(-2), None, None]), [2, 3]);
        assert_eq!(taken(4, [Some(1), Some(-1), Some(2)]), [1]);
        assert_eq!(taken(4, [Some(9), Some(-9), Some(-3)]), [3, 0]);
        assert_eq!(taken(4, [Some(i64::MIN), Some(i64::MAX), Some(i64::MAX)]), [0]);
    }

    #[test]
    fn the_tag_generation_is_only_a_scope() {
        assert_eq!(
            read("a\r\n{%- generation -%} b {% endgeneration +%}"),
            "a\n{%- with -%} b {% endwith +%}"
        );
        assert_eq!(
            read("{% if add_generation_prompt %}{%generation%}"),
            "{% if add_generation_prompt %}{% with %}"
        );
        assert_eq!(read("{% generations %} generation %}"), "{% generations %} generation %}");
    }
}
