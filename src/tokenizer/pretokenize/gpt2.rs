//! Floor 2. GPT-2's words:
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
#![forbid(unsafe_code)]

use super::{contraction, end_of_run, rest, white_space};
use crate::tokenizer::unicode::Class;

pub(super) fn first_word(text: &str) -> usize {
    if let Some(length) = contraction(text, false) {
        return length;
    }
    let space = usize::from(text.starts_with(' '));
    match Class::first(rest(text, space)) {
        Some(class) if class != Class::Space => return end_of_run(text, space, class),
        _ => {}
    }
    let end = end_of_run(text, 0, Class::Space);
    white_space(text, end)
}
