//! Floor 2. SentencePiece's compiled normalisation: which sequences of bytes are replaced by which.
//!
//! ```text
//!   u32 bytes of the array | the array: u32 each | texts, each ended by a zero
//! ```
//! The array is a double-array trie. A child of a node lies at the node's base, exclusive-or'ed with its byte:
//! ```text
//!   bit 31        30 ... 10     9         8        7 ... 0
//!      | value? | base       | base x 256 | ends | byte that leads here |    value: place of a text
//! ```
//! All numbers are little-endian. Whatever an array holds, a walk stays inside it and ends; what leads nowhere
//! replaces nothing.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::vocabulary::reserve_exact;
use crate::error::{Error, Result, text};

/// A longer sequence is not replaced, nor one by a longer text: those of any real map are shorter by far.
const LENGTH_MAX: usize = 256;

/// The map of one vocabulary.
#[derive(Debug, Default)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    texts: Vec<u8>,
}

impl Charsmap {
    /// Reads `tokenizer.ggml.precompiled_charsmap`.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if its parts do not fit into it, [`Error::Memory`].
    pub(super) fn read(bytes: &[u8]) -> Result<Charsmap> {
        if bytes.is_empty() {
            return Ok(Charsmap::default());
        }
        let wrong = |what| {
            let length = bytes.len();
            Error::Inconsistent(text!("tokenizer.ggml.precompiled_charsmap of {length} bytes {what}"))
        };
        let (size, rest) = bytes.split_first_chunk().ok_or_else(|| wrong("is too short"))?;
        let size = u32::from_le_bytes(*size) as usize;
        if !size.is_multiple_of(4) {
            return Err(wrong("has an array that is not made of words"));
        }
        let (array, replacements) =
            rest.split_at_checked(size).ok_or_else(|| wrong("ends inside its array"))?;
        if replacements.last() != Some(&0) {
            return Err(wrong("ends inside a text"));
        }
        let mut map = Charsmap::default();
        reserve_exact(&mut map.units, size / 4)?;
        reserve_exact(&mut map.texts, replacements.len())?;
        map.units.extend(array.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit)));
        map.texts.extend(replacements);
        Ok(map)
    }

    /// The longest beginning of `text` that is replaced: its length, and by what.
    pub(super) fn replacement(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        let base = |unit: u32| (unit >> 10) << ((unit & 1 << 9) >> 6);
        let unit = |place: u32| self.units.get(place as usize).copied();
        let mut place = base(unit(0)?);
        let mut found = None;
        for (byte, length) in text.iter().take(LENGTH_MAX).zip(1..) {
            place ^= u32::from(*byte);
            let Some(node) =
                unit(place).filter(|node| *byte != 0 && node & (1 << 31 | 0xff) == u32::from(*byte))
            else {
                break;
            };
            place ^= base(node);
            if node >> 8 & 1 == 1 {
                found = unit(place).map(|value| (length, value & !(1 << 31)));
            }
        }
        let (length, start) = found?;
        let text = self.texts.get(start as usize..)?.split(|byte| *byte == 0).next()?;
        (text.len() <= LENGTH_MAX).then_some((length, text))
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.units.capacity() * size_of::<u32>() + self.texts.capacity()
    }
}
