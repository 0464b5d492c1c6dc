//! Floor 2. Merging neighbours: again and again the most urgent pair of neighbours in a word becomes one part, the
//! leftmost of equals, until no pair is left that joins. What joins, and how urgently, is the matter of a [`Joins`].
//!
//! A word of few parts is merged in place, looking at every pair. A long one keeps its parts in a linked list and its
//! pairs in a queue, so a text without a single space costs n log n.
#![forbid(unsafe_code)]

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::TokenId;
use super::vocabulary::{no_memory, reserve};
use crate::error::{Error, Result, text};

/// No token: what a part stands for has none.
pub(super) const NONE: TokenId = TokenId::MAX;

/// How urgent a pair is: the lowest rank goes first.
pub(super) type Rank = u32;

/// The rank of a pair that does not join.
pub(super) const NEVER: Rank = Rank::MAX;

/// Up to so many parts, looking at every pair is quicker than a queue.
const SHORT_WORD: usize = 32;

/// Which neighbours become one.
pub(super) trait Joins {
    /// How urgently `left` and `right`, whose bytes together are `bytes`, become one, and which token that is.
    fn join(&self, left: TokenId, right: TokenId, bytes: &[u8]) -> Option<(Rank, TokenId)>;
}

/// Memory that the words of one text share.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    parts: Vec<Part>,
    /// `rank << 32 | place` of pairs that join, or did when they were queued.
    queue: BinaryHeap<Reverse<u64>>,
}

/// A part of a word, in a doubly linked list. One that was merged away is its own neighbour's no more.
#[derive(Clone, Copy, Debug)]
struct Part {
    id: TokenId,
    /// Where it begins in the word. It ends where the next one begins.
    start: u32,
    previous: u32,
    next: u32,
    /// How urgently it joins the next part, and what they become.
    rank: Rank,
    joined: TokenId,
}

const NO_PART: u32 = u32::MAX;

impl Scratch {
    /// Merges the parts of `word`, which are given as their lengths in bytes and their tokens, and hands out what is
    /// left: tokens and their bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] for a word of 4 GiB, [`Error::Memory`], what `emit` returns.
    pub(super) fn merge(
        &mut self,
        joins: &impl Joins,
        word: &[u8],
        parts: impl Iterator<Item = (usize, TokenId)>,
        mut emit: impl FnMut(TokenId, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if u32::try_from(word.len()).is_err() {
            return Err(Error::Argument(text!("a word of {} bytes without a break", word.len())));
        }
        self.parts.clear();
        self.queue.clear();
        let mut start = 0;
        for (length, id) in parts {
            let place = self.parts.len() as u32;
            reserve(&mut self.parts, 1)?;
            self.parts.push(Part {
                id,
                start,
                previous: place.wrapping_sub(1),
                next: place + 1,
                rank: NEVER,
                joined: NONE,
            });
            start += length as u32;
        }
        if self.parts.len() <= SHORT_WORD {
            self.merge_short(joins, word);
        } else {
            self.merge_long(joins, word)?;
        }
        let mut place = 0;
        while let Some(part) = self.parts.get(place as usize) {
            let end = self.start(part.next, word);
            emit(part.id, word.get(part.start as usize..end).unwrap_or_default())?;
            place = part.next;
        }
        Ok(())
    }

    /// Where the part at `place` begins; behind the last one, the end of the word.
    fn start(&self, place: u32, word: &[u8]) -> usize {
        self.parts.get(place as usize).map_or(word.len(), |part| part.start as usize)
    }

    /// Looks up how the part at `place` joins the next one.
    fn look(&mut self, joins: &impl Joins, word: &[u8], place: u32) {
        let Some(left) = self.parts.get(place as usize).copied() else { return };
        let joined = self.parts.get(left.next as usize).copied().and_then(|right| {
            let end = self.start(right.next, word);
            joins.join(left.id, right.id, word.get(left.start as usize..end).unwrap_or_default())
        });
        if let Some(part) = self.parts.get_mut(place as usize) {
            (part.rank, part.joined) = joined.unwrap_or((NEVER, NONE));
        }
    }

    /// Here the parts lie side by side: the next one of each is behind it.
    fn merge_short(&mut self, joins: &impl Joins, word: &[u8]) {
        for place in 0..self.parts.len() as u32 {
            self.look(joins, word, place);
        }
        while let Some((place, part)) = self.parts.iter_mut().enumerate().min_by_key(|(_, part)| part.rank)
            && part.rank != NEVER
        {
            part.id = part.joined;
            self.parts.remove(place + 1);
            for (place, part) in (place as u32 + 1..).zip(self.parts.iter_mut().skip(place + 1)) {
                part.next = place + 1;
            }
            let place = place as u32;
            self.look(joins, word, place);
            if place > 0 {
                self.look(joins, word, place - 1);
            }
        }
    }

    fn merge_long(&mut self, joins: &impl Joins, word: &[u8]) -> Result<()> {
        let count = self.parts.len();
        self.queue.try_reserve(count).map_err(|_| no_memory::<u64>(count))?;
        for place in 0..count as u32 {
            self.enqueue(joins, word, place)?;
        }
        while let Some(Reverse(entry)) = self.queue.pop() {
            let (rank, place) = ((entry >> 32) as Rank, entry as u32);
            // The pair may have changed since it was queued. Another pair of this rank at this place is as good.
            let Some(part) = self.parts.get(place as usize).copied().filter(|part| part.rank == rank) else {
                continue;
            };
            let Some(removed) = self.parts.get_mut(part.next as usize) else { continue };
            (removed.rank, removed.previous) = (NEVER, NO_PART);
            let next = core::mem::replace(&mut removed.next, NO_PART);
            if let Some(part) = self.parts.get_mut(place as usize) {
                (part.id, part.next) = (part.joined, next);
            }
            if let Some(after) = self.parts.get_mut(next as usize) {
                after.previous = place;
            }
            self.enqueue(joins, word, part.previous)?;
            self.enqueue(joins, word, place)?;
        }
        Ok(())
    }

    /// Queues the pair that begins at `place`, if it joins.
    fn enqueue(&mut self, joins: &impl Joins, word: &[u8], place: u32) -> Result<()> {
        self.look(joins, word, place);
        if let Some(part) = self.parts.get(place as usize)
            && part.rank != NEVER
        {
            self.queue.try_reserve(1).map_err(|_| no_memory::<u64>(1))?;
            self.queue.push(Reverse(u64::from(part.rank) << 32 | u64::from(place)));
        }
        Ok(())
    }
}
