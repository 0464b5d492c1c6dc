//! Floor 2. All tokens that a text begins with, found in one walk along it.
//!
//! Nodes lie in the order of their depth, the children of one side by side and ascending by their byte. A walk never
//! goes deeper than [`DEPTH_MAX`], so its time does not depend on what a file calls a token.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::index::Index;
use super::merging::NONE;
use super::vocabulary::{Vocabulary, reserve, reserve_exact};
use crate::error::Result;

/// A longer token is not found; those of any real vocabulary are shorter by far.
const DEPTH_MAX: usize = 256;

/// The tokens of a vocabulary, by their bytes.
#[derive(Debug)]
pub(super) struct Trie {
    /// The byte that leads to each node.
    bytes: Vec<u8>,
    /// The token that ends at each node, or [`NONE`].
    tokens: Vec<TokenId>,
    /// Where the children of each node begin; they end where those of the next one begin.
    children: Vec<u32>,
}

impl Trie {
    /// Collects the tokens that can be looked up.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn of(vocabulary: &Vocabulary, index: &Index) -> Result<Trie> {
        let is_wanted = |id: &TokenId| {
            let bytes = vocabulary.bytes(*id);
            (1..=DEPTH_MAX).contains(&bytes.len()) && index.find(vocabulary, bytes) == Some(*id)
        };
        let mut ids = Vec::new();
        reserve_exact(&mut ids, vocabulary.ids().filter(is_wanted).count())?;
        ids.extend(vocabulary.ids().filter(is_wanted));
        ids.sort_unstable_by_key(|id| (vocabulary.bytes(*id), *id));

        let mut trie = Trie { bytes: Vec::new(), tokens: Vec::new(), children: Vec::new() };
        // For each node the range of tokens below it, and how deep it is.
        let mut ranges = Vec::new();
        trie.add(0)?;
        reserve(&mut ranges, 1)?;
        ranges.push((0, ids.len(), 0));
        let mut node = 0;
        while let Some(&(from, to, depth)) = ranges.get(node) {
            if let Some(slot) = trie.children.get_mut(node) {
                *slot = ranges.len() as u32;
            }
            let mut below = ids.get(from..to).unwrap_or_default();
            while let Some(first) = below.first().map(|id| vocabulary.bytes(*id)) {
                let Some(byte) = first.get(depth).copied() else {
                    // The token of the node itself is in front.
                    if let Some(slot) = trie.tokens.get_mut(node) {
                        *slot = below.first().copied().unwrap_or(NONE);
                    }
                    below = below.get(1..).unwrap_or_default();
                    continue;
                };
                let count = below.partition_point(|id| vocabulary.bytes(*id).get(depth) == Some(&byte));
                let start = to - below.len();
                trie.add(byte)?;
                reserve(&mut ranges, 1)?;
                ranges.push((start, start + count, depth + 1));
                below = below.get(count..).unwrap_or_default();
            }
            node += 1;
        }
        reserve(&mut trie.children, 1)?;
        trie.children.push(ranges.len() as u32);
        Ok(trie)
    }

    fn add(&mut self, byte: u8) -> Result<()> {
        reserve(&mut self.bytes, 1)?;
        reserve(&mut self.tokens, 1)?;
        reserve(&mut self.children, 1)?;
        self.bytes.push(byte);
        self.tokens.push(NONE);
        self.children.push(0);
        Ok(())
    }

    /// The tokens that `text` begins with and their lengths in bytes, the shortest first.
    pub(super) fn prefixes(&self, text: &[u8]) -> impl Iterator<Item = (usize, TokenId)> {
        let mut node = 0;
        text.iter()
            .zip(1..)
            .map_while(move |(byte, length)| {
                node = self.child(node, *byte)?;
                Some((length, self.tokens.get(node).copied().unwrap_or(NONE)))
            })
            .filter(|(_, id)| *id != NONE)
    }

    fn child(&self, node: usize, byte: u8) -> Option<usize> {
        let from = *self.children.get(node)? as usize;
        let to = *self.children.get(node + 1)? as usize;
        let bytes = self.bytes.get(from..to)?;
        // Most nodes have few children.
        let place = match bytes.len() {
            0..=8 => bytes.iter().position(|other| *other == byte)?,
            _ => bytes.binary_search(&byte).ok()?,
        };
        Some(from + place)
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.tokens.capacity() * size_of::<TokenId>()
            + self.children.capacity() * size_of::<u32>()
    }
}
