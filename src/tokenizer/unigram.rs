//! Floor 2. SentencePiece's unigram model: of all ways to write a text in tokens, the one with the highest sum of their
//! scores. What no token says is the unknown token, at a score below all others.
//!
//! One pass over the text: for each place, the best way to get there is known before the tokens that begin there are
//! looked at.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::charsmap::Charsmap;
use super::merging::NONE;
use super::source::VocabularySource;
use super::special::Role;
use super::trie::Trie;
use super::vocabulary::{ESCAPED_SPACE, Kind, Vocabulary, Writing, append_unescaped, reserve, reserve_exact};
use crate::error::Result;

/// How far the unknown token's score is below the lowest one.
const UNKNOWN_PENALTY: f32 = 10.0;

/// The unigram model of one vocabulary.
#[derive(Debug)]
pub(super) struct Unigram {
    trie: Trie,
    scores: Vec<f32>,
    charsmap: Charsmap,
    unknown: TokenId,
    unknown_score: f32,
    /// Whether a space goes in front of a text.
    prefix: bool,
    /// Whether spaces in a row are one, and those at the ends none.
    merge_spaces: bool,
}

impl Unigram {
    /// Reads a vocabulary, its scores and its normalisation.
    ///
    /// # Errors
    /// [`Error::Inconsistent`](crate::Error::Inconsistent) for what makes no sense,
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn read<'a, S, T, F>(source: &VocabularySource<'a, S, T, F>) -> Result<(Vocabulary, Unigram)>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
        F: Iterator<Item = f32> + Clone,
    {
        let (vocabulary, index) =
            Vocabulary::read(source.tokens.clone(), source.types.clone(), Writing::Characters)?;
        let trie = Trie::of(&vocabulary, &index)?;
        let mut scores = Vec::new();
        reserve_exact(&mut scores, vocabulary.count())?;
        scores.extend(source.scores(vocabulary.count())?.map(|score| {
            // Sums of such numbers are numbers.
            if score.is_nan() { f32::MIN } else { score.clamp(f32::MIN, f32::MAX) }
        }));
        let is_normal = |id: &TokenId| vocabulary.kind(*id) == Some(Kind::Normal);
        let lowest = vocabulary
            .ids()
            .zip(&scores)
            .filter(|(id, _)| is_normal(id))
            .map(|(_, score)| *score)
            .fold(f32::MAX, f32::min);
        // The score of user-defined tokens, so that they win.
        for (id, score) in vocabulary.ids().zip(&mut scores) {
            if vocabulary.kind(id) == Some(Kind::UserDefined) {
                *score = 0.0;
            }
        }
        let unigram = Unigram {
            trie,
            scores,
            charsmap: Charsmap::read(source.charsmap.unwrap_or_default())?,
            unknown: source.role(Role::Unknown, &vocabulary).unwrap_or(NONE),
            unknown_score: lowest - UNKNOWN_PENALTY,
            prefix: source.add_space_prefix.unwrap_or(false),
            merge_spaces: source.remove_extra_whitespaces.unwrap_or(false),
        };
        Ok((vocabulary, unigram))
    }

    /// Whether a space goes in front of a text.
    pub(super) fn adds_prefix(&self) -> bool {
        self.prefix
    }

    /// Appends the tokens of `text`, which holds no special token; `begins` says that nothing but a special token is in
    /// front of it.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn encode(&self, text: &str, begins: bool, out: &mut Vec<TokenId>) -> Result<()> {
        let text = self.normalise(text, begins)?;
        let mut ways = Vec::new();
        reserve_exact(&mut ways, text.len() + 1)?;
        ways.resize(text.len() + 1, Way { score: f64::MIN, from: 0, id: self.unknown });
        if let Some(first) = ways.first_mut() {
            first.score = 0.0;
        }
        let mut place = 0;
        while let Some(first) = text.get(place) {
            let character = character_length(*first).min(text.len() - place);
            let so_far = ways.get(place).map_or(f64::MIN, |way| way.score);
            let mut take = |length: usize, id, score: f32| {
                let score = so_far + f64::from(score);
                if let Some(way) = ways.get_mut(place + length).filter(|way| score > way.score) {
                    *way = Way { score, from: place, id };
                }
            };
            let mut is_known = false;
            for (length, id) in self.trie.prefixes(text.get(place..).unwrap_or_default()) {
                is_known |= length == character;
                take(length, id, self.scores.get(id as usize).copied().unwrap_or(f32::MIN));
            }
            if !is_known {
                take(character, self.unknown, self.unknown_score);
            }
            place += character;
        }
        let before = out.len();
        let mut end = text.len();
        let mut last = None;
        while let Some(way) = ways.get(end).filter(|_| end > 0) {
            // What is unknown in a row is unknown once.
            let is_repeated = way.id == self.unknown && last == Some(self.unknown);
            if !is_repeated && way.id != NONE {
                reserve(out, 1)?;
                out.push(way.id);
            }
            last = Some(way.id);
            end = way.from;
        }
        if let Some(found) = out.get_mut(before..) {
            found.reverse();
        }
        Ok(())
    }

    /// The text with what the map replaces, its spaces as the metadata wants them.
    fn normalise(&self, text: &str, begins: bool) -> Result<Vec<u8>> {
        let mut normal = Vec::new();
        reserve(&mut normal, text.len() + 1)?;
        let mut needs_prefix = self.prefix && begins;
        let mut in_word = !begins;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (length, piece) = self
                .charsmap
                .replacement(rest.as_bytes())
                .filter(|(length, _)| rest.is_char_boundary(*length))
                .unwrap_or((first.len_utf8(), rest.as_bytes().get(..first.len_utf8()).unwrap_or_default()));
            reserve(&mut normal, 2 * piece.len())?;
            for byte in piece {
                if *byte != b' ' {
                    if !in_word && (needs_prefix || self.merge_spaces) {
                        normal.push(b' ');
                        needs_prefix = false;
                    }
                    in_word = true;
                    normal.push(*byte);
                } else {
                    in_word = false;
                    if !self.merge_spaces {
                        normal.push(b' ');
                    }
                }
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        // Tokens have spaces where they are written with this character, so the text has to.
        if normal.windows(ESCAPED_SPACE.len()).any(|bytes| bytes == ESCAPED_SPACE) {
            let escaped = core::mem::take(&mut normal);
            append_unescaped(&escaped, &mut normal)?;
        }
        Ok(normal)
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.trie.size_bytes() + self.scores.capacity() * size_of::<f32>() + self.charsmap.size_bytes()
    }
}

/// The best way to get to a place in a text.
#[derive(Clone, Copy)]
struct Way {
    /// The sum of the scores so far: of many, hence in double precision.
    score: f64,
    /// Where the last token begins.
    from: usize,
    /// The last token.
    id: TokenId,
}

/// The length of the character that begins with `first`.
fn character_length(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}
