//! Floor 2. A vocabulary as a file describes it: nothing is checked here but that values are of their kind.
#![forbid(unsafe_code)]

use super::TokenId;
use super::special::Role;
use crate::error::{Error, Result, text};
use crate::gguf::{Array, File, Kind, Value};

/// A vocabulary as a file describes it; `S` goes over texts, `T` over numbers. The metadata keys stand beside the
/// fields, without their prefix `tokenizer.ggml.`.
#[derive(Clone, Debug)]
pub struct VocabularySource<'a, S, T> {
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
    /// The id that plays each role, in the order of [`Role::ALL`]; [`Role::keys`] tells the metadata keys.
    pub roles: [Option<TokenId>; Role::ALL.len()],
    /// `add_bos_token`: whether a text begins with BOS.
    pub add_bos: Option<bool>,
    /// `add_eos_token`: whether a text ends with EOS.
    pub add_eos: Option<bool>,
}

/// The vocabulary that the metadata of `file` describes.
///
/// # Errors
/// [`Error::Inconsistent`] for a key that is missing or of the wrong kind.
pub(super) fn from_gguf(
    file: &File,
) -> Result<VocabularySource<'_, impl Iterator<Item = &[u8]> + Clone, impl Iterator<Item = i32> + Clone>> {
    let missing = |key| Error::Inconsistent(text!("the file has no vocabulary: {key} is missing"));
    let mut roles = [None; Role::ALL.len()];
    for (role, id) in Role::ALL.into_iter().zip(&mut roles) {
        for key in role.keys() {
            // Some writers put the greatest number for "none".
            *id = file.u32(key)?.filter(|id| *id != TokenId::MAX).or(*id);
        }
    }
    Ok(VocabularySource {
        model: file.string(MODEL)?.ok_or_else(|| missing(MODEL))?,
        pre: file.string("tokenizer.ggml.pre")?,
        tokens: file.array(TOKENS, Kind::String)?.map(texts).ok_or_else(|| missing(TOKENS))?,
        types: file.array("tokenizer.ggml.token_type", Kind::I32)?.map(numbers),
        merges: file.array("tokenizer.ggml.merges", Kind::String)?.map(texts),
        roles,
        add_bos: file.bool("tokenizer.ggml.add_bos_token")?,
        add_eos: file.bool("tokenizer.ggml.add_eos_token")?,
    })
}

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";

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
