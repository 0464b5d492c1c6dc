//! Floor 2. Text to tokens and back.
//!
//! ```text
//!   text -> marks (special tokens) -> bpe: pretokenize (words), merging by rank            -> ids
//!                                  -> sentencepiece: characters, merging by score
//!                                  -> unigram: charsmap, the best sum of scores
//!                                  -> wordpiece: words, the longest tokens
//!   ids  -> vocabulary (bytes of each) -> utf8 (whole characters) -> text
//! ```
//! A vocabulary comes from a file that is not trusted: whatever it holds, building a tokenizer gives one that works
//! or an error. Encoding allocates; what is done between two tokens (bytes of a token, end of an answer, UTF-8) does not.
#![forbid(unsafe_code)]

mod alphabet;
mod bpe;
mod charsmap;
mod fallback;
mod index;
mod marks;
mod merges;
mod merging;
mod pretokenize;
mod sentencepiece;
mod source;
mod special;
#[cfg(test)]
mod tests;
mod trie;
mod unicode;
mod unicode_tables;
mod unigram;
mod utf8;
mod vocabulary;
mod wordpiece;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

pub use source::VocabularySource;
pub use special::Role;
pub use utf8::Utf8Stream;

use crate::error::{Error, Result, text};
use crate::gguf;
use bpe::Bpe;
use marks::Marks;
use merging::Scratch;
use sentencepiece::SentencePiece;
use special::{Around, Special};
use unigram::Unigram;
use vocabulary::{Kind, Vocabulary, reserve};
use wordpiece::WordPiece;

/// A token: its place in the vocabulary.
pub type TokenId = u32;

/// What [`Tokenizer::encode`] does beside the text itself. The default is the text as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add BOS and EOS where the model wants them.
    pub add_special: bool,
    /// Take the texts of control tokens, such as `<|im_start|>`, for those tokens. Never do so for text from
    /// strangers: they could end the turn and speak for someone else.
    pub parse_special: bool,
}

/// The tokenizer of one model. It is immutable, so threads may share it.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    special: Special,
    /// Found in every text: what users defined.
    plain_marks: Marks,
    /// Found where special tokens are asked for: the same and the control tokens.
    all_marks: Marks,
    model: Model,
}

/// How text becomes tokens: one file each.
#[derive(Debug)]
enum Model {
    Bpe(Bpe),
    SentencePiece(SentencePiece),
    Unigram(Unigram),
    WordPiece(WordPiece),
}

impl Model {
    /// Reads the vocabulary of the model that `source` names.
    fn read<'a, S, T, F>(source: &VocabularySource<'a, S, T, F>) -> Result<(Vocabulary, Model)>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
        F: Iterator<Item = f32> + Clone,
    {
        Ok(match source.model {
            "gpt2" => Bpe::read(source, source.pre).map(|(vocabulary, bpe)| (vocabulary, Model::Bpe(bpe)))?,
            "gemma4" => {
                Bpe::read(source, Some("gemma4")).map(|(vocabulary, bpe)| (vocabulary, Model::Bpe(bpe)))?
            }
            "llama" => SentencePiece::read(source)
                .map(|(vocabulary, model)| (vocabulary, Model::SentencePiece(model)))?,
            "t5" => Unigram::read(source).map(|(vocabulary, model)| (vocabulary, Model::Unigram(model)))?,
            "bert" => {
                WordPiece::read(source).map(|(vocabulary, model)| (vocabulary, Model::WordPiece(model)))?
            }
            other => {
                return Err(Error::Unsupported(text!(
                    "tokenizer {other:?} (tokenizer.ggml.model); known are gpt2, llama, t5, bert, gemma4"
                )));
            }
        })
    }

    /// What goes around a text.
    fn around(&self) -> Around {
        let (bos, eos, last) = match self {
            Model::Bpe(bpe) if bpe.family().in_characters => (None, Some(false), Role::Eos),
            Model::Bpe(bpe) => (Some(bpe.family().adds_bos), Some(false), Role::Eos),
            Model::SentencePiece(_) => (Some(true), Some(false), Role::Eos),
            Model::Unigram(_) => (Some(false), Some(true), Role::Eos),
            Model::WordPiece(_) => (None, None, Role::Separator),
        };
        Around { bos, eos, last }
    }

    /// Whether the first token of a text begins with a space that the text does not have.
    fn adds_prefix(&self) -> bool {
        match self {
            Model::Bpe(_) => false,
            Model::SentencePiece(model) => model.adds_prefix(),
            Model::Unigram(model) => model.adds_prefix(),
            Model::WordPiece(_) => true,
        }
    }

    /// Appends the tokens of `text`; `begins` says that nothing but a special token is in front of it.
    fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        begins: bool,
        scratch: &mut Scratch,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        match self {
            Model::Bpe(bpe) => bpe.encode(vocabulary, text, scratch, out),
            Model::SentencePiece(model) => model.encode(vocabulary, text, begins, scratch, out),
            Model::Unigram(model) => model.encode(text, begins, out),
            Model::WordPiece(model) => model.encode(text, out),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Model::Bpe(bpe) => bpe.size_bytes(),
            Model::SentencePiece(model) => model.size_bytes(),
            Model::Unigram(model) => model.size_bytes(),
            Model::WordPiece(model) => model.size_bytes(),
        }
    }
}

impl Tokenizer {
    /// Builds the tokenizer of a model file, of which it keeps nothing.
    ///
    /// # Errors
    /// As [`Tokenizer::new`]; [`Error::Inconsistent`] if the file has no vocabulary.
    pub fn from_gguf(file: &gguf::File) -> Result<Tokenizer> {
        Tokenizer::new(&source::from_gguf(file)?)
    }

    /// Builds the tokenizer that `source` describes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a kind of tokenizer or pre-tokeniser that is not known (the message lists those that
    /// are), [`Error::Inconsistent`] for a vocabulary that contradicts itself, [`Error::Memory`].
    pub fn new<'a, S, T, F>(source: &VocabularySource<'a, S, T, F>) -> Result<Tokenizer>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
        F: Iterator<Item = f32> + Clone,
    {
        let (mut vocabulary, model) = Model::read(source)?;
        let special = Special::find(source, &mut vocabulary, model.around())?;
        let plain_marks = Marks::of_kinds(&vocabulary, &[Kind::UserDefined])?;
        let all_marks = Marks::of_kinds(&vocabulary, &[Kind::UserDefined, Kind::Control, Kind::Unknown])?;
        Ok(Tokenizer { vocabulary, special, plain_marks, all_marks, model })
    }

    /// Appends the tokens of `text` to `out`. Time grows with n log n at worst, n being the bytes of the text.
    ///
    /// Decoded, the tokens are the text again where the vocabulary is one of bytes, or has a token for each byte, and no
    /// normalisation: but for U+2581, which SentencePiece writes for a space, and what BERT's WordPiece and T5's unigram
    /// models do not keep.
    ///
    /// # Errors
    /// [`Error::Memory`], and [`Error::Argument`] for a single word of 4 GiB; `out` is then as it was.
    pub fn encode(&self, text: &str, options: EncodeOptions, out: &mut Vec<TokenId>) -> Result<()> {
        let before = out.len();
        self.append(text, options, true, out).inspect_err(|_| out.truncate(before))
    }

    /// Appends the tokens of a text that goes on where another one stopped: nothing is put in front or behind.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_more(&self, text: &str, parse_special: bool, out: &mut Vec<TokenId>) -> Result<()> {
        let before = out.len();
        let options = EncodeOptions { add_special: false, parse_special };
        self.append(text, options, false, out).inspect_err(|_| out.truncate(before))
    }

    fn append(
        &self,
        text: &str,
        options: EncodeOptions,
        mut begins: bool,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        let add = |id: Option<TokenId>, out: &mut Vec<TokenId>| {
            reserve(out, 1)?;
            out.extend(id);
            Ok(())
        };
        add(self.special.first.filter(|_| options.add_special), out)?;
        let marks = if options.parse_special { &self.all_marks } else { &self.plain_marks };
        let mut scratch = Scratch::default();
        let mut rest = text;
        for mark in marks.find_in(&self.vocabulary, text.as_bytes())? {
            // Texts of special tokens are whole characters, so both ends of a mark are ends of characters.
            let start = mark.start.saturating_sub(text.len() - rest.len());
            let (plain, after) = rest.split_at_checked(start).unwrap_or((rest, ""));
            let plain = match self.special.strips_before(mark.id) {
                true => plain.trim_end_matches(is_c_space),
                false => plain,
            };
            self.model.encode(&self.vocabulary, plain, begins, &mut scratch, out)?;
            add(Some(mark.id), out)?;
            begins = true;
            rest = after.get(self.vocabulary.bytes(mark.id).len()..).unwrap_or_default();
            if self.special.strips_behind(&self.vocabulary, mark.id) {
                rest = rest.trim_start_matches(is_c_space);
            }
        }
        self.model.encode(&self.vocabulary, rest, begins, &mut scratch, out)?;
        add(self.special.last.filter(|_| options.add_special), out)
    }

    /// Where `text` holds texts of control tokens, in bytes: what [`EncodeOptions::parse_special`] would take for them.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn find_control(&self, text: &str) -> Result<Vec<Range<usize>>> {
        let marks = self.all_marks.find_in(&self.vocabulary, text.as_bytes())?;
        let mut found = Vec::new();
        for mark in marks.iter().filter(|mark| self.is_control(mark.id)) {
            reserve(&mut found, 1)?;
            found.push(mark.start..mark.start + self.vocabulary.bytes(mark.id).len());
        }
        Ok(found)
    }

    /// The number of tokens. Ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.count()
    }

    /// The bytes of token `id`, which may be a part of a character; for a control token its text. `None` if there is
    /// no such token.
    pub fn token_bytes(&self, id: TokenId) -> Option<&[u8]> {
        self.vocabulary.get(id)
    }

    /// What token `id` adds to an answer: its bytes, or nothing for one that is not text (see [`Self::is_control`]) and
    /// for an id outside the vocabulary. [`Utf8Stream`] makes characters of it.
    pub fn piece(&self, id: TokenId) -> &[u8] {
        if self.is_control(id) { &[] } else { self.vocabulary.bytes(id) }
    }

    /// What token `id` adds to a text in which `previous` came before it, `None` at its beginning: its
    /// [`piece`](Self::piece), without the space that encoding puts in front of a text and behind a special token.
    pub fn piece_after(&self, previous: Option<TokenId>, id: TokenId) -> &[u8] {
        let piece = self.piece(id);
        let is_special =
            |id| !matches!(self.vocabulary.kind(id), Some(Kind::Normal | Kind::Byte | Kind::Unused));
        match piece.strip_prefix(b" ") {
            Some(stripped)
                if self.model.adds_prefix()
                    && self.vocabulary.kind(id) != Some(Kind::UserDefined)
                    && previous.is_none_or(is_special) =>
            {
                stripped
            }
            _ => piece,
        }
    }

    /// Appends the text of `ids`, without special tokens. What is no UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// [`Error::Memory`]; `out` then has a part of the text.
    pub fn decode(&self, ids: &[TokenId], out: &mut String) -> Result<()> {
        let mut stream = Utf8Stream::new();
        let mut previous = None;
        for id in ids {
            let piece = self.piece_after(previous, *id);
            // Three bytes of an unfinished character may come before, and each byte may become U+FFFD.
            let room = 3 * (piece.len() + 1);
            out.try_reserve(room).map_err(|_| vocabulary::no_memory::<u8>(room))?;
            stream.push(piece, |part| out.push_str(part));
            previous = Some(*id);
        }
        out.try_reserve(3).map_err(|_| vocabulary::no_memory::<u8>(3))?;
        stream.finish(|part| out.push_str(part));
        Ok(())
    }

    /// Whether token `id` is not text: it steers the model, stands for the unknown, or is an unused place.
    pub fn is_control(&self, id: TokenId) -> bool {
        matches!(self.vocabulary.kind(id), Some(Kind::Control | Kind::Unknown | Kind::Unused))
    }

    /// Whether an answer is over when token `id` comes: the ends that the metadata names, and those known by their
    /// text, such as `<|im_end|>`.
    pub fn is_end_of_generation(&self, id: TokenId) -> bool {
        self.special.ends_generation(id)
    }

    /// The token that plays `role`.
    pub fn role(&self, role: Role) -> Option<TokenId> {
        self.special.get(role)
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<TokenId> {
        self.role(Role::Bos)
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<TokenId> {
        self.role(Role::Eos)
    }

    /// What goes in front of a text and behind it.
    pub(crate) fn around(&self) -> (Option<TokenId>, Option<TokenId>) {
        (self.special.first, self.special.last)
    }

    /// Whether the model wants texts to begin with BOS.
    pub fn adds_bos(&self) -> bool {
        self.special.first.is_some()
    }

    /// Whether the model wants texts to end with EOS.
    pub fn adds_eos(&self) -> bool {
        self.special.last.is_some()
    }

    /// The memory that the tokenizer holds on the heap, in bytes.
    pub fn size_bytes(&self) -> usize {
        let marks = self.plain_marks.size_bytes() + self.all_marks.size_bytes();
        self.vocabulary.size_bytes() + self.special.size_bytes() + marks + self.model.size_bytes()
    }
}

/// What C's `isspace` takes for white space.
fn is_c_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
