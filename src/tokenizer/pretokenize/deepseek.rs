//! Floor 2. The steps of DeepSeek's pre-tokenisers. Each looks at the pieces that the ones before it made.
#![forbid(unsafe_code)]

use super::cased::CASED;
use super::{end_while, is_line_end, one_or_gap, rest, run_or_gap, space_and_lines};
use crate::tokenizer::unicode::{Category, Class};

/// `[\r\n]`
pub(super) fn line_end(text: &str) -> usize {
    one_or_gap(text, is_line_end)
}

/// `\s?\p{L}+`
pub(super) fn letters(text: &str) -> usize {
    behind_a_space(text, |c| Class::of(c) == Class::Letter)
}

/// `\s?[A-Za-z...]+`, where the dots are ranges of letters with case.
pub(super) fn cased_letters(text: &str) -> usize {
    behind_a_space(text, |c| {
        let runs_begun = CASED.partition_point(|(first, _)| *first <= c);
        runs_begun.checked_sub(1).and_then(|run| CASED.get(run)).is_some_and(|(_, last)| c <= *last)
    })
}

/// `\s?\p{P}+`
pub(super) fn punctuation(text: &str) -> usize {
    behind_a_space(text, |c| Category::of(c) == Category::Punctuation)
}

/// `\s?[!-/:-~！-／：-～‘-‟　-。]+`: letters of ASCII are among them. The ideographic space is white space.
pub(super) fn signs(text: &str) -> usize {
    behind_a_space(
        text,
        |c| matches!(c, '!'..='/' | ':'..='~' | '！'..='／' | '：'..='～' | '\u{2018}'..='\u{201f}' | '、'..='。'),
    )
}

/// `\s+$`
pub(super) fn last_white_space(text: &str) -> usize {
    match text.trim_end_matches(char::is_whitespace).len() {
        0 => text.len(),
        end => end,
    }
}

/// `[一-龥ࠀ-一가-퟿]+`
pub(super) fn east_asian(text: &str) -> usize {
    run_or_gap(text, |c| {
        matches!(c, '\u{800}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7ff}') && Class::of(c) != Class::Space
    })
}

/// `\p{N}+`
pub(super) fn numbers(text: &str) -> usize {
    run_or_gap(text, |c| Class::of(c) == Class::Number)
}

/// `\p{N}`
pub(super) fn number(text: &str) -> usize {
    one_or_gap(text, |c| Class::of(c) == Class::Number)
}

/// `\p{N}{1,3}`
pub(super) fn three_numbers(text: &str) -> usize {
    let is_number = |c: char| Class::of(c) == Class::Number;
    match text.chars().take(3).take_while(|c| is_number(*c)).map(char::len_utf8).sum() {
        0 => end_while(text, 0, |c| !is_number(c)),
        end => end,
    }
}

/// `[一-龥぀-ゟ゠-ヿ]+`
pub(super) fn chinese_and_kana(text: &str) -> usize {
    run_or_gap(text, |c| matches!(c, '一'..='龥' | '\u{3040}'..='\u{30ff}'))
}

/// DeepSeek 3's last step:
/// ```text
///   [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
///   | ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// ```
/// Characters that none of this takes are a piece together.
pub(super) fn words(text: &str) -> usize {
    let mut characters = text.chars();
    let (Some(first), second) = (characters.next(), characters.next()) else { return 0 };
    if first.is_ascii_punctuation() && second.is_some_and(|c| c.is_ascii_alphabetic()) {
        return end_while(text, 1, |c| c.is_ascii_alphabetic());
    }
    if is_letter(first) {
        return end_while(text, 0, is_letter);
    }
    if !is_line_end(first) && !is_sign(first) && second.is_some_and(is_letter) {
        return end_while(text, first.len_utf8(), is_letter);
    }
    let space = usize::from(first == ' ');
    if rest(text, space).chars().next().is_some_and(is_sign) {
        return end_while(text, end_while(text, space, is_sign), is_line_end);
    }
    if Class::of(first) == Class::Space {
        return space_and_lines(text, super::end_of_run(text, 0, Class::Space));
    }
    let is_left = |c: char| !is_letter(c) && !is_sign(c) && Class::of(c) != Class::Space;
    let end = end_while(text, 0, is_left);
    // The last one belongs to the letters behind it.
    let last = text.get(..end).and_then(|gap| gap.chars().next_back()).map_or(0, char::len_utf8);
    let belongs_to_letters = rest(text, end).chars().next().is_some_and(is_letter);
    if belongs_to_letters && end > last { end - last } else { end }
}

fn is_letter(c: char) -> bool {
    Category::of(c).is_letter() || Category::of(c).is_mark()
}

fn is_sign(c: char) -> bool {
    matches!(Category::of(c), Category::Punctuation | Category::Symbol)
}

/// `\s?X+`, where `belongs` says what X is, or what lies in front of it.
fn behind_a_space(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return 0 };
    if belongs(first) {
        return end_while(text, 0, belongs);
    }
    let is_space = |c: char| Class::of(c) == Class::Space;
    if is_space(first) && characters.next().is_some_and(&belongs) {
        return end_while(text, first.len_utf8(), belongs);
    }
    let end = end_while(text, 0, |c| !belongs(c));
    match text.get(..end).and_then(|gap| gap.chars().next_back()) {
        Some(last) if end < text.len() && is_space(last) => end - last.len_utf8(),
        _ => end,
    }
}
