//! Floor 2. The byte alphabet of GPT-2: vocabularies for bytes write each byte as one printable character.
//!
//! ```text
//!   byte                            written as
//!   21-7E, A1-AC, AE-FF             the character of the same number
//!   00-20, 7F-A0, AD, in order      U+0100, U+0101, ... U+0143
//! ```
#![forbid(unsafe_code)]

/// The byte that `c` stands for.
pub(super) fn byte(c: char) -> Option<u8> {
    let byte = match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => code,
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The bytes that `written` stands for; `None` in place of what stands for no byte.
pub(super) fn bytes(written: &[u8]) -> impl Iterator<Item = Option<u8>> {
    written.utf8_chunks().flat_map(|chunk| {
        let broken = (!chunk.invalid().is_empty()).then_some(None);
        chunk.valid().chars().map(byte).chain(broken)
    })
}

/// Whether every character of `text` stands for the byte that it is.
pub(super) fn is_itself(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut written: Vec<u8> = ('\0'..='\u{200}').filter_map(byte).collect();
        written.sort_unstable();
        assert_eq!(written, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn well_known_characters_are_read() {
        assert_eq!(
            (byte('Ġ'), byte('Ċ'), byte('a'), byte('é')),
            (Some(b' '), Some(b'\n'), Some(b'a'), Some(0xe9))
        );
        assert_eq!((byte(' '), byte('▁'), byte('\n')), (None, None, None));
        assert_eq!(bytes(b"a\xff\xc4\xa0").collect::<Vec<_>>(), [Some(b'a'), None, Some(b' ')]);
    }
}
