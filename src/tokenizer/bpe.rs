//! Floor 2. Byte-level byte-pair encoding: a word begins as its bytes, and the most urgent merge of two neighbours is
//! made, the leftmost of equals, until none is left.
//!
//! A short word is merged in place, looking at every pair. A long one keeps its parts in a linked list and its pairs
//! in a queue, so a text without a single space costs n log n.
#![forbid(unsafe_code)]

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::TokenId;
use super::index::Index;
use super::merges::{Merges, NEVER, Rank};
use super::pretokenize::Family;
use super::source::VocabularySource;
use super::vocabulary::{Vocabulary, no_memory, reserve};
use crate::error::{Error, Result, text};

/// No token: a byte that the vocabulary lacks.
const NONE: TokenId = TokenId::MAX;

/// Up to so many bytes, looking at every pair is quicker than a queue.
const SHORT_WORD: usize = 32;

/// The byte-level model of one vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    family: &'static Family,
    /// The token of each byte.
    bytes: [TokenId; 256],
    merges: Merges,
    /// Only in families that take whole words: tokens by their bytes.
    index: Option<Index>,
}

impl Bpe {
    /// Reads a vocabulary of bytes and its merges.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown pre-tokeniser, [`Error::Inconsistent`] for tokens or merges that make no
    /// sense, [`Error::Memory`].
    pub(super) fn read<'a, S, T>(source: &VocabularySource<'a, S, T>) -> Result<(Vocabulary, Bpe)>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
    {
        let family = Family::named(source.pre)?;
        let (vocabulary, index) = Vocabulary::in_bytes(source.tokens.clone(), source.types.clone())?;
        let merges = source.merges.clone().ok_or_else(|| {
            Error::Inconsistent(text!("the vocabulary has no merges: tokenizer.ggml.merges is missing"))
        })?;
        let merges = Merges::in_bytes(merges, &vocabulary, &index)?;
        let mut bytes = [NONE; 256];
        for (byte, id) in (0..=u8::MAX).zip(&mut bytes) {
            *id = index.find(&vocabulary, &[byte]).unwrap_or(NONE);
        }
        let index = family.whole_words.then_some(index);
        Ok((vocabulary, Bpe { family, bytes, merges, index }))
    }

    /// Whether a text begins with BOS where the metadata does not say.
    pub(super) fn adds_bos(&self) -> bool {
        self.family.adds_bos
    }

    /// Appends the tokens of `text`, which holds no special token. A byte that the vocabulary lacks is left out.
    ///
    /// # Errors
    /// [`Error::Argument`] for a word of 4 GiB, [`Error::Memory`].
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        scratch: &mut Scratch,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        for word in self.family.words(text) {
            let word = word.as_bytes();
            if let Some(id) = self.index.as_ref().and_then(|index| index.find(vocabulary, word)) {
                reserve(out, 1)?;
                out.push(id);
            } else if word.len() <= SHORT_WORD {
                self.encode_short(word, out)?;
            } else {
                self.encode_long(word, scratch, out)?;
            }
        }
        Ok(())
    }

    fn byte_token(&self, byte: u8) -> TokenId {
        self.bytes.get(usize::from(byte)).copied().unwrap_or(NONE)
    }

    fn encode_short(&self, word: &[u8], out: &mut Vec<TokenId>) -> Result<()> {
        let mut ids = [NONE; SHORT_WORD];
        let mut ranks = [NEVER; SHORT_WORD];
        let mut count = word.len().min(SHORT_WORD);
        for (id, byte) in ids.iter_mut().zip(word) {
            *id = self.byte_token(*byte);
        }
        let rank_at = |ids: &[TokenId], count: usize, place: usize| match ids
            .get(..count)
            .and_then(|ids| ids.get(place..))
        {
            Some([left, right, ..]) => self.merges.rank(*left, *right),
            _ => NEVER,
        };
        for (place, rank) in ranks.iter_mut().take(count).enumerate() {
            *rank = rank_at(&ids, count, place);
        }
        // ranks[i] is that of ids[i] and ids[i + 1].
        while let Some((place, rank)) = first_minimum(ranks.get(..count).unwrap_or_default())
            && let Some(merged) = self.merges.merged(rank)
        {
            if let Some(id) = ids.get_mut(place) {
                *id = merged;
            }
            ids.copy_within(place + 2..count, place + 1);
            ranks.copy_within(place + 2..count, place + 1);
            count -= 1;
            for place in place.saturating_sub(1)..=place {
                if let Some(rank) = ranks.get_mut(place) {
                    *rank = rank_at(&ids, count, place);
                }
            }
        }
        reserve(out, count)?;
        out.extend(ids.iter().take(count).filter(|id| **id != NONE));
        Ok(())
    }

    fn encode_long(&self, word: &[u8], scratch: &mut Scratch, out: &mut Vec<TokenId>) -> Result<()> {
        let Ok(count) = u32::try_from(word.len()) else {
            return Err(Error::Argument(text!("a word of {} bytes without a break", word.len())));
        };
        scratch.restart(word.len())?;
        let Scratch { parts, queue } = scratch;
        parts.extend(word.iter().zip(0..count).map(|(byte, place)| Part {
            id: self.byte_token(*byte),
            previous: place.wrapping_sub(1),
            next: if place + 1 == count { NO_PART } else { place + 1 },
        }));
        for place in 0..count {
            self.enqueue(parts, place, queue)?;
        }
        while let Some(Reverse(entry)) = queue.pop() {
            let (rank, place) = ((entry >> 32) as Rank, entry as u32);
            // The pair may have changed since it was queued; a rank belongs to one pair only.
            if self.rank_after(parts, place) != rank {
                continue;
            }
            let Some(merged) = self.merges.merged(rank) else { continue };
            let Some(previous) = merge_with_next(parts, place, merged) else { continue };
            self.enqueue(parts, previous, queue)?;
            self.enqueue(parts, place, queue)?;
        }
        let mut place = 0;
        while let Some(part) = parts.get(place as usize) {
            if part.id != NONE {
                reserve(out, 1)?;
                out.push(part.id);
            }
            place = part.next;
        }
        Ok(())
    }

    /// Queues the pair that begins at `place`, if it merges.
    fn enqueue(&self, parts: &[Part], place: u32, queue: &mut BinaryHeap<Reverse<u64>>) -> Result<()> {
        let rank = self.rank_after(parts, place);
        if rank != NEVER {
            queue.try_reserve(1).map_err(|_| no_memory::<u64>(1))?;
            queue.push(Reverse(u64::from(rank) << 32 | u64::from(place)));
        }
        Ok(())
    }

    /// How urgently the part at `place` merges with the one after it.
    fn rank_after(&self, parts: &[Part], place: u32) -> Rank {
        let Some(left) = parts.get(place as usize) else { return NEVER };
        let Some(right) = parts.get(left.next as usize) else { return NEVER };
        self.merges.rank(left.id, right.id)
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.merges.size_bytes() + self.index.as_ref().map_or(0, Index::size_bytes)
    }
}

/// The place and value of the least rank, the leftmost of equals.
fn first_minimum(ranks: &[Rank]) -> Option<(usize, Rank)> {
    ranks.iter().copied().enumerate().min_by_key(|(_, rank)| *rank)
}

/// Memory that the words of one text share.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    parts: Vec<Part>,
    /// `rank << 32 | place` of pairs that merge, or did when they were queued.
    queue: BinaryHeap<Reverse<u64>>,
}

impl Scratch {
    fn restart(&mut self, part_count: usize) -> Result<()> {
        self.parts.clear();
        self.queue.clear();
        reserve(&mut self.parts, part_count)?;
        self.queue.try_reserve(part_count).map_err(|_| no_memory::<u64>(part_count))
    }
}

/// A part of a word in a doubly linked list. One that was merged away is its own neighbour's no more.
#[derive(Clone, Copy, Debug)]
struct Part {
    id: TokenId,
    previous: u32,
    next: u32,
}

const NO_PART: u32 = u32::MAX;

/// Makes the part at `place` and the next one `merged`; returns the place before.
fn merge_with_next(parts: &mut [Part], place: u32, merged: TokenId) -> Option<u32> {
    let removed_place = parts.get(place as usize)?.next;
    let removed = parts.get_mut(removed_place as usize)?;
    let next = core::mem::replace(removed, Part { id: NONE, previous: NO_PART, next: NO_PART }).next;
    let part = parts.get_mut(place as usize)?;
    (part.id, part.next) = (merged, next);
    let previous = part.previous;
    if let Some(after) = parts.get_mut(next as usize) {
        after.previous = place;
    }
    Some(previous)
}
