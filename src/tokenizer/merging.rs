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

impl Part {
    /// The one that stands at `place`, between its neighbours, and begins at byte `start` of the word.
    fn new(place: u32, start: u32, id: TokenId) -> Part {
        let (previous, next) = (place.wrapping_sub(1), place.wrapping_add(1));
        Part { id, start, previous, next, rank: NEVER, joined: NONE }
    }
}

const NO_PART: u32 = u32::MAX;

impl Scratch {
    /// Begins with the bytes of `word`, whose tokens `find` knows.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(super) fn begin_bytes(&mut self, word: &[u8], find: impl Fn(u8) -> TokenId) -> Result<()> {
        self.begin(word.len())?;
        self.parts.extend((0..).zip(word).map(|(place, byte)| Part::new(place, place, find(*byte))));
        Ok(())
    }

    /// Begins with the characters of `word`, whose tokens `find` knows.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(super) fn begin_characters(&mut self, word: &[u8], find: impl Fn(&[u8]) -> TokenId) -> Result<()> {
        let goes_on = |byte: &u8| byte & 0xc0 == 0x80;
        self.begin(word.iter().filter(|byte| !goes_on(byte)).count() + 1)?;
        let mut start = 0;
        for character in word.chunk_by(|_, byte| goes_on(byte)) {
            self.parts.push(Part::new(self.parts.len() as u32, start, find(character)));
            start += character.len() as u32;
        }
        Ok(())
    }

    fn begin(&mut self, parts: usize) -> Result<()> {
        self.parts.clear();
        self.queue.clear();
        reserve(&mut self.parts, parts)
    }

    /// Merges the parts of `word`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a word of 4 GiB, [`Error::Memory`].
    pub(super) fn merge(&mut self, joins: &impl Joins, word: &[u8]) -> Result<()> {
        if u32::try_from(word.len()).is_err() {
            return Err(Error::Argument(text!("a word of {} bytes without a break", word.len())));
        }
        if self.parts.len() > SHORT_WORD {
            return self.merge_long(joins, word);
        }
        self.merge_short(joins, word);
        Ok(())
    }

    /// What is left of the parts of `word`: tokens and their bytes.
    pub(super) fn merged<'a>(&'a self, word: &'a [u8]) -> impl Iterator<Item = (TokenId, &'a [u8])> {
        let mut place = 0;
        core::iter::from_fn(move || {
            let part = self.parts.get(place as usize)?;
            place = part.next;
            Some((part.id, word.get(part.start as usize..self.start(place, word)).unwrap_or_default()))
        })
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
