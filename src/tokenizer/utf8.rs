//! Floor 2. Tokens end anywhere, characters do not: this hands out text in whole characters only. At most 3 bytes are
//! held back, in place, and whatever the cuts were, the text is that of `String::from_utf8_lossy` over all the bytes.
#![forbid(unsafe_code)]

use core::str;

/// Turns a stream of bytes into a stream of UTF-8 text. It never allocates.
///
/// ```
/// let mut stream = bantam::tokenizer::Utf8Stream::new();
/// let mut text = String::new();
/// for piece in [&b"caf\xc3"[..], &b"\xa9"[..]] {
///     stream.push(piece, |part| text.push_str(part));
/// }
/// stream.finish(|part| text.push_str(part));
/// assert_eq!(text, "café");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    /// The first `held_count` bytes begin a character whose end has not come yet.
    held: [u8; 4],
    held_count: usize,
}

const REPLACEMENT: &str = "\u{fffd}";

impl Utf8Stream {
    /// A stream that holds nothing.
    pub const fn new() -> Utf8Stream {
        Utf8Stream { held: [0; 4], held_count: 0 }
    }

    /// Takes `bytes` and gives `sink` the characters that are complete, in zero or more parts. A sequence that cannot
    /// become a character is given as U+FFFD.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(&str)) {
        let mut rest = self.complete(bytes, &mut sink);
        while !rest.is_empty() {
            let Err(error) = str::from_utf8(rest).map(&mut sink) else { return };
            let (valid, after) = rest.split_at(error.valid_up_to());
            if let Ok(valid) = str::from_utf8(valid)
                && !valid.is_empty()
            {
                sink(valid);
            }
            match error.error_len() {
                Some(length) => {
                    sink(REPLACEMENT);
                    rest = after.get(length..).unwrap_or_default();
                }
                None => {
                    self.held_count = after.len().min(self.held.len());
                    self.held.iter_mut().zip(after).for_each(|(held, byte)| *held = *byte);
                    return;
                }
            }
        }
    }

    /// Ends the stream: what is still held is an unfinished character, given as one U+FFFD. The stream is then as new.
    pub fn finish(&mut self, mut sink: impl FnMut(&str)) {
        if self.held_count > 0 {
            sink(REPLACEMENT);
        }
        *self = Utf8Stream::new();
    }

    /// Completes or gives up the held character with the first of `bytes`; returns the bytes that it left.
    fn complete<'a>(&mut self, mut bytes: &'a [u8], sink: &mut impl FnMut(&str)) -> &'a [u8] {
        while self.held_count > 0
            && let Some((&byte, after)) = bytes.split_first()
        {
            let count = self.held_count + 1;
            if let Some(slot) = self.held.get_mut(self.held_count) {
                *slot = byte;
            }
            match str::from_utf8(self.held.get(..count).unwrap_or_default()) {
                Ok(character) => {
                    sink(character);
                    self.held_count = 0;
                    return after;
                }
                Err(error) if error.error_len().is_none() => {
                    self.held_count = count;
                    bytes = after;
                }
                // The byte does not continue the character, so it begins something of its own.
                Err(_) => {
                    sink(REPLACEMENT);
                    self.held_count = 0;
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> String {
        let mut stream = Utf8Stream::new();
        let mut text = String::new();
        for piece in pieces {
            stream.push(piece, |part| text.push_str(part));
        }
        stream.finish(|part| text.push_str(part));
        text
    }

    #[test]
    fn a_character_is_held_until_its_last_byte() {
        let mut stream = Utf8Stream::new();
        let mut text = String::new();
        for byte in "👍".bytes() {
            assert_eq!(text, "");
            stream.push(&[byte], |part| text.push_str(part));
        }
        assert_eq!(text, "👍");
    }

    #[test]
    fn what_cannot_become_a_character_is_replaced() {
        assert_eq!(decode(&[b"\xff"]), "\u{fffd}");
        assert_eq!(decode(&[b"\xe2\x82", b"a"]), "\u{fffd}a");
        assert_eq!(decode(&[b"\xe2", b"\xe2\x82\xac"]), "\u{fffd}€");
        assert_eq!(decode(&[b"\xf0\x9f", b"\x91"]), "\u{fffd}");
        assert_eq!(decode(&[b"\xed", b"\xa0\x80"]), "\u{fffd}\u{fffd}\u{fffd}");
    }

    /// Bytes among which the beginnings and ends of characters are frequent.
    fn broken_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<char>().prop_map(|c| c.encode_utf8(&mut [0; 4]).as_bytes().to_vec()),
            prop::collection::vec(
                prop::sample::select(b"a\x80\xbf\xc2\xe0\xa0\xed\xf0\x90\xf4\xff".to_vec()),
                1..4
            ),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_text_of_the_whole(bytes in broken_bytes(), size in 1usize..5) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(decode(&pieces), String::from_utf8_lossy(&bytes));
        }
    }
}
