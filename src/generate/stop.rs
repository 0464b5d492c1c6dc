//! Floor 5. Stop strings: text is handed on as soon as it is sure not to belong to one, wherever tokens end.
//!
//! Each string is matched byte by byte as Knuth, Morris and Pratt do (SIAM J. Comput. 6, 1977), so the work is that of
//! reading the text once per string. What the longest match so far covers is held back.
//!
//! Invariant: memory is had when the strings are given, for texts of the length that was told; matching allocates nothing.
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result, text};

/// The strings, and the text that may be the beginning of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopStrings {
    strings: Vec<Matcher>,
    held: String,
}

#[derive(Clone, Debug)]
struct Matcher {
    string: Vec<u8>,
    /// `fallback[n]` is the length of the longest beginning of the string that ends its first `n` bytes, `n` excluded.
    fallback: Vec<usize>,
    /// Bytes at the end of the text so far that begin the string.
    matched: usize,
}

const WHAT: &str = "the stop strings";

impl StopStrings {
    /// Stops at any of `strings`; texts come in pieces of up to `piece_bytes`.
    ///
    /// # Errors
    /// [`Error::Argument`] for an empty string, [`Error::Memory`].
    pub(crate) fn new<T: AsRef<str>>(strings: &[T], piece_bytes: usize) -> Result<StopStrings> {
        let mut all = StopStrings::default();
        let refused = |bytes: usize| Error::Memory { what: WHAT, bytes: bytes as u64 };
        all.strings.try_reserve_exact(strings.len()).map_err(|_| refused(size_of_val(strings)))?;
        let mut longest = 0;
        for string in strings {
            let string = string.as_ref().as_bytes();
            if string.is_empty() {
                return Err(Error::Argument(text!(
                    "a stop string is empty, which would stop every answer at once"
                )));
            }
            longest = longest.max(string.len());
            all.strings.push(Matcher::new(string).ok_or(refused(string.len()))?);
        }
        let room = longest.saturating_add(piece_bytes);
        all.held.try_reserve_exact(room).map_err(|_| refused(room))?;
        Ok(all)
    }

    /// Takes `piece` and adds to `out` what belongs to no stop string. The number of the string that ends the text, if one
    /// does: what comes before it has been handed on, and the rest is dropped. Of several that end at one place it is the
    /// longest, which begins first.
    pub(crate) fn push(&mut self, piece: &str, out: &mut String) -> Option<usize> {
        for (at, byte) in piece.bytes().enumerate() {
            self.strings.iter_mut().for_each(|matcher| matcher.step(byte));
            let whole = self.strings.iter().enumerate().filter(|(_, matcher)| matcher.is_whole());
            if let Some((which, matcher)) = whole.max_by_key(|(_, matcher)| matcher.string.len()) {
                let len = matcher.string.len();
                self.held.push_str(&piece[..=at]);
                out.push_str(&self.held[..self.held.len() - len]);
                self.clear();
                return Some(which);
            }
        }
        self.held.push_str(piece);
        // Text and strings are whole characters, so what begins a string begins with a character.
        let kept = self.strings.iter().map(|matcher| matcher.matched).max().unwrap_or(0);
        let sure = self.held.len() - kept;
        out.push_str(&self.held[..sure]);
        self.held.drain(..sure);
        None
    }

    /// The text has ended: hands on what was held back.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.clear();
    }

    /// Begins another text.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.strings.iter_mut().for_each(|matcher| matcher.matched = 0);
    }
}

impl Matcher {
    /// `None` if there is no memory for it.
    fn new(string: &[u8]) -> Option<Matcher> {
        let mut matcher = Matcher { string: Vec::new(), fallback: Vec::new(), matched: 0 };
        matcher.string.try_reserve_exact(string.len()).ok()?;
        matcher.fallback.try_reserve_exact(string.len() + 1).ok()?;
        matcher.string.extend_from_slice(string);
        matcher.fallback.extend([0, 0]);
        for &byte in &string[1..] {
            let shorter = matcher.follow(matcher.fallback[matcher.fallback.len() - 1], byte);
            matcher.fallback.push(shorter);
        }
        Some(matcher)
    }

    /// The longest beginning that ends with `byte` behind the first `matched` bytes.
    fn follow(&self, mut matched: usize, byte: u8) -> usize {
        loop {
            if self.string.get(matched) == Some(&byte) {
                return matched + 1;
            }
            if matched == 0 {
                return 0;
            }
            matched = self.fallback[matched];
        }
    }

    fn step(&mut self, byte: u8) {
        self.matched = self.follow(self.matched, byte);
    }

    fn is_whole(&self) -> bool {
        self.matched == self.string.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is handed on of a text in pieces, and the string that ended it; held text is handed on at the end.
    fn stop(strings: &[&str], pieces: &[&str]) -> (String, Option<usize>) {
        let longest = pieces.iter().map(|piece| piece.len()).max().unwrap_or(0);
        let mut stop = StopStrings::new(strings, longest).unwrap();
        let capacity = stop.held.capacity();
        let mut out = String::new();
        let mut found = None;
        for piece in pieces {
            found = stop.push(piece, &mut out);
            if found.is_some() {
                break;
            }
        }
        stop.finish(&mut out);
        assert_eq!(stop.held.capacity(), capacity, "nothing is allocated");
        (out, found)
    }

    #[test]
    fn text_ends_before_the_string_wherever_tokens_end() {
        for pieces in
            [&["Hello\n\nUser: x"][..], &["Hello\n", "\nUs", "er:", " x"], &["Hello", "\n\n", "User: x"]]
        {
            assert_eq!(stop(&["\nUser:"], pieces), ("Hello\n".into(), Some(0)));
        }
        assert_eq!(stop(&["é!"], &["caf", "é", "!"]), ("caf".into(), Some(0)));
    }

    #[test]
    fn what_turns_out_to_be_no_string_is_handed_on() {
        assert_eq!(stop(&["abcd"], &["ab", "c", "x", "abc"]), ("abcxabc".into(), None));
        // A match that fails may hold the beginning of another.
        assert_eq!(stop(&["aab"], &["aa", "a", "b"]), ("a".into(), Some(0)));
        assert_eq!(stop(&["abab!"], &["aba", "bab", "!"]), ("ab".into(), Some(0)));
    }

    #[test]
    fn the_first_to_end_wins_and_of_those_the_longest() {
        assert_eq!(stop(&["bcd", "c"], &["abcd"]), ("ab".into(), Some(1)));
        assert_eq!(stop(&["c", "abc"], &["xabc"]), ("x".into(), Some(1)));
    }

    #[test]
    fn text_is_held_back_no_longer_than_needed() {
        let mut stop = StopStrings::new(&["END"], 8).unwrap();
        let mut out = String::new();
        for (piece, sure) in [("one", "one"), (" E", "one "), ("N", "one "), ("x", "one ENx")] {
            assert_eq!(stop.push(piece, &mut out), None);
            assert_eq!(out, sure);
        }
    }

    #[test]
    fn an_empty_string_is_refused() {
        assert!(matches!(StopStrings::new(&["a", ""], 8), Err(Error::Argument(_))));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            text in "[ab]{0,40}", strings in proptest::collection::vec("[ab]{1,6}", 0..4), cuts in proptest::collection::vec(0usize..41, 0..8),
        ) {
            let strings: Vec<&str> = strings.iter().map(|string| &string[..]).collect();
            // The first place where any string ends, and of those the longest.
            let end = (1..=text.len()).find(|&end| strings.iter().any(|string| text[..end].ends_with(string)));
            let expected = end.map_or((text.clone(), None), |end| {
                let whole = strings.iter().filter(|string| text[..end].ends_with(*string));
                let longest = whole.map(|string| string.len()).max().unwrap();
                (text[..end - longest].into(), Some(longest))
            });
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let (out, found) = stop(&strings, &pieces);
            prop_assert_eq!((out, found.map(|i| strings[i].len())), expected);
        }
    }
}
