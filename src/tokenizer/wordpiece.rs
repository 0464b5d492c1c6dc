//! Floor 2. BERT's WordPiece: words are cut at white space and punctuation, and each is written in the longest tokens
//! from its front; one that cannot be written so is the unknown token.
//!
//! A text is changed on the way, and does not come back: characters lose their accents and case where the metadata
//! says so, controls are left out, white space is one space. Accents are what has no width of its own in a canonical
//! decomposition, as BERT's own tokenizer has it: a syllable of Hangul is written in its letters, and vowel signs that
//! take room are kept.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::source::VocabularySource;
use super::special::Role;
use super::trie::Trie;
use super::unicode::{Category, decompose};
use super::vocabulary::{Vocabulary, Writing, reserve};
use crate::error::Result;

/// The WordPiece model of one vocabulary.
#[derive(Debug)]
pub(super) struct WordPiece {
    /// Tokens that begin a word have a space in front.
    trie: Trie,
    unknown: Option<TokenId>,
    lowercase: bool,
    strip_accents: bool,
}

impl WordPiece {
    /// Reads a vocabulary.
    ///
    /// # Errors
    /// [`Error::Inconsistent`](crate::Error::Inconsistent) for tokens that make no sense,
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn read<'a, S, T, F>(source: &VocabularySource<'a, S, T, F>) -> Result<(Vocabulary, WordPiece)>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
    {
        let (vocabulary, index) =
            Vocabulary::read(source.tokens.clone(), source.types.clone(), Writing::Characters)?;
        let trie = Trie::of(&vocabulary, &index)?;
        let lowercase = source.lowercase.unwrap_or(true);
        let unknown = source.role(Role::Unknown, &vocabulary);
        let strip_accents = source.strip_accents.unwrap_or(lowercase);
        Ok((vocabulary, WordPiece { trie, unknown, lowercase, strip_accents }))
    }

    /// Appends the tokens of `text`, which holds no special token.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<()> {
        // A space and the word so far.
        let mut word = Vec::new();
        reserve(&mut word, 1)?;
        word.push(b' ');
        for c in text.chars() {
            let parts = if self.strip_accents { decompose(c) } else { [Some(c), None, None] };
            for c in parts.into_iter().flatten() {
                self.character(c, &mut word, out)?;
            }
        }
        self.end_word(&mut word, out)
    }

    /// Appends a character to `word`, whose tokens are appended to `out` where it ends.
    fn character(&self, c: char, word: &mut Vec<u8>, out: &mut Vec<TokenId>) -> Result<()> {
        let category = Category::of(c);
        match category {
            Category::Space => return self.end_word(word, out),
            Category::Control => return Ok(()),
            Category::Mark if self.strip_accents => return Ok(()),
            _ if c == char::REPLACEMENT_CHARACTER => return Ok(()),
            _ => {}
        }
        let stands_alone = c.is_ascii_punctuation() || category == Category::Punctuation || is_chinese(c);
        if stands_alone {
            self.end_word(word, out)?;
        }
        let c = if self.lowercase { c.to_lowercase().next().unwrap_or(c) } else { c };
        let mut bytes = [0; 4];
        // Tokens have spaces where they are written with this character, so the text has to.
        let bytes = if c == '\u{2581}' { b" " } else { c.encode_utf8(&mut bytes).as_bytes() };
        reserve(word, bytes.len())?;
        word.extend(bytes);
        if stands_alone {
            self.end_word(word, out)?;
        }
        Ok(())
    }

    /// Appends the tokens of `word`, and leaves the space that begins the next one.
    fn end_word(&self, word: &mut Vec<u8>, out: &mut Vec<TokenId>) -> Result<()> {
        let before = out.len();
        let mut rest = if word.len() > 1 { word.as_slice() } else { &[] };
        while !rest.is_empty() {
            let Some((length, id)) = self.trie.prefixes(rest).last() else {
                out.truncate(before);
                reserve(out, 1)?;
                out.extend(self.unknown);
                break;
            };
            reserve(out, 1)?;
            out.push(id);
            rest = rest.get(length..).unwrap_or_default();
        }
        word.truncate(1);
        Ok(())
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.trie.size_bytes()
    }
}

/// Whether BERT takes `c` for a word by itself. The last range of extensions begins where the reference says, which is
/// later than the block does.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}' | '\u{2a700}'..='\u{2b73f}'
        | '\u{2b740}'..='\u{2b81f}' | '\u{2b920}'..='\u{2ceaf}' | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
}
