//! Floor 4. Texts and pairs of texts as the tokens that a model was trained on.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::Embedder;
use crate::error::{Error, Result};
use crate::tokenizer::{EncodeOptions, Role, TokenId};

impl Embedder {
    /// Appends the tokens of a text, with the special ones that the model wants around it. Texts of special tokens in it are
    /// text like any other.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`](crate::Tokenizer::encode).
    pub fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<()> {
        self.model.tokenizer().encode(text, EncodeOptions { add_special: true, parse_special: false }, out)
    }

    /// Appends the tokens of a pair, a query and the document that it is asked of, as models that rank read it: `[CLS] query [SEP]
    /// document [SEP]`. How many belong to the first part: [`Input::first`](super::Input::first).
    ///
    /// # Errors
    /// As [`Embedder::encode`].
    pub fn encode_pair(&self, query: &str, document: &str, out: &mut Vec<TokenId>) -> Result<usize> {
        let before = out.len();
        let mut append = || {
            self.encode(query, out)?;
            // Where a text does not end in the separator anyway, a file may ask for one.
            let (file, tokenizer) = (self.model.file(), self.model.tokenizer());
            if file.bool("tokenizer.ggml.add_sep_token")? == Some(true)
                && file.string("tokenizer.ggml.model")? != Some("bert")
            {
                out.extend(tokenizer.role(Role::Separator));
            }
            let first = out.len() - before;
            let (begins, _) = tokenizer.around();
            let start = out.len();
            self.encode(document, out)?;
            // What begins a text begins the pair, and nothing inside of it.
            if begins.is_some_and(|begins| out.get(start) == Some(&begins)) {
                out.remove(start);
            }
            Ok(first)
        };
        append().inspect_err(|_: &Error| out.truncate(before))
    }

    /// Shortens tokens that are more than the embedder reads, from their end, and keeps the special one that ends them.
    /// Whether there was something to leave out.
    pub fn truncate(&self, tokens: &mut Vec<TokenId>) -> bool {
        let context = self.context();
        if tokens.len() <= context {
            return false;
        }
        let last = tokens.last().copied();
        tokens.truncate(context);
        let (_, ends) = self.model.tokenizer().around();
        if ends.is_some() && ends == last {
            tokens.pop();
            tokens.extend(ends);
        }
        true
    }
}
