//! Floor 2. What tokenizers want to know of a character: its category, to which of four classes it belongs for most
//! pre-tokenisers, and what is left of it without accents. Every character has exactly one category.
#![forbid(unsafe_code)]

use super::unicode_tables::{BASES, RUNS};

/// A general category, or several that are one to every tokenizer. The numbers are those of the generated table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Cn: code points without a meaning.
    Unassigned = 0,
    /// Cc, Cf, Co and Cs, but for white space.
    Control = 1,
    /// Lu.
    Upper = 2,
    /// Ll.
    Lower = 3,
    /// Lt.
    Title = 4,
    /// Lm.
    Modifier = 5,
    /// Lo.
    Uncased = 6,
    /// Mn, Mc and Me.
    Mark = 7,
    /// Nd, Nl and No.
    Number = 8,
    /// All of P.
    Punctuation = 9,
    /// All of S.
    Symbol = 10,
    /// The `White_Space` property, which is wider than the separators Zs, Zl and Zp.
    Space = 11,
}

impl Category {
    /// The category of `c`.
    pub(super) fn of(c: char) -> Category {
        match c {
            'a'..='z' => Category::Lower,
            'A'..='Z' => Category::Upper,
            '0'..='9' => Category::Number,
            ' ' | '\t'..='\r' => Category::Space,
            _ => Category::look_up(c),
        }
    }

    fn look_up(c: char) -> Category {
        let runs_begun = RUNS.partition_point(|run| run >> 4 <= c as u32);
        match runs_begun.checked_sub(1).and_then(|run| RUNS.get(run)).map_or(0, |run| run & 15) {
            1 => Category::Control,
            2 => Category::Upper,
            3 => Category::Lower,
            4 => Category::Title,
            5 => Category::Modifier,
            6 => Category::Uncased,
            7 => Category::Mark,
            8 => Category::Number,
            9 => Category::Punctuation,
            10 => Category::Symbol,
            11 => Category::Space,
            _ => Category::Unassigned,
        }
    }

    /// Whether it is one of `\p{L}`.
    pub(super) fn is_letter(self) -> bool {
        use Category::{Lower, Modifier, Title, Uncased, Upper};
        matches!(self, Upper | Lower | Title | Modifier | Uncased)
    }
}

/// What a character is to most pre-tokenisers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `\p{L}`.
    Letter,
    /// `\p{N}`.
    Number,
    /// `\s`.
    Space,
    /// Marks, punctuation, symbols, controls and code points without a meaning.
    Other,
}

impl Class {
    /// The class of `c`.
    pub(super) fn of(c: char) -> Class {
        match Category::of(c) {
            Category::Number => Class::Number,
            Category::Space => Class::Space,
            category if category.is_letter() => Class::Letter,
            _ => Class::Other,
        }
    }

    /// The class of the first character of `text`, if there is one.
    pub(super) fn first(text: &str) -> Option<Class> {
        text.chars().next().map(Class::of)
    }
}

/// The first character of the canonical decomposition of `c`: `e` of `é`, the leading consonant of a syllable of Hangul.
pub(super) fn base(c: char) -> char {
    const HANGUL: u32 = 0xac00;
    const HANGUL_LAST: u32 = 0xd7a3;
    const CONSONANTS: u32 = 0x1100;
    const SYLLABLES_OF_A_CONSONANT: u32 = 21 * 28;
    let base = match c as u32 {
        0..0xc0 => return c,
        code @ HANGUL..=HANGUL_LAST => Some(CONSONANTS + (code - HANGUL) / SYLLABLES_OF_A_CONSONANT),
        code => {
            let place = BASES.binary_search_by_key(&code, |(composed, _)| *composed);
            place.ok().and_then(|place| BASES.get(place)).map(|(_, base)| *base)
        }
    };
    base.and_then(char::from_u32).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_cut_for_ascii_agrees_with_the_table() {
        for c in '\0'..='\x7f' {
            assert_eq!(Category::of(c), Category::look_up(c), "{c:?}");
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
    fn characters_have_their_category() {
        use Category::*;
        let of = |text: &str| text.chars().map(Category::of).collect::<std::vec::Vec<_>>();
        assert_eq!(of("Éßǅʰ漢"), [Upper, Lower, Title, Modifier, Uncased]);
        assert_eq!(of("\u{301}\u{93e}\u{20e3}½「€"), [Mark, Mark, Mark, Number, Punctuation, Symbol]);
        assert_eq!(of("\0\u{200d}\u{e000}\u{378}\u{85}"), [Control, Control, Control, Unassigned, Space]);
    }

    #[test]
    fn bases_are_what_accents_leave() {
        let bases = "aéǖΆЙ한각は\u{958}".chars().map(base).collect::<std::string::String>();
        assert_eq!(bases, "aeuΑИ\u{1112}\u{1100}は\u{915}");
    }

    #[test]
    fn the_tables_ascend_and_cover_everything() {
        assert_eq!(RUNS[0] >> 4, 0);
        assert!(RUNS.windows(2).all(|pair| pair[0] >> 4 < pair[1] >> 4 && pair[0] & 15 != pair[1] & 15));
        assert!(BASES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
