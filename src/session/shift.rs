//! Floor 4. Making room in a full context without reading anything again: tokens in the middle are forgotten, and those
//! behind them move up.
#![forbid(unsafe_code)]

use super::Session;
use crate::error::{Error, Result, text};
use crate::forward::close_gap;

impl Session {
    /// Forgets `discard` tokens behind the first `keep`; those behind them move up, and the logits stay. What the tokens that
    /// stay have learned from those that are gone, they keep, so the answer goes on; it is not the answer that the shortened
    /// text would get if it were read. Nothing is allocated.
    ///
    /// The first tokens matter most: keep at least one, and what must not be forgotten, such as the system text.
    ///
    /// # Errors
    /// [`Error::Argument`] if the session does not hold so many tokens, or if layers of its model carry a state from token to
    /// token, out of which none can be taken: nothing has happened then.
    pub fn shift(&mut self, keep: usize, discard: usize) -> Result<()> {
        self.check_memory()?;
        let held = self.position;
        let end = keep.checked_add(discard).filter(|&end| end <= held).ok_or_else(|| {
            Error::Argument(text!(
                "keeping {keep} tokens and forgetting {discard} takes more than the {held} held"
            ))
        })?;
        if discard == 0 {
            return Ok(());
        }
        if !self.can_shift() {
            return Err(Error::Argument(text!(
                "layers of this model carry a state, which cannot forget tokens in its middle: rewind, and prefill what is to stay"
            )));
        }
        // Guesses lie behind the tokens that move, and would have to be moved as well.
        self.ahead = 0;
        close_gap(&self.model, &self.pool, &mut self.kv, &mut self.work.scratch, keep..end, held);
        self.work.tokens.copy_within(end..held, keep);
        self.position -= discard;
        if end == held {
            // The logits belong to a token that is gone.
            self.forget_logits();
        }
        Ok(())
    }

    /// Whether tokens can be forgotten in the middle: not where layers of the model carry a state from token to token.
    pub fn can_shift(&self) -> bool {
        self.recurrent.is_none()
    }
}
