//! Floor 2. The steps of Falcon's pre-tokeniser that are not GPT-2's, and of the one that old files without a name had.
#![forbid(unsafe_code)]

use super::{end_while, rest, run_or_gap};
use crate::tokenizer::unicode::Category;

/// ``[\p{P}\$\+<=>\^~\|`]+``
pub(super) fn signs(text: &str) -> usize {
    run_or_gap(text, |c| is_sign(c) || c == '`')
}

/// `[\p{P}\$\+<=>\^~\|]+`
pub(super) fn signs_but_the_grave(text: &str) -> usize {
    run_or_gap(text, is_sign)
}

fn is_sign(c: char) -> bool {
    matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|') || Category::of(c) == Category::Punctuation
}

/// `[0-9][0-9][0-9]`
pub(super) fn three_digits(text: &str) -> usize {
    let mut gap_end = 0;
    loop {
        let digits = rest(text, gap_end).bytes().take(3).take_while(u8::is_ascii_digit).count();
        match digits {
            3 if gap_end == 0 => return 3,
            3 => return gap_end,
            // Fewer belong to what is around them.
            _ => gap_end = end_while(text, gap_end + digits, |c| !c.is_ascii_digit()),
        }
        if gap_end == text.len() {
            return gap_end;
        }
    }
}
