//! Floor 2. SentencePiece's byte-pair encoding: a text begins as its characters, and the two neighbours that make the
//! token of the highest score become one. What is no token in the end is written in byte tokens.
//!
//! Spaces are a part of tokens, and nothing is cut beforehand. But where no token has a space behind anything else, no
//! merge crosses the end of a word, so words are merged one by one with the same result.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::fallback::Fallback;
use super::index::Index;
use super::merging::{Joins, NONE, Rank, Scratch};
use super::source::VocabularySource;
use super::special::Role;
use super::vocabulary::{Vocabulary, Writing, append_unescaped, reserve, reserve_exact};
use crate::error::Result;

/// The SentencePiece model of one vocabulary.
#[derive(Debug)]
pub(super) struct SentencePiece {
    index: Index,
    /// How urgently each token is made: the higher its score, the lower.
    ranks: Vec<Rank>,
    fallback: Fallback,
    /// Whether a space goes in front of a text.
    prefix: bool,
    /// Whether words can be merged by themselves.
    in_words: bool,
}

impl SentencePiece {
    /// Reads a vocabulary and its scores.
    ///
    /// # Errors
    /// [`Error::Inconsistent`](crate::Error::Inconsistent) for tokens that make no sense,
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn read<'a, S, T, F>(
        source: &VocabularySource<'a, S, T, F>,
    ) -> Result<(Vocabulary, SentencePiece)>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
        F: Iterator<Item = f32> + Clone,
    {
        let (vocabulary, index) =
            Vocabulary::read(source.tokens.clone(), source.types.clone(), Writing::Characters)?;
        let mut ranks = Vec::new();
        reserve_exact(&mut ranks, vocabulary.count())?;
        ranks.extend(source.scores(vocabulary.count())?.map(rank));
        let unknown = source.role(Role::Unknown, &vocabulary);
        let fallback = Fallback::find(&vocabulary, &index, unknown);
        let in_words = vocabulary.ids().all(|id| {
            // Special tokens are not merged from anything.
            let bytes = vocabulary.bytes(id);
            index.find(&vocabulary, bytes) != Some(id)
                || !bytes.windows(2).any(|pair| pair.first() != Some(&b' ') && pair.last() == Some(&b' '))
        });
        let prefix = source.add_space_prefix.unwrap_or(true);
        Ok((vocabulary, SentencePiece { index, ranks, fallback, prefix, in_words }))
    }

    /// Whether a space goes in front of a text.
    pub(super) fn adds_prefix(&self) -> bool {
        self.prefix
    }

    /// Appends the tokens of `text`, which holds no special token; `begins` says that nothing but a special token is in
    /// front of it.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a text of 4 GiB, [`Error::Memory`](crate::Error::Memory).
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        begins: bool,
        scratch: &mut Scratch,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let mut spaced = Vec::new();
        reserve(&mut spaced, text.len() + 1)?;
        if self.prefix && begins {
            spaced.push(b' ');
        }
        append_unescaped(text.as_bytes(), &mut spaced)?;
        let is_same_word = |left: &u8, right: &u8| !self.in_words || *left == b' ' || *right != b' ';
        let joins = Pieces { model: self, vocabulary };
        for word in spaced.chunk_by(is_same_word) {
            let find = |character: &[u8]| self.index.find(vocabulary, character).unwrap_or(NONE);
            scratch.begin_characters(word, find)?;
            scratch.merge(&joins, word)?;
            for (id, bytes) in scratch.merged(word) {
                self.fallback.push(id, bytes, out)?;
            }
        }
        Ok(())
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.index.size_bytes() + self.ranks.capacity() * size_of::<Rank>()
    }
}

/// Two neighbours join if their text is a token.
struct Pieces<'a> {
    model: &'a SentencePiece,
    vocabulary: &'a Vocabulary,
}

impl Joins for Pieces<'_> {
    fn join(&self, _: TokenId, _: TokenId, bytes: &[u8]) -> Option<(Rank, TokenId)> {
        if bytes.len() > self.vocabulary.longest() {
            return None;
        }
        let id = self.model.index.find(self.vocabulary, bytes)?;
        Some((self.model.ranks.get(id as usize).copied()?, id))
    }
}

/// Lower for higher scores, the same for equal ones, and never [`NEVER`](super::merging::NEVER). No number is the
/// lowest score.
fn rank(score: f32) -> Rank {
    // Zero has two spellings.
    let score = if score.is_nan() { f32::NEG_INFINITY } else { score + 0.0 };
    let bits = score.to_bits();
    // Numbers ascend as their bits do, negative ones descend.
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::merging::NEVER;

    #[test]
    fn ranks_descend_as_scores_ascend() {
        let scores =
            [f32::NEG_INFINITY, f32::MIN, -1e6, -1.0, -1e-40, 0.0, 1e-40, 0.5, f32::MAX, f32::INFINITY];
        assert!(scores.windows(2).all(|pair| rank(pair[0]) > rank(pair[1])));
        assert_eq!((rank(-0.0), rank(f32::NAN)), (rank(0.0), rank(f32::NEG_INFINITY)));
        assert!(rank(-f32::NAN) < NEVER);
    }
}
