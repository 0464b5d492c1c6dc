//! Floor 4. The state of layers that carry one, and the keys of layers with a window, brought to the session's position: neither
//! can be cut shorter at will, so tokens that were forgotten are left by going back to what is still there and reading from there.
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
        Ok((KvCache::carve(model, kv, arena)?, Recurrent::carve(model.program().recurrent(), arena)?))
    }

    /// Makes the state that of the tokens that are held, and has the keys that the next one sees. Some of them may have to be
    /// read again, with the same results.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        let again = !self.kv.reaches(self.position);
        if self.recurrent.is_none() && !again {
            return Ok(());
        }
        let Session { kv, recurrent, work: Work { scratch, tokens, .. }, position, .. } = self;
        let mut from = 0;
        if !recurrent.is_none() {
            recurrent.go_back(if again { 0 } else { *position });
            from = recurrent.position();
        }
        while from < *position {
            let to = (*position).min(from + scratch.batch);
            recurrent.mark();
            recurrent.begin();
            let mut positions = Consecutive { kv, recurrent, position: from };
            let mut forward = Forward::new(&self.model, &self.pool, &self.cancel, scratch);
            if let Err(error) = forward.run(&tokens[from..to], &mut positions) {
                if again {
                    kv.lose();
                }
                return Err(error);
            }
            recurrent.commit(to - from);
            from = to;
        }
        Ok(())
    }
}
