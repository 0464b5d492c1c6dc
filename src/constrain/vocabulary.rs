//! Floor 4. The tokens of a model as the tree of bytes that constraints are checked on.
//!
//! Tokens that are not text lie in a branch that no text can reach: their names begin with the byte 0xff, which UTF-8 does not
//! have. Invariant: an id means the same token in the tree and in the vocabulary.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::vec::Vec;

use llguidance::toktrie::{TokRxInfo, TokTrie, TokenId as Id, TokenizerEnv};

use crate::error::{Error, Result, text};
use crate::model::Model;
use crate::tokenizer::{TokenId, Tokenizer};

/// The most bytes of all tokens together: the tree has a node for each at most, and counts nodes in 22 bits.
const BYTES_MAX: usize = 4 << 20;
/// The most bytes of a token: the tree counts levels in 10 bits. Longer ones are never allowed.
const TOKEN_BYTES_MAX: usize = 1000;

/// Whose tokenizer it is.
pub(super) enum Owner {
    Model(Model),
    Alone(Arc<Tokenizer>),
}

impl Owner {
    fn tokenizer(&self) -> &Tokenizer {
        match self {
            Owner::Model(model) => model.tokenizer(),
            Owner::Alone(tokenizer) => tokenizer,
        }
    }
}

/// A tokenizer and its tree.
pub(super) struct Vocabulary {
    owner: Owner,
    tree: TokTrie,
}

impl Vocabulary {
    /// Builds the tree.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(super) fn new(owner: Owner) -> Result<Vocabulary> {
        let tokenizer = owner.tokenizer();
        let count = tokenizer.vocab_size();
        let ids = 0..count as TokenId;
        let words: Vec<Vec<u8>> = ids.clone().map(|id| word(tokenizer, id)).collect();
        let bytes: usize = words.iter().map(Vec::len).sum();
        if bytes >= BYTES_MAX {
            return Err(Error::Unsupported(text!(
                "constraints on a vocabulary of {bytes} bytes; at most {BYTES_MAX} are possible"
            )));
        }
        let ends: Vec<Id> = ids.filter(|&id| tokenizer.is_end_of_generation(id)).collect();
        let Some(&end) = tokenizer.eos().iter().find(|eos| ends.contains(eos)).or(ends.first()) else {
            return Err(Error::Unsupported(text!(
                "constraints on a vocabulary without a token that ends an answer (tokenizer.ggml.eos_token_id)"
            )));
        };
        let info = TokRxInfo { tok_bos: tokenizer.bos(), ..TokRxInfo::new(count as u32, end) };
        let tree = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        Ok(Vocabulary { owner, tree })
    }

    /// The number of tokens.
    pub(super) fn count(&self) -> usize {
        self.tree.vocab_size()
    }
}

/// The bytes of a token in the tree; none keeps it out.
fn word(tokenizer: &Tokenizer, id: TokenId) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id).unwrap_or_default();
    let mut word = Vec::new();
    if bytes.len() > TOKEN_BYTES_MAX {
        return word;
    }
    if tokenizer.is_control(id) || tokenizer.is_end_of_generation(id) {
        word.push(TokTrie::SPECIAL_TOKEN_MARKER);
    } else if bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
        return word;
    }
    word.extend_from_slice(bytes);
    word
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.tree
    }

    /// The tokens that the model would have seen for what the grammar leaves no choice about.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<Id> {
        let encode = |text: &str| {
            let mut tokens = Vec::new();
            match self.owner.tokenizer().encode_more(text, false, &mut tokens) {
                Ok(()) => tokens,
                Err(_) => self.tree.greedy_tokenize(text.as_bytes()),
            }
        };
        self.tree.tokenize_with_greedy_fallback(bytes, encode)
    }
}
