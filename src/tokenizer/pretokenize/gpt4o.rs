//! Floor 2. The words of GPT-4o, which end where a word in capitals or with a capital begins, and take contractions:
//! ```text
//!   [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//!   |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//!   |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
#![forbid(unsafe_code)]

use super::{contraction, end_of_run, end_while, is_line_end, rest, space_and_lines};
use crate::tokenizer::unicode::{Category, Class};

pub(super) fn first_word(text: &str) -> usize {
    first_word_by(text, 3, true)
}

/// Mistral's Tekken: numbers stand alone, and there are no contractions.
pub(super) fn tekken(text: &str) -> usize {
    first_word_by(text, 1, false)
}

fn first_word_by(text: &str, numbers: usize, contractions: bool) -> usize {
    if let Some(end) = letters(text) {
        let suffix = if contractions { contraction(rest(text, end), true) } else { None };
        return end + suffix.unwrap_or(0);
    }
    let number_end = end_of_first(text, numbers, |c| Class::of(c) == Class::Number);
    if number_end > 0 {
        return number_end;
    }
    let space = usize::from(text.starts_with(' '));
    if Class::first(rest(text, space)) == Some(Class::Other) {
        return end_while(text, end_of_run(text, space, Class::Other), |c| is_line_end(c) || c == '/');
    }
    space_and_lines(text, end_of_run(text, 0, Class::Space))
}

/// Where the first `count` characters end that `belongs` accepts.
fn end_of_first(text: &str, count: usize, belongs: impl Fn(char) -> bool) -> usize {
    text.chars().take(count).take_while(|c| belongs(*c)).map(char::len_utf8).sum()
}

/// Where a word of letters and marks ends that `text` begins with.
///
/// Some characters belong to the capitals in front of a word as well as to its small letters. Without a small letter
/// behind the capitals, the word ends with the last of those: what the expression finds by giving back capitals.
fn letters(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    let is_letter = |c: char| Category::of(c).is_letter() || Category::of(c).is_mark();
    let start = match first {
        c if is_letter(c) => 0,
        c if is_line_end(c) || Class::of(c) == Class::Number => return None,
        c if rest(text, c.len_utf8()).chars().next().is_some_and(is_letter) => c.len_utf8(),
        _ => return None,
    };
    let mut capitals_end = start;
    let mut last_of_both = None;
    for c in rest(text, start).chars() {
        match Category::of(c) {
            Category::Modifier | Category::Uncased | Category::Mark | Category::WideMark => {
                last_of_both = Some(capitals_end + c.len_utf8());
            }
            Category::Upper | Category::Title => {}
            Category::Lower => {
                let is_small = |c| {
                    let category = Category::of(c);
                    is_letter(c) && category != Category::Upper && category != Category::Title
                };
                return Some(end_while(text, capitals_end, is_small));
            }
            _ => break,
        }
        capitals_end += c.len_utf8();
    }
    Some(last_of_both.unwrap_or(capitals_end))
}
