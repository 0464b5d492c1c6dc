//! Floor 4. What is wrong with a grammar, in words of who wrote it: the library names its own parts.
#![forbid(unsafe_code)]

use core::fmt::Display;
use std::format;
use std::string::{String, ToString};

use crate::error::{Error, text};

/// What the library says somewhere in its message, and what that means. `{}` is what follows it.
const MEANINGS: [(&str, &str); 20] = [
    (
        "Unimplemented keys: ",
        "the schema's keywords {} cannot be enforced: leave them out, and check answers for them",
    ),
    ("Unknown format: ", "the schema's format {} is not known: leave it out, or write a pattern"),
    ("Invalid type: ", "the schema's type {} is not known"),
    ("Unsatisfiable schema: ", "no value is of the schema: {}"),
    (
        "min/maxProperties only supported",
        "minProperties and maxProperties cannot be enforced beside optional properties: require all that the schema names",
    ),
    (
        "circular references with sibling keys are not supported: ",
        "the reference {} leads to itself past other keywords: move those into what it refers to",
    ),
    (
        "Schema intersection stack level exceeded",
        "its allOf, anyOf and references lie too deep in each other",
    ),
    ("schema too large", "the schema is too large once its allOf and references are put together"),
    ("Unable to determine if regex is empty: ", "this pattern takes too much work: {}"),
    (
        "can't determine if patternProperty regexes",
        "whether its patternProperties overlap takes too much work to find out",
    ),
    ("patternProperty regexes ", "its patternProperties overlap: {}"),
    ("lexer precomputation failed", TOO_HARD),
    ("fuel exhausted", TOO_HARD),
    ("LexerTooComplex", TOO_HARD),
    ("lexer error", TOO_HARD),
    ("too many states", TOO_HARD),
    ("Too many items", TOO_MANY_WAYS),
    ("ParserTooComplex", TOO_MANY_WAYS),
    ("grammar size", "it is too large"),
    (
        "NoExtension",
        "nothing can follow here: it asks for what no tokens of this vocabulary can write, or for what cannot be",
    ),
];

const TOO_HARD: &str =
    "its expressions take too much work: make what they repeat shorter, or let fewer of them begin alike";
const TOO_MANY_WAYS: &str = "what is written so far can be read in too many ways: let rules that may stand in one place begin differently";

/// An error of the library as one of ours.
pub(super) fn error(error: &impl Display) -> Error {
    let message = first_line(error);
    for (said, meant) in MEANINGS {
        if let Some((_, rest)) = message.split_once(said) {
            return Error::Grammar(text!("{}", meant.replace("{}", rest.trim_end_matches(" (lexer)"))));
        }
    }
    Error::Grammar(text!("{message}"))
}

/// The first line of a message, since what follows it is a dump; where it only announces a reason, with that: the last line of
/// those that follow, behind a picture of the place.
pub(super) fn first_line(error: &impl Display) -> String {
    let message = error.to_string();
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    let reason = lines.find_map(|line| line.trim().strip_prefix("error: ")).filter(|_| first.ends_with(':'));
    reason.map_or_else(|| first.to_string(), |reason| format!("{first} {reason}"))
}
