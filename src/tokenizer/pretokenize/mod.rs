//! Floor 2. Pre-tokenisers cut a text into words before any merging; a token never crosses the end of a word.
//!
//! A family is a row of [`FAMILIES`]: one or more hand-written scanners, each equal to the regular expression that its
//! file quotes. A scanner returns the length in bytes of the first piece of a text: what its expression takes, or what
//! lies in front of that; at least one character, never a part of one. The second one cuts the pieces of the first.
#![forbid(unsafe_code)]

mod bloom;
mod cased;
mod deepseek;
mod exaone;
mod falcon;
mod gemma;
mod gpt2;
mod gpt4o;
mod llama3;

use core::fmt;

use super::unicode::Class;
use crate::error::{Error, Result, text};

/// The length in bytes of the first piece of a text, which is not empty.
type Scanner = fn(&str) -> usize;

/// How the vocabularies of some models were trained to see a text.
#[derive(Debug)]
pub(super) struct Family {
    /// What `tokenizer.ggml.pre` calls them; the first name stands for the family.
    names: &'static [&'static str],
    /// Each cuts the pieces of the one before it.
    scanners: &'static [Scanner],
    /// A word that is a token of its own is taken as such, even where the merges would not lead there.
    pub(super) whole_words: bool,
    /// Whether a text begins with BOS where the metadata does not say.
    pub(super) adds_bos: bool,
    /// Whether tokens are written in characters, with U+2581 for spaces, and not in the byte alphabet.
    pub(super) in_characters: bool,
}

impl Family {
    const fn new(names: &'static [&'static str], scanners: &'static [Scanner]) -> Family {
        assert!(scanners.len() <= SCANNERS_MAX);
        Family { names, scanners, whole_words: false, adds_bos: false, in_characters: false }
    }

    const fn with_whole_words(self) -> Family {
        Family { whole_words: true, ..self }
    }

    const fn with_bos(self) -> Family {
        Family { adds_bos: true, ..self }
    }

    const fn in_characters(self) -> Family {
        Family { in_characters: true, ..self }
    }
}

/// Every family. A new one is a row, and a scanner in a file of this folder if none of those there is its own.
#[rustfmt::skip]
static FAMILIES: &[Family] = &[
    Family::new(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[deepseek::number, gpt2::first_word],
    ),
    Family::new(
        &["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "a.x-4.0", "mellum", "exaone4", "granite-docling",
          "modern-bert", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v1-en", "jina-v2-code", "roberta-bpe"],
        &[gpt2::first_word],
    ),
    Family::new(
        &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
        &[llama3::first_word],
    ).with_whole_words().with_bos(),
    Family::new(&["glm4", "glm5"], &[llama3::first_word]).with_whole_words(),
    Family::new(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[llama3::first_word]),
    Family::new(&["minicpm5"], &[deepseek::three_numbers, llama3::first_word]).with_whole_words(),
    Family::new(
        &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2",
          "bailingmoe", "bailingmoe2", "llada-moe"],
        &[llama3::qwen2],
    ),
    Family::new(&["qwen35"], &[llama3::qwen35]),
    Family::new(&["laguna"], &[gemma::lines, llama3::qwen2]),
    Family::new(&["seed-coder"], &[llama3::seed_coder]),
    Family::new(&["ufakzeka"], &[llama3::ufakzeka]),
    Family::new(&["exaone-moe"], &[exaone::first_word]),
    Family::new(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[gpt4o::first_word]),
    Family::new(&["tekken"], &[gpt4o::tekken]).with_whole_words().with_bos(),
    Family::new(
        &["deepseek-llm"],
        &[deepseek::line_end, deepseek::cased_letters, deepseek::signs, deepseek::last_white_space, deepseek::east_asian,
          deepseek::numbers],
    ),
    Family::new(
        &["deepseek-coder"],
        &[deepseek::line_end, deepseek::letters, deepseek::punctuation, deepseek::east_asian, deepseek::number],
    ),
    Family::new(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[deepseek::three_numbers, deepseek::chinese_and_kana, deepseek::words],
    ),
    Family::new(&["falcon"], &[falcon::signs, gpt2::first_word, falcon::three_digits]),
    Family::new(
        &["default"],
        &[falcon::signs_but_the_grave, gpt2::first_word, deepseek::numbers, falcon::three_digits],
    ),
    Family::new(&["bloom", "poro-chat", "gpt3-finnish"], &[bloom::first_word]),
    Family::new(&["viking"], &[bloom::first_word, deepseek::number]),
    Family::new(&["gemma4", "granite-embed-multi-311m"], &[gemma::lines]).with_bos().in_characters(),
];

/// The most scanners that a family has.
const SCANNERS_MAX: usize = 6;

impl Family {
    /// The family that `tokenizer.ggml.pre` names.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is missing or unknown; the message lists the families.
    pub(super) fn named(pre: Option<&str>) -> Result<&'static Family> {
        let Some(pre) = pre else {
            return Err(Error::Unsupported(text!(
                "the vocabulary does not name its pre-tokeniser (tokenizer.ggml.pre); convert the model again"
            )));
        };
        FAMILIES.iter().find(|family| family.names.contains(&pre)).ok_or_else(|| {
            Error::Unsupported(text!("pre-tokeniser {pre:?} (tokenizer.ggml.pre); known are {KNOWN}"))
        })
    }

    /// The words of `text`, which together are `text`.
    pub(super) fn words<'a>(&self, text: &'a str) -> Words<'a> {
        Words { text, scanners: self.scanners, start: 0, ends: [0; SCANNERS_MAX] }
    }
}

/// The words of a text. Every character is looked at by each scanner about once, so it is linear in the text.
pub(super) struct Words<'a> {
    text: &'a str,
    scanners: &'static [Scanner],
    /// Where the next word begins.
    start: usize,
    /// For each scanner, where the piece ends that it found last.
    ends: [usize; SCANNERS_MAX],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.start >= self.text.len() {
            return None;
        }
        let mut limit = self.text.len();
        for (scanner, end) in self.scanners.iter().zip(&mut self.ends) {
            if *end <= self.start {
                let piece = self.text.get(self.start..limit).unwrap_or_default();
                let length = scanner(piece);
                // A scanner at fault yields all that is left instead of a panic or an endless loop.
                let is_right = length > 0 && piece.is_char_boundary(length);
                *end = if is_right { self.start + length } else { limit };
            }
            limit = *end;
        }
        let word = self.text.get(self.start..limit);
        self.start = limit;
        word
    }
}

/// Shows the first name of every family.
struct Known;
const KNOWN: Known = Known;

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in FAMILIES.iter().filter_map(|family| family.names.first()).enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What follows the first `start` bytes of `text`.
fn rest(text: &str, start: usize) -> &str {
    text.get(start..).unwrap_or_default()
}

/// Where the characters that `belongs` accepts end, from byte `start` of `text` on.
fn end_while(text: &str, start: usize, belongs: impl Fn(char) -> bool) -> usize {
    let end = rest(text, start).find(|c| !belongs(c)).map_or(text.len(), |length| start + length);
    #[cfg(test)]
    tests::LOOKED_AT.with(|count| count.set(count.get() + end - start));
    end
}

/// Where the run of `class` that begins at byte `start` of `text` ends.
fn end_of_run(text: &str, start: usize, class: Class) -> usize {
    end_while(text, start, |c| Class::of(c) == class)
}

/// `X+` at the start of `text`, where `belongs` says what X is, or what lies in front of the first X.
fn run_or_gap(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    let is_run = text.chars().next().is_some_and(&belongs);
    end_while(text, 0, |c| belongs(c) == is_run)
}

/// `X` at the start of `text`, where `belongs` says what X is, or what lies in front of the first X.
fn one_or_gap(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    match text.chars().next() {
        Some(first) if belongs(first) => first.len_utf8(),
        _ => end_while(text, 0, |c| !belongs(c)),
    }
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\r' | '\n')
}

/// `'s|'t|'re|'ve|'m|'ll|'d` at the start of `text`. Ignoring case is a matter of ASCII alone: the long s, which
/// folds to an s, is not one here.
fn contraction(text: &str, any_case: bool) -> Option<usize> {
    let after = text.strip_prefix('\'')?.as_bytes();
    let matches = |suffix: &&str| {
        after.get(..suffix.len()).is_some_and(|found| match any_case {
            true => found.eq_ignore_ascii_case(suffix.as_bytes()),
            false => found == suffix.as_bytes(),
        })
    };
    ["s", "t", "re", "ve", "m", "ll", "d"]
        .iter()
        .find(|suffix| matches(suffix))
        .map(|suffix| 1 + suffix.len())
}

/// `\s+(?!\S)|\s+` at the start of `text`, where `end` ends its white space: the last white space before a word is
/// left to that word, unless it is alone.
fn white_space(text: &str, end: usize) -> usize {
    let last = text.get(..end).and_then(|space| space.chars().next_back()).map_or(0, char::len_utf8);
    if end == text.len() || end == last { end } else { end - last }
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+` at the start of `text`, where `end` ends its white space.
fn space_and_lines(text: &str, end: usize) -> usize {
    match text.get(..end).and_then(|space| space.rfind(is_line_end)) {
        Some(line_end) => line_end + 1,
        None => white_space(text, end),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn words<'a>(pre: &str, text: &'a str) -> Vec<&'a str> {
        Family::named(Some(pre)).unwrap().words(text).collect()
    }

    #[test]
    fn an_unknown_family_is_refused_by_name() {
        let Err(error) = Family::named(Some("martian")) else { panic!("accepted") };
        let message = std::format!("{error}");
        assert!(message.contains("\"martian\"") && message.contains("smollm, gpt-2, llama-bpe"), "{message}");
        assert!(Family::named(None).is_err());
    }

    #[test]
    fn numbers_are_cut_as_each_family_was_trained() {
        assert_eq!(words("gpt-2", "in 12345½"), ["in", " 12345½"]);
        assert_eq!(words("smollm", "in 123½"), ["in", " ", "1", "2", "3", "½"]);
        assert_eq!(words("llama-bpe", "in 12345½"), ["in", " ", "123", "45½"]);
        assert_eq!(words("qwen2", "in 123"), ["in", " ", "1", "2", "3"]);
    }

    #[test]
    fn contractions_ignore_case_where_the_family_does() {
        assert_eq!(words("gpt-2", "we'll WE'LL 'tis"), ["we", "'ll", " WE", "'", "LL", " '", "tis"]);
        assert_eq!(words("llama-bpe", "we'll WE'LL 'tis"), ["we", "'ll", " WE", "'LL", " '", "tis"]);
        assert_eq!(words("qwen2", "'ſ 'Re '"), ["'ſ", " '", "Re", " '"]);
    }

    #[test]
    fn white_space_leaves_its_last_to_the_word() {
        assert_eq!(words("gpt-2", "a   b \t c\n\n"), ["a", "  ", " b", " \t", " c", "\n\n"]);
        assert_eq!(words("gpt-2", "\tb\u{a0}\u{a0}b"), ["\t", "b", "\u{a0}", "\u{a0}", "b"]);
        assert_eq!(words("smollm", "a   1   b"), ["a", "   ", "1", "  ", " b"]);
        assert_eq!(words("llama-bpe", "a   1 \u{3000}b"), ["a", "  ", " ", "1", " ", "\u{3000}b"]);
    }

    #[test]
    fn lines_end_words_where_the_family_does() {
        assert_eq!(
            words("llama-bpe", "a;\r\n\n  b \n \n  c"),
            ["a", ";\r\n\n", " ", " b", " \n \n", " ", " c"]
        );
        assert_eq!(words("gpt-2", "a;\r\n\n  b"), ["a", ";", "\r\n\n ", " b"]);
        assert_eq!(words("qwen2", "\nb\r."), ["\n", "b", "\r", "."]);
    }

    #[test]
    fn anything_else_runs_on_until_a_letter_a_number_or_white_space() {
        assert_eq!(words("gpt-2", " ...👍🏽\u{301}a"), [" ...👍🏽\u{301}", "a"]);
        assert_eq!(words("llama-bpe", "(a (((a"), ["(a", " (((", "a"]);
        assert_eq!(words("smollm", " \u{378}1"), [" \u{378}", "1"]);
    }

    /// Texts in which the characters that scanners care about are frequent.
    pub(in crate::tokenizer) fn hard_text() -> impl Strategy<Value = std::string::String> {
        let piece = prop_oneof![
            "[ -~]{0,8}",
            "\\PC{0,4}",
            "[ \t\r\n\u{a0}\u{3000}]{1,4}",
            "'(s|T|re|VE|ll|d|ſ)",
            "[0-9½٣]{1,5}",
            "<\\|[a-z]{0,3}\\|?>",
            any::<char>().prop_map(std::string::String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    std::thread_local! {
        /// Bytes at which [`end_while`] has looked.
        pub(super) static LOOKED_AT: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
    }

    #[test]
    fn every_scanner_looks_at_a_text_a_few_times_at_most() {
        let pieces = [
            "a",
            "A",
            " ",
            "\n",
            " \n",
            "1",
            "12 ",
            "'",
            ".",
            "é",
            "漢",
            "漢A",
            "\u{301}",
            "A\u{301}",
            "\0",
            "\0a",
            "👍",
            "a b",
            "a1",
            "😀\u{200d}",
            " \u{3000}",
            "/\n",
            "Aa",
            "'s",
            "1\u{301}",
            "\t",
            "\r\n",
            "ʰA",
        ];
        for text in pieces.map(|piece| piece.repeat(60_000 / piece.len())) {
            for family in FAMILIES {
                LOOKED_AT.set(0);
                let count = family.words(&text).count();
                let most = 3 * text.len() * family.scanners.len();
                assert!(LOOKED_AT.get() <= most, "{}: {} in {count} words", family.names[0], LOOKED_AT.get());
            }
        }
    }

    proptest! {
        #[test]
        fn words_together_are_the_text(text in hard_text()) {
            for family in FAMILIES {
                prop_assert_eq!(&family.words(&text).collect::<Vec<_>>().concat(), &text);
            }
        }

        #[test]
        fn scanners_take_at_least_one_whole_character(text in hard_text()) {
            for family in FAMILIES {
                for scanner in family.scanners {
                    let mut left = text.as_str();
                    while !left.is_empty() {
                        let length = scanner(left);
                        prop_assert!(length > 0 && left.is_char_boundary(length), "{:?} of {:?}", length, left);
                        left = &left[length..];
                    }
                }
            }
        }
    }
}
