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

/// The bytes that `written` stands for; `None` in place of what stands for no byte. Every character of the alphabet is
/// one or two bytes of UTF-8, so nothing longer is looked at.
pub(super) fn bytes(written: &[u8]) -> impl Iterator<Item = Option<u8>> {
    let mut rest = written.iter();
    core::iter::from_fn(move || {
        let first = *rest.next()?;
        Some(match first {
            b'!'..=b'~' => Some(first),
            0xc2..=0xc5 => rest.next().and_then(|second| match second {
                0x80..=0xbf => {
                    char::from_u32(u32::from(first & 0x1f) << 6 | u32::from(second & 0x3f)).and_then(byte)
                }
                _ => None,
            }),
            _ => None,
        })
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
        assert_eq!(bytes("aĠé".as_bytes()).collect::<Vec<_>>(), [Some(b'a'), Some(b' '), Some(0xe9)]);
        for wrong in
            [&b" "[..], b"\xff", b"\xc4", b"\xc4a", b"\xc4\xa0\xa0", "▁".as_bytes(), "\u{144}".as_bytes()]
        {
            assert!(bytes(wrong).any(|byte| byte.is_none()), "{wrong:?}");
        }
    }
}
