//! Floor 2. What stands for text that has no token of its own: a token for each of its bytes, or the unknown one.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::index::Index;
use super::merging::NONE;
use super::vocabulary::{Kind, Vocabulary, reserve};
use crate::error::Result;

/// The tokens of single bytes.
#[derive(Debug)]
pub(super) struct Fallback {
    bytes: [TokenId; 256],
    /// In place of text with a byte that has none.
    unknown: Option<TokenId>,
}

impl Fallback {
    /// Bytes whose tokens `find` knows. One without a token is left out.
    pub(super) fn of_bytes(find: impl Fn(u8) -> Option<TokenId>) -> Fallback {
        let mut bytes = [NONE; 256];
        for (byte, id) in (0..=u8::MAX).zip(&mut bytes) {
            *id = find(byte).unwrap_or(NONE);
        }
        Fallback { bytes, unknown: None }
    }

    /// The byte tokens of a vocabulary, or the texts like `<0x41>` where types are missing.
    pub(super) fn find(vocabulary: &Vocabulary, index: &Index, unknown: Option<TokenId>) -> Fallback {
        let mut bytes = [NONE; 256];
        for id in vocabulary.ids().filter(|id| vocabulary.kind(*id) == Some(Kind::Byte)) {
            if let [byte] = vocabulary.bytes(id)
                && let Some(slot) = bytes.get_mut(usize::from(*byte))
            {
                *slot = id;
            }
        }
        let digit = |value: u8| b"0123456789ABCDEF".get(usize::from(value)).copied().unwrap_or_default();
        for (byte, slot) in (0..=u8::MAX).zip(&mut bytes).filter(|(_, slot)| **slot == NONE) {
            let name = [b'<', b'0', b'x', digit(byte >> 4), digit(byte & 15), b'>'];
            *slot = index.find(vocabulary, &name).unwrap_or(NONE);
        }
        Fallback { bytes, unknown }
    }

    /// The token of `byte`; [`NONE`] if it has none.
    pub(super) fn get(&self, byte: u8) -> TokenId {
        self.bytes.get(usize::from(byte)).copied().unwrap_or(NONE)
    }

    /// Appends token `id`, or what stands for its bytes if it is [`NONE`].
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn push(&self, id: TokenId, bytes: &[u8], out: &mut Vec<TokenId>) -> Result<()> {
        if id != NONE {
            reserve(out, 1)?;
            out.push(id);
            return Ok(());
        }
        let before = out.len();
        for byte in bytes {
            let id = self.get(*byte);
            if id != NONE {
                reserve(out, 1)?;
                out.push(id);
            } else if let Some(unknown) = self.unknown {
                out.truncate(before);
                reserve(out, 1)?;
                out.push(unknown);
                break;
            }
        }
        Ok(())
    }
}
