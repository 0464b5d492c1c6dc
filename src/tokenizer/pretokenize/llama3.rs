//! Floor 2. Llama 3's words:
//! `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
#![forbid(unsafe_code)]

use super::{contraction, end_of_run, end_while, rest, white_space};
use crate::tokenizer::unicode::Class;

pub(super) fn first_word(text: &str) -> usize {
    first_word_with_numbers(text, 3)
}

/// The same with `\p{N}{1,numbers}`.
pub(super) fn first_word_with_numbers(text: &str, numbers: usize) -> usize {
    if let Some(length) = contraction(text, true) {
        return length;
    }
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return 0 };
    match Class::of(first) {
        Class::Letter => return end_of_run(text, 0, Class::Letter),
        Class::Number => return text.chars().take(numbers).take_while(is_number).map(char::len_utf8).sum(),
        _ if !is_line_end(first) && Class::first(characters.as_str()) == Some(Class::Letter) => {
            return end_of_run(text, first.len_utf8(), Class::Letter);
        }
        _ => {}
    }
    let space = usize::from(first == ' ');
    if Class::first(rest(text, space)) == Some(Class::Other) {
        return end_while(text, end_of_run(text, space, Class::Other), is_line_end);
    }
    let end = end_of_run(text, 0, Class::Space);
    match text.get(..end).and_then(|space| space.rfind(is_line_end)) {
        Some(line_end) => line_end + 1,
        None => white_space(text, end),
    }
}

fn is_number(c: &char) -> bool {
    Class::of(*c) == Class::Number
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\r' | '\n')
}
