//! Floor 2. Byte-pair encoding: words begin as their bytes, or as their characters where the family is written so, and
//! are merged by the ranks of the merges.
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;

use super::TokenId;
use super::fallback::Fallback;
use super::index::Index;
use super::merges::Merges;
use super::merging::{Joins, NONE, Rank, Scratch};
use super::pretokenize::Family;
use super::source::VocabularySource;
use super::vocabulary::{Vocabulary, Writing, no_memory, reserve};
use crate::error::{Error, Result, text};

/// The byte-pair encoding of one vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    family: &'static Family,
    /// The token of each byte.
    bytes: Fallback,
    merges: Merges,
    /// Only in families that take whole words, or are written in characters: tokens by their bytes.
    index: Option<Index>,
}

impl Bpe {
    /// Reads a vocabulary and its merges; `pre` names the family.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown pre-tokeniser, [`Error::Inconsistent`] for tokens or merges that make no
    /// sense, [`Error::Memory`].
    pub(super) fn read<'a, S, T, F>(
        source: &VocabularySource<'a, S, T, F>,
        pre: Option<&str>,
    ) -> Result<(Vocabulary, Bpe)>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
    {
        let family = Family::named(pre)?;
        let writing = if family.in_characters { Writing::Characters } else { Writing::Bytes };
        let (vocabulary, index) = Vocabulary::read(source.tokens.clone(), source.types.clone(), writing)?;
        let merges = source.merges.clone().ok_or_else(|| {
            Error::Inconsistent(text!("the vocabulary has no merges: tokenizer.ggml.merges is missing"))
        })?;
        let merges = Merges::read(merges, &vocabulary, &index, writing)?;
        let bytes = match writing {
            Writing::Bytes => Fallback::of_bytes(|byte| index.find(&vocabulary, &[byte])),
            Writing::Characters => Fallback::find(&vocabulary, &index, None),
        };
        let index = (family.whole_words || family.in_characters).then_some(index);
        Ok((vocabulary, Bpe { family, bytes, merges, index }))
    }

    /// How the vocabulary's models were trained to see a text.
    pub(super) fn family(&self) -> &'static Family {
        self.family
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
        let mut spaced = String::new();
        let mut text = text;
        if self.family.in_characters && text.contains(ESCAPED_SPACE_CHARACTER) {
            // Tokens have spaces where they are written with this character, so the text has to.
            spaced.try_reserve(text.len()).map_err(|_| no_memory::<u8>(text.len()))?;
            spaced.extend(text.chars().map(|c| if c == ESCAPED_SPACE_CHARACTER { ' ' } else { c }));
            text = &spaced;
        }
        for word in self.family.words(text) {
            let word = word.as_bytes();
            let whole = self.family.whole_words || self.family.in_characters && word.first() == Some(&b'\n');
            let find = |bytes: &[u8]| self.index.as_ref().and_then(|index| index.find(vocabulary, bytes));
            if whole && let Some(id) = find(word) {
                reserve(out, 1)?;
                out.push(id);
                continue;
            }
            if self.family.in_characters {
                scratch.begin_characters(word, |character| find(character).unwrap_or(NONE))?;
            } else {
                scratch.begin_bytes(word, |byte| self.bytes.get(byte))?;
            }
            scratch.merge(&self.merges, word)?;
            for (id, bytes) in scratch.merged(word) {
                self.bytes.push(id, bytes, out)?;
            }
        }
        Ok(())
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.merges.size_bytes() + self.index.as_ref().map_or(0, Index::size_bytes)
    }
}

const ESCAPED_SPACE_CHARACTER: char = '\u{2581}';

impl Joins for Merges {
    fn join(&self, left: TokenId, right: TokenId, _: &[u8]) -> Option<(Rank, TokenId)> {
        let rank = self.rank(left, right);
        self.merged(rank).map(|id| (rank, id))
    }
}
