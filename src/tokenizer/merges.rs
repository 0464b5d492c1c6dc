//! Floor 2. The merges of a byte-pair encoding: which two tokens become which third, and how urgently.
//!
//! An open-addressing table, at most two thirds full. Every id in it is a token of the vocabulary it was built for.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::index::{Index, mix, probe, table_capacity, too_many_collisions};
use super::merging::{NEVER, Rank};
use super::vocabulary::{Shown, Vocabulary, Writing, reserve_exact};
use crate::error::{Error, Result, text};

#[derive(Clone, Copy, Debug)]
struct Slot {
    left: TokenId,
    right: TokenId,
    /// [`NEVER`] in an empty slot.
    rank: Rank,
}

/// The merges of one vocabulary.
#[derive(Debug)]
pub(super) struct Merges {
    slots: Vec<Slot>,
    /// What each merge makes, by rank.
    merged: Vec<TokenId>,
}

impl Merges {
    /// Reads merges, `left right`, the most urgent first. A pair that comes twice keeps its first rank. A merge's place
    /// in the metadata is its rank.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] for one that is not two texts, or whose texts or result are no tokens: in characters such
    /// a one does nothing, since some of its texts may be special tokens. [`Error::Memory`].
    pub(super) fn read<'a>(
        lines: impl Iterator<Item = &'a [u8]> + Clone,
        vocabulary: &Vocabulary,
        index: &Index,
        writing: Writing,
    ) -> Result<Merges> {
        let count = lines.clone().count();
        if count >= NEVER as usize {
            return Err(Error::Unsupported(text!("{count} merges")));
        }
        let mut merges = Merges { slots: Vec::new(), merged: Vec::new() };
        let capacity = table_capacity(count);
        reserve_exact(&mut merges.slots, capacity)?;
        reserve_exact(&mut merges.merged, count)?;
        merges.slots.resize(capacity, Slot { left: 0, right: 0, rank: NEVER });

        let mut bytes = Vec::new();
        for (place, line) in lines.take(count).enumerate() {
            let read = read(line, vocabulary, index, writing, &mut bytes)?;
            if read.is_none() && writing == Writing::Bytes {
                return Err(Error::Inconsistent(text!(
                    "merge {place} (tokenizer.ggml.merges) is not two tokens that make a third: {}",
                    Shown(line)
                )));
            }
            // Of the rank of one that does nothing there is no pair.
            merges.merged.push(read.map_or(0, |(_, _, merged)| merged));
            if let Some((left, right, _)) = read {
                merges.insert(Slot { left, right, rank: place as Rank })?;
            }
        }
        Ok(merges)
    }

    fn insert(&mut self, merge: Slot) -> Result<()> {
        for place in probe(hash(merge.left, merge.right), self.slots.len()) {
            match self.slots.get_mut(place) {
                Some(slot) if slot.rank == NEVER => {
                    *slot = merge;
                    return Ok(());
                }
                Some(slot) if (slot.left, slot.right) == (merge.left, merge.right) => return Ok(()),
                _ => {}
            }
        }
        Err(too_many_collisions("merges"))
    }

    /// How urgently `left` and `right` merge; [`NEVER`] if they do not.
    pub(super) fn rank(&self, left: TokenId, right: TokenId) -> Rank {
        for place in probe(hash(left, right), self.slots.len()) {
            match self.slots.get(place) {
                Some(slot) if slot.rank != NEVER && (slot.left, slot.right) != (left, right) => {}
                Some(slot) => return slot.rank,
                None => break,
            }
        }
        NEVER
    }

    /// The token that the merge of `rank` makes.
    pub(super) fn merged(&self, rank: Rank) -> Option<TokenId> {
        self.merged.get(rank as usize).copied()
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.merged.capacity() * size_of::<TokenId>()
    }
}

fn hash(left: TokenId, right: TokenId) -> u64 {
    mix(u64::from(left) << 32 | u64::from(right))
}

/// The tokens of one merge: left, right, and both together. `bytes` is a buffer.
fn read(
    line: &[u8],
    vocabulary: &Vocabulary,
    index: &Index,
    writing: Writing,
    bytes: &mut Vec<u8>,
) -> Result<Option<(TokenId, TokenId, TokenId)>> {
    // The first character is text even if it is a space.
    let Some(space) = line.iter().skip(1).position(|byte| *byte == b' ').map(|place| place + 1) else {
        return Ok(None);
    };
    bytes.clear();
    let (left, right) = (line.get(..space).unwrap_or_default(), line.get(space + 1..).unwrap_or_default());
    if !writing.append(left, bytes)? {
        return Ok(None);
    }
    let middle = bytes.len();
    if !writing.append(right, bytes)? {
        return Ok(None);
    }
    let find = |bytes: Option<&[u8]>| index.find(vocabulary, bytes.unwrap_or_default());
    Ok(match (find(bytes.get(..middle)), find(bytes.get(middle..)), find(Some(bytes))) {
        (Some(left), Some(right), Some(merged)) => Some((left, right, merged)),
        _ => None,
    })
}
