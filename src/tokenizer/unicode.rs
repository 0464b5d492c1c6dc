//! Floor 2. What a pre-tokeniser wants to know of a character: is it a letter (`\p{L}`), a number (`\p{N}`),
//! white space (`\s`) or anything else. Every character has exactly one class.
#![forbid(unsafe_code)]

use super::unicode_tables::RUNS;

/// The class of a character. The numbers are those of the generated table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Marks, punctuation, symbols, controls and code points without a meaning.
    Other = 0,
    /// The general categories Lu, Ll, Lt, Lm and Lo.
    Letter = 1,
    /// The general categories Nd, Nl and No.
    Number = 2,
    /// The `White_Space` property, which is wider than the separators Zs, Zl and Zp.
    Space = 3,
}

impl Class {
    /// The class of `c`.
    pub(super) fn of(c: char) -> Class {
        match c {
            'a'..='z' | 'A'..='Z' => Class::Letter,
            '0'..='9' => Class::Number,
            ' ' | '\t'..='\r' => Class::Space,
            '\0'..='\x7f' => Class::Other,
            _ => Class::look_up(c),
        }
    }

    /// The class of the first character of `text`, if there is one.
    pub(super) fn first(text: &str) -> Option<Class> {
        text.chars().next().map(Class::of)
    }

    fn look_up(c: char) -> Class {
        let runs_begun = RUNS.partition_point(|run| run >> 2 <= c as u32);
        match runs_begun.checked_sub(1).and_then(|run| RUNS.get(run)).map_or(0, |run| run & 3) {
            1 => Class::Letter,
            2 => Class::Number,
            3 => Class::Space,
            _ => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_cut_for_ascii_agrees_with_the_table() {
        for c in '\0'..='\x7f' {
            assert_eq!(Class::of(c), Class::look_up(c), "{c:?}");
        }
    }

    #[test]
    fn white_space_is_what_rust_calls_so() {
        for c in '\0'..=char::MAX {
            assert_eq!(Class::of(c) == Class::Space, c.is_whitespace(), "{c:?}");
        }
    }

    #[test]
    fn characters_have_the_class_of_their_category() {
        let letters = "zéßΩжאعनก한漢ǅʰªﬀ𝒜𠀀\u{2ebf0}";
        let numbers = "7²½٣৩Ⅷ㊿〇𝟘";
        let others = "'_-€+\u{301}\u{93e}👍🏽\u{200d}\u{feff}\u{ad}\u{378}\u{1c89}\u{10ffff}";
        assert!(letters.chars().all(|c| Class::of(c) == Class::Letter));
        assert!(numbers.chars().all(|c| Class::of(c) == Class::Number));
        assert!(others.chars().all(|c| Class::of(c) == Class::Other));
    }

    #[test]
    fn the_runs_ascend_and_cover_everything() {
        assert_eq!(RUNS[0] >> 2, 0);
        assert!(RUNS.windows(2).all(|pair| pair[0] >> 2 < pair[1] >> 2 && pair[0] & 3 != pair[1] & 3));
    }
}
