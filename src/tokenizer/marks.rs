//! Floor 2. Finds the texts of special tokens in a text, before any word is cut.
//!
//! The longest text is looked for first, everywhere, then the next; of equally long ones that of lower id; what is
//! taken is not looked at again. So of two that overlap the longer one wins, even where it begins later.
#![forbid(unsafe_code)]

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::TokenId;
use super::vocabulary::{Kind, Shown, Vocabulary, no_memory, reserve, reserve_exact};
use crate::error::{Error, Result, text};

/// The texts that are looked for.
#[derive(Debug)]
pub(super) struct Marks {
    /// The tokens, ascending by their bytes: those that begin alike stand together, the shortest first.
    ids: Vec<TokenId>,
    /// Bit `b` is set if a text begins with byte `b`.
    begins: [u64; 4],
}

/// A special token in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it begins, in bytes. It is as long as its token.
    pub(super) start: usize,
    /// The token.
    pub(super) id: TokenId,
}

impl Marks {
    /// Collects the tokens of the wanted kinds.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if two of them have the same text; [`Error::Memory`].
    pub(super) fn of_kinds(vocabulary: &Vocabulary, wanted: &[Kind]) -> Result<Marks> {
        let is_wanted = |id: &TokenId| {
            let is_of_kind = vocabulary.kind(*id).is_some_and(|kind| wanted.contains(&kind));
            is_of_kind && !vocabulary.bytes(*id).is_empty()
        };
        let mut ids = Vec::new();
        reserve_exact(&mut ids, vocabulary.ids().filter(is_wanted).count())?;
        ids.extend(vocabulary.ids().filter(is_wanted));
        ids.sort_unstable_by_key(|id| vocabulary.bytes(*id));
        for pair in ids.windows(2) {
            if let [a, b] = pair
                && vocabulary.bytes(*a) == vocabulary.bytes(*b)
            {
                let shown = Shown(vocabulary.bytes(*a));
                return Err(Error::Inconsistent(text!("special tokens {a} and {b} are both {shown}")));
            }
        }
        let mut begins = [0; 4];
        for byte in ids.iter().filter_map(|id| vocabulary.bytes(*id).first()) {
            if let Some(bits) = begins.get_mut(usize::from(byte >> 6)) {
                *bits |= 1 << (byte & 63);
            }
        }
        Ok(Marks { ids, begins })
    }

    /// The special tokens of `text` in their order, none touching another.
    ///
    /// Each place has at most its longest candidate waiting, so memory is bounded by the text, and only those that
    /// lose to an overlapping one are tried again, shorter.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(super) fn find_in(&self, vocabulary: &Vocabulary, text: &[u8]) -> Result<Vec<Mark>> {
        let mut found = Vec::new();
        let mut waiting = BinaryHeap::new();
        for (start, byte) in text.iter().enumerate() {
            if self.can_begin(*byte) {
                self.await_candidate(vocabulary, text, start, usize::MAX, &mut waiting)?;
            }
        }
        if waiting.is_empty() {
            return Ok(found);
        }
        let mut taken = BitSet::with_room(text.len())?;
        while let Some((length, Reverse(id), Reverse(start))) = waiting.pop() {
            // What was taken before is at least as long, so it cannot hide between the first and the last byte.
            if taken.contains(start) {
                continue;
            }
            if taken.contains(start + length - 1) {
                self.await_candidate(vocabulary, text, start, length - 1, &mut waiting)?;
                continue;
            }
            (start..start + length).for_each(|place| taken.insert(place));
            reserve(&mut found, 1)?;
            found.push(Mark { start, id });
        }
        found.sort_unstable_by_key(|mark| mark.start);
        Ok(found)
    }

    fn can_begin(&self, byte: u8) -> bool {
        self.begins.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1)
    }

    /// Puts the longest token of at most `limit` bytes that `text` has at `start` among those that wait.
    fn await_candidate(
        &self,
        vocabulary: &Vocabulary,
        text: &[u8],
        start: usize,
        limit: usize,
        waiting: &mut BinaryHeap<Candidate>,
    ) -> Result<()> {
        let Some(id) = self.longest(vocabulary, text.get(start..).unwrap_or_default(), limit) else {
            return Ok(());
        };
        waiting.try_reserve(1).map_err(|_| no_memory::<Candidate>(1))?;
        waiting.push((vocabulary.bytes(id).len(), Reverse(id), Reverse(start)));
        Ok(())
    }

    /// The longest token of at most `limit` bytes with which `text` begins.
    fn longest(&self, vocabulary: &Vocabulary, text: &[u8], limit: usize) -> Option<TokenId> {
        let mut longest = None;
        let mut alike = self.ids.as_slice();
        for (depth, byte) in text.iter().take(limit).enumerate() {
            // All of `alike` share the first `depth` bytes of the text; one that is no longer comes before the others.
            let next = |id: &TokenId| vocabulary.bytes(*id).get(depth).copied();
            let from = alike.partition_point(|id| next(id) < Some(*byte));
            let to = alike.partition_point(|id| next(id) <= Some(*byte));
            alike = alike.get(from..to).unwrap_or_default();
            let Some(shortest) = alike.first() else { break };
            if vocabulary.bytes(*shortest).len() == depth + 1 {
                longest = Some(*shortest);
            }
        }
        longest
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.ids.capacity() * size_of::<TokenId>()
    }
}

/// Length, token and start: the greatest is taken first.
type Candidate = (usize, Reverse<TokenId>, Reverse<usize>);

/// A set of places in a text.
struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    fn with_room(places: usize) -> Result<BitSet> {
        let mut words = Vec::new();
        reserve_exact(&mut words, places.div_ceil(64))?;
        words.resize(places.div_ceil(64), 0);
        Ok(BitSet { words })
    }

    fn insert(&mut self, place: usize) {
        if let Some(word) = self.words.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn contains(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}
