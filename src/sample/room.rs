//! Floor 3. The memory of choosing a token, which a session plans with the rest of its own.
#![forbid(unsafe_code)]

use super::candidates::Candidate;
use super::spread::{Spread, blocks};
use crate::arena::{Arena, Slab};
use crate::error::Result;

/// What a choice works in: about 12 bytes per token of the vocabulary, and 8 per token of the context.
pub(crate) struct Room {
    /// The logits as biases, penalties and masks leave them.
    pub(super) row: Slab<f32>,
    /// Tokens that are left.
    pub(super) candidates: Slab<Candidate>,
    /// Tokens of the history, to be counted.
    pub(super) window: Slab<Candidate>,
    max: Slab<f32>,
    sum: Slab<f32>,
    weighted: Slab<f32>,
}

/// All of a room, each part by itself.
pub(crate) struct Parts<'a> {
    pub(super) row: &'a mut [f32],
    pub(super) candidates: &'a mut [Candidate],
    pub(super) window: &'a mut [Candidate],
    pub(super) spread: Spread<'a>,
}

impl Room {
    /// Room for a vocabulary and a history of these sizes.
    pub(crate) fn carve(vocab_size: usize, context: usize, arena: &mut Arena) -> Result<Room> {
        Ok(Room {
            row: arena.slab(vocab_size)?,
            candidates: arena.slab(vocab_size)?,
            window: arena.slab(context)?,
            max: arena.slab(blocks(vocab_size))?,
            sum: arena.slab(blocks(vocab_size))?,
            weighted: arena.slab(blocks(vocab_size))?,
        })
    }

    /// Gives its memory, which keeps nothing between two choices, back to the system; how many bytes.
    pub(crate) fn release(&mut self) -> usize {
        self.row.release() + self.candidates.release() + self.window.release()
    }

    pub(crate) fn parts(&mut self) -> Parts<'_> {
        Parts {
            row: &mut self.row,
            candidates: &mut self.candidates,
            window: &mut self.window,
            spread: Spread { max: &mut self.max, sum: &mut self.sum, weighted: &mut self.weighted },
        }
    }
}
