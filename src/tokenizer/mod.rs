//! Floor 2. Text to tokens and back.
//!
//! ```text
//!   text -> marks (special tokens) -> pretokenize (words) -> bpe (bytes, merged by rank) -> ids
//!   ids  -> vocabulary (bytes of each) -> utf8 (whole characters) -> text
//! ```
//! A vocabulary comes from a file that is not trusted: whatever it holds, building a tokenizer gives one that works
//! or an error. Encoding allocates; what is done between two tokens (bytes of a token, end of an answer, UTF-8) does not.
#![forbid(unsafe_code)]

mod alphabet;
mod bpe;
mod index;
mod marks;
mod merges;
mod pretokenize;
mod source;
mod special;
#[cfg(test)]
mod tests;
mod unicode;
mod unicode_tables;
mod utf8;
mod vocabulary;

use alloc::vec::Vec;
use core::ops::Range;

pub use source::VocabularySource;
pub use special::Role;
pub use utf8::Utf8Stream;

use crate::error::{Error, Result, text};
use crate::gguf;
use bpe::Bpe;
use marks::Marks;
use special::Special;
use vocabulary::{Kind, Vocabulary, reserve};

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

/// How words become tokens: one file each.
#[derive(Debug)]
enum Model {
    Bpe(Bpe),
}

impl Model {
    /// Reads the vocabulary of the model that `source` names.
    fn read<'a, S, T>(source: &VocabularySource<'a, S, T>) -> Result<(Vocabulary, Model)>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
    {
        match source.model {
            "gpt2" => Bpe::read(source).map(|(vocabulary, bpe)| (vocabulary, Model::Bpe(bpe))),
            other => Err(Error::Unsupported(text!(
                "tokenizer {other:?} (tokenizer.ggml.model); known is \"gpt2\""
            ))),
        }
    }

    fn adds_bos(&self) -> bool {
        match self {
            Model::Bpe(bpe) => bpe.adds_bos(),
        }
    }

    fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        scratch: &mut bpe::Scratch,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        match self {
            Model::Bpe(bpe) => bpe.encode(vocabulary, text, scratch, out),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Model::Bpe(bpe) => bpe.size_bytes(),
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
    pub fn new<'a, S, T>(source: &VocabularySource<'a, S, T>) -> Result<Tokenizer>
    where
        S: Iterator<Item = &'a [u8]> + Clone,
        T: Iterator<Item = i32> + Clone,
    {
        let (mut vocabulary, model) = Model::read(source)?;
        let special = Special::find(source, &mut vocabulary, model.adds_bos())?;
        let plain_marks = Marks::of_kinds(&vocabulary, |kind| kind == Kind::UserDefined)?;
        let all_marks = Marks::of_kinds(&vocabulary, |kind| {
            matches!(kind, Kind::UserDefined | Kind::Control | Kind::Unknown)
        })?;
        Ok(Tokenizer { vocabulary, special, plain_marks, all_marks, model })
    }

    /// Appends the tokens of `text` to `out`. Time grows with n log n at worst, n being the bytes of the text.
    ///
    /// # Errors
    /// [`Error::Memory`], and [`Error::Argument`] for a single word of 4 GiB; `out` is then as it was.
    pub fn encode(&self, text: &str, options: EncodeOptions, out: &mut Vec<TokenId>) -> Result<()> {
        let before = out.len();
        self.append(text, options, out).inspect_err(|_| out.truncate(before))
    }

    fn append(&self, text: &str, options: EncodeOptions, out: &mut Vec<TokenId>) -> Result<()> {
        let add = |id: Option<TokenId>, out: &mut Vec<TokenId>| {
            reserve(out, 1)?;
            out.extend(id);
            Ok(())
        };
        add(self.special.first.filter(|_| options.add_special), out)?;
        let marks = if options.parse_special { &self.all_marks } else { &self.plain_marks };
        let mut scratch = bpe::Scratch::default();
        let mut encoded = 0;
        for mark in marks.find_in(&self.vocabulary, text.as_bytes())? {
            // Texts of special tokens are whole characters, so both ends of a mark are ends of characters.
            let plain = text.get(encoded..mark.start).unwrap_or_default();
            self.model.encode(&self.vocabulary, plain, &mut scratch, out)?;
            add(Some(mark.id), out)?;
            encoded = mark.start + self.vocabulary.bytes(mark.id).len();
        }
        self.model.encode(&self.vocabulary, text.get(encoded..).unwrap_or_default(), &mut scratch, out)?;
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
