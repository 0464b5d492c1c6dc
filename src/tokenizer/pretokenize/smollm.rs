//! Floor 2. SmolLM's words: every `\p{N}` stands alone, and what lies between the numbers is cut as GPT-2 does,
//! each stretch for itself. So a number ends white space as the end of the text does, and no space joins a number.
#![forbid(unsafe_code)]

use super::{contraction, end_of_run, rest, white_space};
use crate::tokenizer::unicode::Class;

pub(super) fn first_word(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    if Class::of(first) == Class::Number {
        return first.len_utf8();
    }
    if let Some(length) = contraction(text, false) {
        return length;
    }
    let space = usize::from(first == ' ');
    if let Some(class @ (Class::Letter | Class::Other)) = Class::first(rest(text, space)) {
        return end_of_run(text, space, class);
    }
    let end = end_of_run(text, 0, Class::Space);
    match Class::first(rest(text, end)) {
        Some(Class::Number) => end,
        _ => white_space(text, end),
    }
}
