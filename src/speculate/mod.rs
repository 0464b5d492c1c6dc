//! Floor 3. Guessing the tokens that come next, so that a session can read several at once where a guess turns out right.
//!
//! A drafter guesses, the model decides: [`Session::speculate`](crate::Session::speculate) reads a token and the guesses
//! behind it as one batch of at most [`NARROW`] columns, whose logits have the very bits of tokens read one by one. So a
//! drafter decides how fast an answer comes, and never what it is. Each drafter is one file.
//!
//! Leviathan et al., arXiv:2211.17192; Saxena, "Prompt lookup decoding", 2023.
#![forbid(unsafe_code)]

mod costs;
mod lookup;
mod model;

pub use costs::Costs;
pub use lookup::Lookup;
pub use model::DraftModel;

use bantam_kernels::backend::NARROW;

use crate::tokenizer::TokenId;

/// The most tokens that can be guessed at once: with the token before them they are as many columns as share one order
/// of operations.
pub const DRAFT_MAX: usize = NARROW - 1;

/// Guesses the tokens that come next.
pub trait Drafter {
    /// Writes to `out` the tokens that may follow `tokens`, and returns how many. None at all is an answer; what cannot be
    /// guessed, for whatever reason, is not an error.
    ///
    /// `tokens` are all that the session holds and the one that it is about to read. What became of the last guess can be
    /// read from them. `costs` tell how many guesses pay: see [`Costs::worth`].
    fn draft(&mut self, tokens: &[TokenId], costs: &Costs, out: &mut [TokenId]) -> usize;
}

/// How often guesses that had a chance turned out right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    right: f32,
    seen: f32,
}

impl Chance {
    /// What is seen now counts this much more than what was seen one guess ago.
    const MEMORY: f32 = 0.97;

    /// A chance that is believed as if it had been seen in that many guesses.
    pub(crate) const fn new(chance: f32, guesses: f32) -> Chance {
        Chance { right: chance * guesses, seen: guesses }
    }

    pub(crate) fn note(&mut self, right: bool) {
        self.right = self.right * Chance::MEMORY + f32::from(u8::from(right));
        self.seen = self.seen * Chance::MEMORY + 1.0;
    }

    pub(crate) fn get(self) -> f32 {
        self.right / self.seen
    }
}
