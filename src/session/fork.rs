//! Floor 4. Two sessions that go on from the same tokens, which were read once.
#![forbid(unsafe_code)]

use super::Session;
use crate::error::{Error, Result, text};

impl Session {
    /// A session of the same options that holds what this one holds, logits included. It shares the model and the pool, and
    /// has memory and a cancel switch of its own; the keys and values are copied, and what else the layers carry.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn fork(&self) -> Result<Session> {
        let mut fork = Session::open(&self.model, self.pool.clone(), &self.options)?;
        fork.copy_from(self)?;
        Ok(fork)
    }

    /// Makes this session hold what `other` holds, logits included, with the same adapters: a fork into memory that is there already. Nothing is
    /// allocated.
    ///
    /// # Errors
    /// [`Error::Argument`] if `other` is a session of another model or keeps keys and values in another format, or this one has
    /// no room for its adapters,
    /// [`Error::ContextFull`] if it holds more tokens than this one can: nothing has happened then.
    pub fn copy_from(&mut self, other: &Session) -> Result<()> {
        self.check_kin(other)?;
        other.check_memory()?;
        self.check_room_for(other)?;
        if self.kv.format() != other.kv.format() {
            let (ours, theirs) = (self.kv.format().name(), other.kv.format().name());
            return Err(Error::Argument(text!(
                "this session keeps its cache as {ours} and the other as {theirs}: open both alike"
            )));
        }
        let held = other.position;
        if held > self.plan.context {
            return Err(Error::ContextFull { needed: held, context: self.plan.context });
        }
        self.forget_spilled();
        self.forget_logits();
        self.take_adapters(other);
        self.kv.copy_from(&other.kv, held);
        self.recurrent.copy_from(&other.recurrent, held);
        self.work.tokens[..held].copy_from_slice(other.tokens());
        self.position = held;
        if other.scored {
            let logits = other.logits();
            self.work.logits[..logits.len()].copy_from_slice(logits);
            self.scored = true;
        }
        Ok(())
    }

    /// An error unless `other` is a session of the same open model, whose positions turn keys by the same angles.
    pub(super) fn check_kin(&self, other: &Session) -> Result<()> {
        if !self.model.is_same(&other.model) {
            return Err(Error::Argument(text!(
                "the sessions are of two models; open both with the same one"
            )));
        }
        if !self.work.scratch.frequencies().eq(other.work.scratch.frequencies()) {
            return Err(Error::Argument(text!(
                "this model turns its keys by the length of the context, and {} and {} turn them differently",
                self.plan.context,
                other.plan.context
            )));
        }
        Ok(())
    }
}
