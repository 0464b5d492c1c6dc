//! Floor 4. The state of layers that carry one, brought to the session's position: a state cannot be cut shorter, so tokens
//! that were forgotten are left by going back to an older state and reading from there.
#![forbid(unsafe_code)]

use super::{Session, Work};
use crate::arena::Arena;
use crate::error::Result;
use crate::forward::{Consecutive, Forward};
use crate::kv::{KvCache, KvShape};
use crate::model::Model;
use crate::recurrent::Recurrent;

impl Session {
    /// What holds the tokens that were read: keys and values, and the states of layers that carry one.
    pub(super) fn carve_held(model: &Model, kv: KvShape, arena: &mut Arena) -> Result<(KvCache, Recurrent)> {
        Ok((KvCache::carve(kv, arena)?, Recurrent::carve(model.program().recurrent(), arena)?))
    }

    /// Makes the state that of the tokens that are held. Some of them may have to be read again, with the same results.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        if self.recurrent.is_none() {
            return Ok(());
        }
        self.recurrent.go_back(self.position);
        let Session { kv, recurrent, work: Work { scratch, tokens, .. }, position, .. } = self;
        while recurrent.position() < *position {
            let from = recurrent.position();
            let to = (*position).min(from + scratch.batch);
            recurrent.mark();
            recurrent.begin();
            let mut positions = Consecutive { kv, recurrent, position: from };
            let mut forward = Forward::new(&self.model, &self.pool, &self.cancel, scratch);
            forward.run(&tokens[from..to], &mut positions)?;
            recurrent.commit(to - from);
        }
        Ok(())
    }
}
