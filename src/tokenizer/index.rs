//! Floor 2. Finds a token by its bytes, and the way in which the tokenizer's hash tables look for a place.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::vocabulary::{Shown, Vocabulary, reserve_exact};
use crate::error::{Error, Result, text};

/// Finds tokens by their bytes: an open-addressing table, at most two thirds full.
///
/// ```text
///   bit 31                          0
///      | part of the hash |   id    |    all ones: empty
/// ```
/// The id takes as many bits as the count of tokens does, so it is never all ones itself. What is left of the slot
/// spares nearly every look at another token's bytes.
#[derive(Debug)]
pub(super) struct Index {
    slots: Vec<u32>,
    id_bits: u32,
}

impl Index {
    const EMPTY: u32 = u32::MAX;

    /// A table for the ids below `count`.
    pub(super) fn with_room(count: usize) -> Result<Index> {
        let id_bits = u32::try_from(count)
            .map(|count| u32::BITS - count.leading_zeros())
            .map_err(|_| Error::Unsupported(text!("a vocabulary of {count} tokens")))?;
        let mut slots = Vec::new();
        let capacity = table_capacity(count);
        reserve_exact(&mut slots, capacity)?;
        slots.resize(capacity, Index::EMPTY);
        Ok(Index { slots, id_bits })
    }

    /// Adds token `id`.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if another token has the same bytes, or too many were chosen to collide with it.
    pub(super) fn insert(&mut self, vocabulary: &Vocabulary, id: TokenId) -> Result<()> {
        let bytes = vocabulary.bytes(id);
        if let Some(other) = self.find(vocabulary, bytes) {
            return Err(Error::Inconsistent(text!("tokens {other} and {id} are both {}", Shown(bytes))));
        }
        let hash = hash(bytes);
        let slot = self.part_of_hash(hash) | id;
        let place = probe(hash, self.slots.len())
            .find(|place| self.slots.get(*place) == Some(&Index::EMPTY))
            .ok_or_else(|| too_many_collisions("tokens"))?;
        if let Some(empty) = self.slots.get_mut(place) {
            *empty = slot;
        }
        Ok(())
    }

    /// The token whose bytes are `bytes`.
    pub(super) fn find(&self, vocabulary: &Vocabulary, bytes: &[u8]) -> Option<TokenId> {
        let hash = hash(bytes);
        let (id_mask, wanted) = (self.id_mask(), self.part_of_hash(hash));
        probe(hash, self.slots.len())
            .map_while(|place| self.slots.get(place).copied().filter(|slot| *slot != Index::EMPTY))
            .filter(|slot| slot & !id_mask == wanted)
            .map(|slot| slot & id_mask)
            .find(|id| vocabulary.bytes(*id) == bytes)
    }

    fn id_mask(&self) -> u32 {
        ((1u64 << self.id_bits) - 1) as u32
    }

    /// Low bits of the hash, in place: the high ones say where the probe begins.
    fn part_of_hash(&self, hash: u64) -> u32 {
        (hash << self.id_bits) as u32
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

/// How many slots an open-addressing table of `count` entries gets: it is then at most two thirds full.
pub(super) fn table_capacity(count: usize) -> usize {
    count.saturating_add(count / 2).saturating_add(1)
}

/// The most places at which an entry is looked for. In a table that is two thirds full, entries that were not chosen to
/// collide never need half as many, while a file of such as were would otherwise take time that grows with its square.
const PROBES_MAX: usize = 1024;

/// The error of an entry that finds no place.
pub(super) fn too_many_collisions(what: &str) -> Error {
    Error::Inconsistent(text!(
        "over {PROBES_MAX} {what} collide in a hash table, which does not come by chance"
    ))
}

/// The slots of a table in the order in which an entry of this hash looks for its place: each at most once.
pub(super) fn probe(hash: u64, slot_count: usize) -> impl Iterator<Item = usize> {
    // The high half of hash x count is uniform in 0..count, for counts that are no power of two as well.
    let first = ((u128::from(hash) * slot_count as u128) >> 64) as usize;
    (first..slot_count).chain(0..first).take(PROBES_MAX)
}

/// Spreads the bits of `value` over all of the result.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (value ^ value >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(slot, byte)| *slot = *byte);
        mix(hash.rotate_left(23) ^ u64::from_le_bytes(word))
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::tokenizer::vocabulary::Writing;

    /// Letters of which eight make a token.
    fn letters(mut number: u64) -> [u8; 8] {
        core::array::from_fn(|_| {
            let letter = b'a' + (number % 26) as u8;
            number /= 26;
            letter
        })
    }

    fn read(tokens: &[[u8; 8]]) -> Result<(Vocabulary, Index)> {
        let tokens = tokens.iter().map(|token| &token[..]);
        Vocabulary::read(tokens, None::<core::iter::Empty<i32>>, Writing::Bytes)
    }

    #[test]
    fn tokens_that_were_chosen_to_collide_are_refused() {
        let spread: Vec<_> = (0..60_000).map(letters).collect();
        let (vocabulary, index) = read(&spread).unwrap();
        assert!((0..).zip(&spread).all(|(id, token)| index.find(&vocabulary, token) == Some(id)));
        assert_eq!(index.find(&vocabulary, b"absent"), None);

        // All of them want the first hundredth of the table.
        let crowded: Vec<_> =
            (0..).map(letters).filter(|token| hash(token) < u64::MAX / 100).take(10_000).collect();
        let error = read(&crowded).map(drop).unwrap_err();
        assert!(matches!(error, Error::Inconsistent(_)), "{error:?}");
    }
}
