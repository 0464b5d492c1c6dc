//! Floor 4. What a grammar may take: bytes, depth, and the work of compiling and of following it.
//!
//! Invariant: a grammar that would take more is an error, at compilation or at the step that would; it is never a hang.
#![forbid(unsafe_code)]

use core::fmt::Display;

use llguidance::api::ParserLimits;

use super::explain;
use crate::error::{Error, Result, text};
use crate::stack::DeepStack;

/// The most bytes of a grammar or schema.
pub(super) const SOURCE_MAX: usize = 1 << 20;
/// How deep brackets may lie in each other.
pub(super) const DEPTH_MAX: usize = 200;
/// The most times that a grammar may have something repeated by a number.
pub(super) const REPEAT_MAX: usize = 100_000;
/// The thread that compiles: schemas and regular expressions lie in each other, and are gone through by recursion.
const STACK: DeepStack = DeepStack {
    name: "bantam-grammar",
    what: "the stack of the grammar's compiler",
    bytes: if usize::BITS >= 64 { 256 << 20 } else { 32 << 20 },
};

/// The limits of the library that follows a grammar, in its own units. A lexer state takes some kilobytes.
pub(super) fn parser() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 100_000,
        max_grammar_size: 500_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// Runs `work` on a thread of its own.
pub(super) fn on_large_stack<T: Send, E: Display>(
    work: impl FnOnce() -> core::result::Result<T, E> + Send,
) -> Result<T> {
    let died = Error::Grammar(text!("the compiler failed on it"));
    STACK.run(died, || work().map_err(|error| explain::error(&error)))
}

/// Refuses a source that is too long or too deep. Brackets inside texts count as well.
///
/// # Errors
/// [`Error::Grammar`].
pub(super) fn check_source(source: &str) -> Result<()> {
    if source.len() > SOURCE_MAX {
        return Err(Error::Grammar(text!("{} bytes; at most {SOURCE_MAX} are read", source.len())));
    }
    let mut depth = 0usize;
    for (line, text) in source.lines().enumerate() {
        for byte in text.bytes() {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEPTH_MAX {
                return Err(Error::Grammar(text!(
                    "line {}: more than {DEPTH_MAX} brackets lie in each other",
                    line + 1
                )));
            }
        }
    }
    Ok(())
}
