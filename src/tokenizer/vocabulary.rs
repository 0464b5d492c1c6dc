//! Floor 2. The tokens: their bytes one after the other in one allocation, where each begins, and what each is for.
//!
//! A vocabulary comes from a file that is not trusted. Once built, its ids are `0..count`, texts that can be looked up
//! are unique, and nothing is read from the file again.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::index::Index;
use super::{TokenId, alphabet, special};
use crate::error::{Error, Result, text};

/// What a token is for. The numbers are those of `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Text, written in the alphabet of its model.
    Normal = 1,
    /// Stands for what the vocabulary cannot say.
    Unknown = 2,
    /// Steers the model and is not text: found only where the caller asks for it, shown only on demand.
    Control = 3,
    /// Text that is found before anything else, written as it is.
    UserDefined = 4,
    /// A place in the vocabulary and no more.
    Unused = 5,
    /// One byte, written `<0x41>`.
    Byte = 6,
}

impl Kind {
    fn from_number(number: i32) -> Option<Kind> {
        Some(match number {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            0 | 5 => Kind::Unused,
            6 => Kind::Byte,
            _ => return None,
        })
    }
}

/// How the texts of tokens are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// In GPT-2's alphabet for bytes.
    Bytes,
    /// As they are, with U+2581 for spaces.
    Characters,
}

/// U+2581, which stands for a space.
pub(super) const ESCAPED_SPACE: &[u8] = b"\xe2\x96\x81";

impl Writing {
    /// Appends the bytes that `written` stands for. Says whether it is written this way at all.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(super) fn append(self, written: &[u8], bytes: &mut Vec<u8>) -> Result<bool> {
        reserve(bytes, written.len())?;
        match self {
            Writing::Bytes => {
                for byte in alphabet::bytes(written) {
                    let Some(byte) = byte else { return Ok(false) };
                    bytes.push(byte);
                }
            }
            Writing::Characters => append_unescaped(written, bytes)?,
        }
        Ok(true)
    }
}

/// Appends `text` with a space for each U+2581.
///
/// # Errors
/// [`Error::Memory`].
pub(super) fn append_unescaped(text: &[u8], bytes: &mut Vec<u8>) -> Result<()> {
    reserve(bytes, text.len())?;
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(ESCAPED_SPACE) {
            Some(after) => {
                bytes.push(b' ');
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    Ok(())
}

/// The tokens of a model.
#[derive(Debug)]
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each token begins in `bytes`, and where the last one ends.
    starts: Vec<u32>,
    kinds: Vec<Kind>,
    /// Bytes of the longest token.
    longest: usize,
}

impl Vocabulary {
    /// Reads tokens, and how they are looked up.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] for a token that cannot be read, a text that two tokens share, or as many types as
    /// tokens not being there; [`Error::Memory`].
    pub(super) fn read<'a>(
        tokens: impl Iterator<Item = &'a [u8]> + Clone,
        types: Option<impl Iterator<Item = i32>>,
        writing: Writing,
    ) -> Result<(Vocabulary, Index)> {
        let (count, length) = tokens.clone().fold((0usize, 0usize), |(count, length), text| {
            // A character of the alphabet is one byte; what is not a token of bytes is made room for as it comes.
            let bytes = match writing {
                Writing::Bytes => text.iter().filter(|byte| **byte as i8 >= -0x40).count(),
                Writing::Characters => text.len(),
            };
            (count.saturating_add(1), length.saturating_add(bytes))
        });
        let mut vocabulary = Vocabulary::with_room(count, length)?;
        let mut index = Index::with_room(count)?;
        let mut types = types.map(|types| types.fuse());
        for text in tokens.take(count) {
            let id = vocabulary.next_id()?;
            let number = match &mut types {
                Some(types) => types.next().ok_or_else(|| {
                    Error::Inconsistent(text!(
                        "{count} tokens, but only {id} types (tokenizer.ggml.token_type)"
                    ))
                })?,
                None => 1,
            };
            let kind = Kind::from_number(number).ok_or_else(|| {
                Error::Inconsistent(text!(
                    "token {id} has type {number}; types are 0 to 6 (tokenizer.ggml.token_type)"
                ))
            })?;
            let is_found = match writing {
                Writing::Bytes => vocabulary.push_written(kind, text)?,
                Writing::Characters => vocabulary.push_spaced(kind, text)?,
            };
            if is_found {
                index.insert(&vocabulary, id)?;
            }
        }
        if types.is_some_and(|mut types| types.next().is_some()) {
            return Err(Error::Inconsistent(text!(
                "{count} tokens, but more types (tokenizer.ggml.token_type)"
            )));
        }
        Ok((vocabulary, index))
    }

    fn with_room(count: usize, length: usize) -> Result<Vocabulary> {
        let mut vocabulary =
            Vocabulary { bytes: Vec::new(), starts: Vec::new(), kinds: Vec::new(), longest: 0 };
        reserve_exact(&mut vocabulary.bytes, length)?;
        reserve_exact(&mut vocabulary.starts, count.saturating_add(1))?;
        reserve_exact(&mut vocabulary.kinds, count)?;
        vocabulary.starts.push(0);
        Ok(vocabulary)
    }

    fn next_id(&self) -> Result<TokenId> {
        // The last number stands for no token.
        let id = TokenId::try_from(self.kinds.len()).ok().filter(|id| *id < TokenId::MAX);
        id.ok_or_else(|| Error::Unsupported(text!("a vocabulary of more than {} tokens", TokenId::MAX)))
    }

    /// Appends the token that `written` stands for. Says whether it can be looked up by its bytes.
    fn push_written(&mut self, kind: Kind, written: &[u8]) -> Result<bool> {
        match kind {
            Kind::Normal | Kind::Unused if alphabet::bytes(written).all(|byte| byte.is_some()) => {
                Writing::Bytes.append(written, &mut self.bytes)?;
                self.end_token(kind)?;
                Ok(!written.is_empty())
            }
            // Some vocabularies have characters among their tokens, which no text becomes.
            Kind::Normal if !special::is_well_known(written) && core::str::from_utf8(written).is_ok() => {
                self.push(kind, written)?;
                Ok(false)
            }
            Kind::Normal | Kind::Unused | Kind::Unknown | Kind::Control | Kind::UserDefined => {
                if core::str::from_utf8(written).is_err() {
                    return Err(self.no_utf8(written));
                }
                self.push(kind, written)?;
                Ok(!written.is_empty() && alphabet::is_itself(written))
            }
            Kind::Byte => self.push_byte(written),
        }
    }

    fn push_byte(&mut self, written: &[u8]) -> Result<bool> {
        let byte = named_byte(written).ok_or_else(|| {
            let id = self.kinds.len();
            Error::Inconsistent(text!("byte token {id} is not written like <0x41>: {}", Shown(written)))
        })?;
        self.push(Kind::Byte, &[byte])?;
        Ok(false)
    }

    /// Appends a token that is written in characters. Says whether it can be looked up by its bytes: only text can,
    /// and no text has a space that is not escaped.
    fn push_spaced(&mut self, kind: Kind, written: &[u8]) -> Result<bool> {
        let is_found = !written.is_empty() && !written.contains(&b' ');
        match kind {
            Kind::Byte => self.push_byte(written),
            Kind::Normal | Kind::Unused if !special::is_well_known(written) => {
                append_unescaped(written, &mut self.bytes)?;
                self.end_token(kind)?;
                Ok(is_found)
            }
            _ => {
                if core::str::from_utf8(written).is_err() {
                    return Err(self.no_utf8(written));
                }
                self.push(kind, written)?;
                let is_escaped = written.windows(ESCAPED_SPACE.len()).any(|bytes| bytes == ESCAPED_SPACE);
                Ok(kind == Kind::UserDefined && is_found && !is_escaped)
            }
        }
    }

    fn no_utf8(&self, written: &[u8]) -> Error {
        let id = self.kinds.len();
        Error::Inconsistent(text!("special token {id} is not UTF-8: {}", Shown(written)))
    }

    fn push(&mut self, kind: Kind, bytes: &[u8]) -> Result<()> {
        reserve(&mut self.bytes, bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        self.end_token(kind)
    }

    /// Makes a token of the bytes behind the last one.
    fn end_token(&mut self, kind: Kind) -> Result<()> {
        let start = self.starts.last().map_or(0, |start| *start as usize);
        let end = u32::try_from(self.bytes.len())
            .map_err(|_| Error::Unsupported(text!("a vocabulary of more than {} bytes", u32::MAX)))?;
        reserve(&mut self.starts, 1)?;
        reserve(&mut self.kinds, 1)?;
        self.starts.push(end);
        self.kinds.push(kind);
        self.longest = self.longest.max(self.bytes.len() - start);
        Ok(())
    }

    /// The number of tokens.
    pub(super) fn count(&self) -> usize {
        self.kinds.len()
    }

    /// The length in bytes of the longest token.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Every id.
    pub(super) fn ids(&self) -> core::ops::Range<TokenId> {
        0..self.count() as TokenId
    }

    /// The bytes of token `id`.
    pub(super) fn get(&self, id: TokenId) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.starts.get(id.checked_add(1)?)?;
        self.bytes.get(*self.starts.get(id)? as usize..end as usize)
    }

    /// The bytes of token `id`; none if there is no such token.
    pub(super) fn bytes(&self, id: TokenId) -> &[u8] {
        self.get(id).unwrap_or_default()
    }

    /// What token `id` is for.
    pub(super) fn kind(&self, id: TokenId) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    /// Makes token `id` one of `kind`.
    pub(super) fn set_kind(&mut self, id: TokenId, kind: Kind) {
        if let Some(slot) = self.kinds.get_mut(id as usize) {
            *slot = kind;
        }
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.starts.capacity() * size_of::<u32>() + self.kinds.capacity()
    }
}

fn named_byte(written: &[u8]) -> Option<u8> {
    let digits = written.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = core::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// Shows bytes of a file in a message.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// What the tokenizer's allocations are for.
const TOKENIZER: &str = "the tokenizer";

/// Makes room for `more` items, with room to grow.
pub(super) fn reserve<T>(items: &mut Vec<T>, more: usize) -> Result<()> {
    items.try_reserve(more).map_err(|_| no_memory::<T>(more))
}

/// Makes room for `more` items and no more.
pub(super) fn reserve_exact<T>(items: &mut Vec<T>, more: usize) -> Result<()> {
    items.try_reserve_exact(more).map_err(|_| no_memory::<T>(more))
}

/// The error of an allocation of `count` items that failed.
pub(super) fn no_memory<T>(count: usize) -> Error {
    Error::Memory { what: TOKENIZER, bytes: (count as u64).saturating_mul(size_of::<T>() as u64) }
}
