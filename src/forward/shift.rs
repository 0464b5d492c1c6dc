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
    let (lowest, format) = (kv.lowest(), kv.format());
    for layer in 0..program.kept.len() {
        let (dim, turns) = (program.kept[layer].dim, kv.turns(layer, held));
        let (keys, values, row, places) = kv.layer_mut(layer);
        // Where the places of a layer begin anew, all rows move round, and those before the gap are lost.
        let round = gap.len() % places * row;
        let (from, to) = (gap.end * row..held * row, gap.start * row..(held - gap.len()) * row);
        let close = |rows: &mut [u8]| {
            if turns { rows.rotate_left(round) } else { rows.copy_within(from.clone(), to.start) }
        };
        let moved = if turns {
            gap.start.max(lowest.max(held.saturating_sub(places)).saturating_sub(gap.len()))..held - gap.len()
        } else {
            gap.start..held - gap.len()
        };
        pool.columns(values, places * row, &|_, rows| close(rows));
        let own = &mut scratch.threads.floats;
        pool.parts((keys, places * row), own, None, &|_, rows, own| {
            close(rows);
            let Some(rope) = rope_of_keys(&program.steps, layer) else { return };
            let ((cos, sin), pairs) = (angles[rope].column(0), program.ropes[rope].pairs);
            for position in moved.clone() {
                let (key, values) = (&mut rows[position % places * row..][..row], &mut own[..dim]);
                backend.dequantize(format.format(), key, values);
                backend.rope(values, dim, cos, sin, pairs);
                backend.store_kv(format, values, key);
            }
        });
    }
    kv.closed(gap, held);
}

/// What turns the keys of a layer before they are stored.
fn rope_of_keys(steps: &[Step], layer: usize) -> Option<usize> {
    let stored =
        steps.iter().position(|step| matches!(step, Step::Store { layer: other } if *other == layer));
    let before = &steps[..stored.unwrap_or(0)];
    let since = before.iter().rposition(|step| matches!(step, Step::Store { .. })).unwrap_or(0);
    before[since..].iter().find_map(|step| match step {
        Step::Rope { buffer: Buffer::Key, rope, .. } => Some(*rope),
        _ => None,
    })
}
