//! Floor 3. Closing a gap in a cache: the positions behind it move up, and their keys turn back by as many positions.
//!
//! A turn by `a` and one by `-b` are a turn by `a - b`, so a key that was turned once for its old place becomes the key of
//! its new one. Of the cache's formats, halves round it again to the last bit, and the quantised ones to another of few
//! values: moving costs a little of what keys know, each time.
#![forbid(unsafe_code)]

use core::ops::Range;

use super::Scratch;
use crate::kv::KvCache;
use crate::model::Model;
use crate::model::program::{Buffer, Step};
use crate::pool::Pool;

/// Removes the positions `gap` of the first `held`. It cannot be stopped: half of it would be no cache of anything.
pub(crate) fn close_gap(
    model: &Model,
    pool: &Pool,
    kv: &mut KvCache,
    scratch: &mut Scratch,
    gap: Range<usize>,
    held: usize,
) {
    let (backend, program) = (model.backend(), model.program());
    scratch.angles.iter_mut().for_each(|angles| angles.turn_back(gap.len()));
    let angles = &scratch.angles;
    let shape = kv.shape();
    let (dim, format) = (shape.head_dim, shape.format);
    let (keys, values, head_bytes) = kv.parts_mut();
    let row = head_bytes / shape.context;
    let (from, to) = (gap.end * row..held * row, gap.start * row..(held - gap.len()) * row);
    pool.columns(values, head_bytes, &|_, rows| rows.copy_within(from.clone(), to.start));
    let own = &mut scratch.threads.floats;
    pool.parts((keys, head_bytes), own, None, &|head, rows, own| {
        rows.copy_within(from.clone(), to.start);
        if let Some(rope) = rope_of_keys(&program.steps, head / shape.kv_heads) {
            let ((cos, sin), pairs) = (angles[rope].column(0), program.ropes[rope].pairs);
            for key in rows[to.clone()].chunks_exact_mut(row) {
                let values = &mut own[..dim];
                backend.dequantize(format.format(), key, values);
                backend.rope(values, dim, cos, sin, pairs);
                backend.store_kv(format, values, key);
            }
        }
    });
}

/// What turns the keys of a layer before they are stored.
fn rope_of_keys(steps: &[Step], layer: usize) -> Option<usize> {
    let stored =
        steps.iter().position(|step| matches!(step, Step::Store { layer: other } if *other == layer));
    let before = &steps[..stored.unwrap_or(0)];
    let since = before.iter().rposition(|step| matches!(step, Step::Store { .. })).unwrap_or(0);
    before[since..].iter().find_map(|step| match step {
        Step::Rope { buffer: Buffer::Key, rope } => Some(*rope),
        _ => None,
    })
}
