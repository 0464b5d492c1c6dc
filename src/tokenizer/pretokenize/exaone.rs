//! Floor 2. EXAONE-MoE's words, which may hold several words of letters with single spaces between:
//! ```text
//!   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}
//!   | ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+
//! ```
#![forbid(unsafe_code)]

use super::{contraction, end_of_run, end_while, is_line_end, rest, space_and_lines};
use crate::tokenizer::unicode::{Category, Class};

pub(super) fn first_word(text: &str) -> usize {
    if let Some(length) = contraction(text, true) {
        return length;
    }
    let Some(first) = text.chars().next() else { return 0 };
    let start = if Class::of(first) == Class::Letter || is_line_end(first) { 0 } else { first.len_utf8() };
    match Class::of(first) {
        Class::Number => return first.len_utf8(),
        _ => {
            let end = letters(text, start);
            if end > start {
                return end;
            }
        }
    }
    let space = usize::from(first == ' ');
    if Class::first(rest(text, space)) == Some(Class::Other) {
        let end = end_of_run(text, space, Class::Other);
        let takes_one = rest(text, end).starts_with(['\r', '\n', '/']);
        return end + usize::from(takes_one);
    }
    space_and_lines(text, end_of_run(text, 0, Class::Space))
}

/// `(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+` at byte `start`: where it ends, which is `start` where it has nothing to take.
fn letters(text: &str, start: usize) -> usize {
    let mut end = start;
    loop {
        let space = usize::from(end > start && rest(text, end).starts_with(' '));
        let Some(letter) = rest(text, end + space).chars().next().filter(|c| Class::of(*c) == Class::Letter)
        else {
            return end;
        };
        end = end_while(text, end + space + letter.len_utf8(), |c| Category::of(c).is_mark());
    }
}
