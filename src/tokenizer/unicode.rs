//! Floor 2. What tokenizers want to know of a character: its category, to which of four classes it belongs for most
//! pre-tokenisers, and what it is made of without accents. Every character has exactly one category.
#![forbid(unsafe_code)]

use super::unicode_tables::{BASES, RESTS, RUNS};

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
    /// Mn: marks without a width of their own.
    Mark = 7,
    /// Nd, Nl and No.
    Number = 8,
    /// All of P.
    Punctuation = 9,
    /// All of S.
    Symbol = 10,
    /// The `White_Space` property, which is wider than the separators Zs, Zl and Zp.
    Space = 11,
    /// Mc and Me: marks that take room, as many vowel signs do, or go around what they mark.
    WideMark = 12,
}

impl Category {
    /// The category of `c`.
    pub(super) fn of(c: char) -> Category {
        match c {
            'a'..='z' => Category::Lower,
            'A'..='Z' => Category::Upper,
            '0'..='9' => Category::Number,
            ' ' | '\t'..='\r' => Category::Space,
            '$' | '+' | '<'..='>' | '^' | '`' | '|' | '~' => Category::Symbol,
            '!'..='~' => Category::Punctuation,
            _ => Category::look_up(c),
        }
    }

    fn look_up(c: char) -> Category {
        let (page, place) = (c as usize / PAGE, (c as usize % PAGE) as u16);
        let begun_before = |page: usize| usize::from(PAGES.get(page).copied().unwrap_or_default());
        let (from, to) = (begun_before(page), begun_before(page + 1));
        let begun = PLACES.get(from..to).unwrap_or_default().partition_point(|run| run >> 4 <= place);
        // The last run that has begun may have done so on an earlier page.
        match (from + begun).checked_sub(1).and_then(|run| PLACES.get(run)).map_or(0, |run| run & 15) {
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
            12 => Category::WideMark,
            _ => Category::Unassigned,
        }
    }

    /// Whether it is one of `\p{L}`.
    pub(super) fn is_letter(self) -> bool {
        use Category::{Lower, Modifier, Title, Uncased, Upper};
        matches!(self, Upper | Lower | Title | Modifier | Uncased)
    }

    /// Whether it is one of `\p{M}`.
    pub(super) fn is_mark(self) -> bool {
        matches!(self, Category::Mark | Category::WideMark)
    }
}

/// Characters of a page: what is left of a run's beginning without its page, and its category, are 16 bits.
const PAGE: usize = 1 << 12;

/// [`RUNS`] without their pages: `first code point % PAGE << 4 | category`.
static PLACES: [u16; RUNS.len()] = {
    let mut places = [0; RUNS.len()];
    let mut i = 0;
    while i < RUNS.len() {
        places[i] = RUNS[i] as u16;
        i += 1;
    }
    places
};

/// How many of them begin before each page, and before the end.
static PAGES: [u16; (char::MAX as usize + 1) / PAGE + 1] = {
    let mut pages = [0; (char::MAX as usize + 1) / PAGE + 1];
    let (mut page, mut runs) = (0, 0);
    while page < pages.len() {
        while runs < RUNS.len() && (RUNS[runs] >> 4) as usize / PAGE < page {
            runs += 1;
        }
        pages[page] = runs as u16;
        page += 1;
    }
    pages
};

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

/// [`BASES`] in five bytes each: two code points of 20 bits.
static PAIRS: [[u8; 5]; BASES.len()] = {
    let mut pairs = [[0; 5]; BASES.len()];
    let mut i = 0;
    while i < BASES.len() {
        let (composed, base) = BASES[i];
        assert!(composed < 1 << 20 && base < 1 << 20);
        let [a, b, c, d, e, ..] = ((composed as u64) << 20 | base as u64).to_le_bytes();
        pairs[i] = [a, b, c, d, e];
        i += 1;
    }
    pairs
};

/// A character that decomposes, and the first of what it decomposes into.
fn unpack([a, b, c, d, e]: [u8; 5]) -> (u32, u32) {
    let pair = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
    ((pair >> 20) as u32, pair as u32 & 0xf_ffff)
}

/// The canonical decomposition of `c` without marks that have no width, but for one that stands first: `e` of `é`, two or three
/// letters of a syllable of Hangul, both sides of a vowel sign that has two.
pub(super) fn decompose(c: char) -> [Option<char>; 3] {
    const HANGUL: u32 = 0xac00;
    const HANGUL_LAST: u32 = 0xd7a3;
    let code = c as u32;
    let letter = |first: u32, number: u32| char::from_u32(first + number);
    match code {
        0..0xc0 => [Some(c), None, None],
        // A syllable is numbered by 19 leading consonants, 21 vowels, and 27 closing consonants or none.
        HANGUL..=HANGUL_LAST => {
            let (open, closing) = ((code - HANGUL) / 28, (code - HANGUL) % 28);
            let closing = if closing == 0 { None } else { letter(0x11a7, closing) };
            [letter(0x1100, open / 21), letter(0x1161, open % 21), closing]
        }
        _ => {
            let place = PAIRS.binary_search_by_key(&code, |pair| unpack(*pair).0);
            let pair = place.ok().and_then(|place| PAIRS.get(place));
            let base = pair.and_then(|pair| char::from_u32(unpack(*pair).1));
            let rest = RESTS.binary_search_by_key(&code, |(composed, ..)| *composed);
            let (_, second, third) =
                rest.ok().and_then(|place| RESTS.get(place)).copied().unwrap_or_default();
            let some = |code| if code == 0 { None } else { char::from_u32(code) };
            [base.or(Some(c)), some(second), some(third)]
        }
    }
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
        assert_eq!(of("\u{301}\u{93e}\u{20e3}½「€"), [Mark, WideMark, WideMark, Number, Punctuation, Symbol]);
        assert_eq!(of("\0\u{200d}\u{e000}\u{378}\u{85}"), [Control, Control, Control, Unassigned, Space]);
    }

    #[test]
    fn characters_are_made_of_their_letters() {
        // As NFD of Unicode says, without what has category Mn.
        let parts = |text: &str| text.chars().flat_map(decompose).flatten().collect::<std::string::String>();
        assert_eq!(parts("aéǖΆЙは\u{958}"), "aeuΑИは\u{915}");
        assert_eq!(
            parts("한각가힣"),
            "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1161}\u{11a8}\u{1100}\u{1161}\u{1112}\u{1175}\u{11c2}"
        );
        assert_eq!(parts("\u{9cb}\u{ddd}\u{ccb}"), "\u{9c7}\u{9be}\u{dd9}\u{dcf}\u{cc6}\u{cc2}\u{cd5}");
    }

    #[test]
    fn the_tables_ascend_and_cover_everything() {
        assert_eq!(RUNS[0] >> 4, 0);
        assert!(RUNS.windows(2).all(|pair| pair[0] >> 4 < pair[1] >> 4 && pair[0] & 15 != pair[1] & 15));
        assert!(BASES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(RESTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_tables_are_the_same_in_less_memory() {
        for c in '\0'..=char::MAX {
            let begun = RUNS.partition_point(|run| run >> 4 <= c as u32);
            assert_eq!(Category::look_up(c) as u32, RUNS[begun - 1] & 15, "{c:?}");
        }
        assert!(PAIRS.iter().zip(&BASES).all(|(pair, base)| unpack(*pair) == *base));
    }
}
