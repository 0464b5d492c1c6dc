//! Floor 2. Bloom's words, and Poro's: ` ?[^(\s|.,!?…。，、।۔،)]+`. What is left between them is a piece.
#![forbid(unsafe_code)]

use super::{end_while, rest};
use crate::tokenizer::unicode::Class;

pub(super) fn first_word(text: &str) -> usize {
    let space = usize::from(text.starts_with(' '));
    let end = end_while(text, space, is_of_a_word);
    if end > space {
        return end;
    }
    let gap_end = end_while(text, 0, |c| !is_of_a_word(c));
    // A space in front of the next word is its first character.
    let gap = text.get(..gap_end).unwrap_or_default();
    if gap.ends_with(' ') && !rest(text, gap_end).is_empty() { gap_end - 1 } else { gap_end }
}

fn is_of_a_word(c: char) -> bool {
    const NOT: &[char] = &['(', '|', '.', ',', '!', '?', '…', '。', '，', '、', '।', '۔', '،', ')'];
    !NOT.contains(&c) && Class::of(c) != Class::Space
}
