//! Floor 5. What a rule for answers has to tell a generator.
#![forbid(unsafe_code)]

use crate::error::Result;
use crate::sample::TokenMask;
use crate::tokenizer::TokenId;

/// A rule that an answer has to follow, such as a grammar: it says which tokens may come next. One rule is good for one
/// answer.
pub trait Constrain {
    /// The tokens that may come next; `None` allows all of them. Tokens that end an answer are among them where it is
    /// complete.
    ///
    /// # Errors
    /// Whatever keeps it from saying so: the answer ends with that error.
    fn allowed(&mut self) -> Result<Option<TokenMask<'_>>>;

    /// Whether `token` may come next: what [`Constrain::allowed`] says of it, where that is found out faster for one token than for
    /// all.
    ///
    /// # Errors
    /// As [`Constrain::allowed`].
    fn allows(&mut self, token: TokenId) -> Result<bool> {
        Ok(self.allowed()?.is_none_or(|allowed| allowed.allows(token)))
    }

    /// `token`, one of those allowed, has come.
    ///
    /// # Errors
    /// As [`Constrain::allowed`].
    fn accept(&mut self, token: TokenId) -> Result<()>;

    /// Whether the answer so far is one that the rule describes, and not only the beginning of one.
    ///
    /// # Errors
    /// As [`Constrain::allowed`].
    fn is_complete(&mut self) -> Result<bool>;

    /// Whether nothing may follow any more.
    fn must_stop(&self) -> bool;
}

#[cfg(feature = "constrain")]
impl Constrain for crate::constrain::Constraint {
    fn allowed(&mut self) -> Result<Option<TokenMask<'_>>> {
        self.allowed().map(|words| Some(TokenMask::new(words)))
    }

    fn allows(&mut self, token: TokenId) -> Result<bool> {
        self.is_allowed(token)
    }

    fn accept(&mut self, token: TokenId) -> Result<()> {
        self.accept(token)
    }

    fn is_complete(&mut self) -> Result<bool> {
        self.is_complete()
    }

    fn must_stop(&self) -> bool {
        self.must_stop()
    }
}
