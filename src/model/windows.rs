//! Floor 2. Which layers see the last tokens only, and how many.
#![forbid(unsafe_code)]

use super::hyper::Keys;
use crate::error::{Error, Result, text};
use crate::gguf::{Array, Value};

/// The keys `attention.sliding_window` and `attention.sliding_window_pattern`.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    /// Tokens that a layer with a window sees, its own among them; `None` if no layer has one.
    pub(crate) length: Option<usize>,
    layers: Layers<'a>,
}

#[derive(Clone, Copy)]
enum Layers<'a> {
    /// Of so many, the last sees all tokens.
    AllButEvery(usize),
    /// Those where this is true.
    Listed(Array<'a>),
}

impl<'a> Windows<'a> {
    /// `every` is what the architecture does where the file has no pattern.
    pub(crate) fn read(keys: Keys<'a>, every: usize, layers: usize) -> Result<Windows<'a>> {
        let length = keys.count_unless_zero("attention.sliding_window")?;
        let key = text!("{}.attention.sliding_window_pattern", keys.architecture);
        let layers = match keys.file.get(key.as_str()) {
            Some(Value::Array(list)) => {
                let truths = list.iter().take(layers).filter(|value| truth(value).is_some()).count();
                if truths != layers {
                    return Err(Error::Inconsistent(text!(
                        "{key} says of {truths} layers whether they have a window; there are {layers}"
                    )));
                }
                Layers::Listed(list)
            }
            _ => Layers::AllButEvery(keys.count_if_any("attention.sliding_window_pattern")?.unwrap_or(every)),
        };
        Ok(Windows { length, layers })
    }

    /// These, or windows of this length if the file says nothing of theirs.
    pub(crate) fn or(self, length: usize) -> Windows<'a> {
        Windows { length: self.length.or(Some(length)), ..self }
    }

    /// The window of a layer, if it has one.
    pub(crate) fn of(&self, layer: usize) -> Option<usize> {
        let has_one = match self.layers {
            Layers::AllButEvery(count) => layer % count < count - 1,
            Layers::Listed(list) => list.iter().nth(layer).and_then(|value| truth(&value)).unwrap_or(false),
        };
        self.length.filter(|_| has_one)
    }
}

/// A truth value, also of the files that keep them as numbers.
fn truth(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        other => other.as_integer().map(|number| number != 0),
    }
}
