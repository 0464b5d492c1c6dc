//! Floor 2. Gemma 4's words are lines and runs of their ends: `[^\n]+|[\n]+`. Merges alone find what is in a line.
#![forbid(unsafe_code)]

use super::run_or_gap;

pub(super) fn lines(text: &str) -> usize {
    run_or_gap(text, |c| c == '\n')
}
