//! Floor 2. A vocabulary as a file describes it: nothing is checked here but that values are of their kind.
#![forbid(unsafe_code)]

use super::TokenId;
use super::special::Role;
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result, text};
use crate::gguf::{Array, File, Kind, Value};

/// A vocabulary as a file describes it; `S` goes over texts, `T` and `F` over numbers. The metadata keys stand beside the
/// fields, without their prefix `tokenizer.ggml.`.
#[derive(Clone, Debug)]
pub struct VocabularySource<'a, S, T, F> {
    /// `model`: how texts become tokens.
    pub model: &'a str,
    /// `pre`: the family of the pre-tokeniser.
    pub pre: Option<&'a str>,
    /// `tokens`: their texts, in the order of their ids.
    pub tokens: S,
    /// `token_type`: what each is for; all are normal if it is missing.
    pub types: Option<T>,
    /// `merges`: pairs of texts separated by a space, the most urgent first. Only some models have them.
    pub merges: Option<S>,
    /// `scores`: how likely each token is, as a logarithm. Only some models have them; all are 0 if they are missing.
    pub scores: Option<F>,
    /// The id that plays each role, in the order of [`Role::ALL`]; [`Role::keys`] tells the metadata keys.
    pub roles: [Option<TokenId>; Role::ALL.len()],
    /// `add_bos_token`: whether a text begins with BOS.
    pub add_bos: Option<bool>,
    /// `add_eos_token`: whether a text ends with EOS.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`: whether a space goes in front of a text.
    pub add_space_prefix: Option<bool>,
    /// `remove_extra_whitespaces`: whether spaces in a row are one.
    pub remove_extra_whitespaces: Option<bool>,
    /// `precompiled_charsmap`: which characters a unigram model replaces, as SentencePiece compiles it.
    pub charsmap: Option<&'a [u8]>,
    /// `normalizer.lowercase`: whether WordPiece knows small letters only.
    pub lowercase: Option<bool>,
    /// `normalizer.strip_accents`: whether WordPiece knows no accents; without it, what `lowercase` says.
    pub strip_accents: Option<bool>,
    /// `general.name`, without the prefix: some models are known by it to take white space into special tokens.
    pub name: Option<&'a str>,
    /// `general.architecture`, without the prefix: likewise.
    pub architecture: Option<&'a str>,
}

impl<S, T, F> VocabularySource<'_, S, T, F> {
    /// The token that plays `role`: the one that the metadata names, or that of the kind of tokenizer.
    pub(super) fn role(&self, role: Role, vocabulary: &Vocabulary) -> Option<TokenId> {
        let named = self.roles.get(role as usize).copied().flatten();
        let exists = |id: &TokenId| (*id as usize) < vocabulary.count();
        named.or_else(|| role.default_of(self.model).filter(exists))
    }

    /// A score for each of `count` tokens.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if there are fewer.
    pub(super) fn scores(&self, count: usize) -> Result<impl Iterator<Item = f32>>
    where
        F: Iterator<Item = f32> + Clone,
    {
        if let Some(scores) = &self.scores {
            let found = scores.clone().take(count).count();
            if found < count {
                return Err(Error::Inconsistent(text!(
                    "{count} tokens, but only {found} scores (tokenizer.ggml.scores)"
                )));
            }
        }
        let zeros = core::iter::repeat_n(0.0, if self.scores.is_some() { 0 } else { count });
        Ok(self.scores.clone().into_iter().flatten().chain(zeros).take(count))
    }
}

/// The vocabulary that the metadata of `file` describes.
///
/// # Errors
/// [`Error::Inconsistent`] for a key that is missing or of the wrong kind.
pub(super) fn from_gguf(
    file: &File,
) -> Result<
    VocabularySource<
        '_,
        impl Iterator<Item = &[u8]> + Clone,
        impl Iterator<Item = i32> + Clone,
        impl Iterator<Item = f32> + Clone,
    >,
> {
    let missing = |key| Error::Inconsistent(text!("the file has no vocabulary: {key} is missing"));
    let mut roles = [None; Role::ALL.len()];
    for (role, id) in Role::ALL.into_iter().zip(&mut roles) {
        for key in role.keys() {
            // Some writers put the greatest number for "none".
            *id = file.u32(key)?.filter(|id| *id != TokenId::MAX).or(*id);
        }
    }
    // BERT has no other token that begins a text.
    if let Some(bos) = roles.get_mut(Role::Bos as usize).filter(|bos| bos.is_none()) {
        *bos = file.u32("tokenizer.ggml.cls_token_id")?.filter(|id| *id != TokenId::MAX);
    }
    Ok(VocabularySource {
        model: file.string(MODEL)?.ok_or_else(|| missing(MODEL))?,
        pre: file.string("tokenizer.ggml.pre")?,
        tokens: file.array(TOKENS, Kind::String)?.map(texts).ok_or_else(|| missing(TOKENS))?,
        types: file.array("tokenizer.ggml.token_type", Kind::I32)?.map(numbers),
        merges: file.array("tokenizer.ggml.merges", Kind::String)?.map(texts),
        scores: file.get("tokenizer.ggml.scores").map(scores).transpose()?,
        roles,
        add_bos: file.bool("tokenizer.ggml.add_bos_token")?,
        add_eos: file.bool("tokenizer.ggml.add_eos_token")?,
        add_space_prefix: file.bool("tokenizer.ggml.add_space_prefix")?,
        remove_extra_whitespaces: file.bool("tokenizer.ggml.remove_extra_whitespaces")?,
        charsmap: file.get(CHARSMAP).map(charsmap).transpose()?,
        lowercase: file.bool("tokenizer.ggml.normalizer.lowercase")?,
        strip_accents: file.bool("tokenizer.ggml.normalizer.strip_accents")?,
        name: file.string("general.name").unwrap_or_default(),
        architecture: file.string("general.architecture").unwrap_or_default(),
    })
}

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// Scores, which some files have as whole numbers.
fn scores(value: Value<'_>) -> Result<impl Iterator<Item = f32> + Clone> {
    match value {
        Value::Array(array) if matches!(array.kind(), Kind::F32 | Kind::I32) => {
            Ok(array.iter().map_while(|value| match value {
                Value::F32(number) => Some(number),
                Value::I32(number) => Some(number as f32),
                _ => None,
            }))
        }
        other => Err(Error::Inconsistent(text!(
            "tokenizer.ggml.scores is of kind {}, not an array of f32",
            other.kind().name()
        ))),
    }
}

/// The bytes of a map, which files have with and without a sign.
fn charsmap(value: Value<'_>) -> Result<&[u8]> {
    let bytes = match value {
        Value::Array(array) => array.bytes(),
        _ => None,
    };
    bytes.ok_or_else(|| {
        Error::Inconsistent(text!("{CHARSMAP} is of kind {}, not an array of bytes", value.kind().name()))
    })
}

/// The elements of an array of strings.
fn texts<'a>(array: Array<'a>) -> impl Iterator<Item = &'a [u8]> + Clone {
    array.iter().map_while(|value| match value {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// The elements of an array of `i32`.
fn numbers(array: Array<'_>) -> impl Iterator<Item = i32> + Clone {
    array.iter().map_while(|value| match value {
        Value::I32(number) => Some(number),
        _ => None,
    })
}
