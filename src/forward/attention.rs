//! Floor 3. Attention of a batch to the cache: each query head against the keys of its key head, up to its own position.
//!
//! Keys are taken in runs that end at multiples of [`ATTEND_KEYS`]. Each run's softmax-weighted sum is computed by
//! itself and the runs are joined in order, so a result depends on the position alone, and not on how many tokens the
//! batch has or which thread computes it.
#![forbid(unsafe_code)]

use bantam_kernels::Backend;
use bantam_kernels::backend::{ATTEND_KEYS, AttendMut};
use bantam_kernels::math;

use super::Forward;
use crate::model::program::Buffer;

/// Floats a thread needs: the state of all runs so far, and of one run.
pub(super) fn scratch_len(group: usize, head_dim: usize) -> usize {
    2 * group * (2 + head_dim)
}

impl Forward<'_> {
    /// `Attended = softmax(Query . keys * scale) . values`
    pub(super) fn attend(&mut self, n: usize, position: usize, layer: usize, scale: f32) {
        let backend = self.backend;
        let hyper = self.model.hyper();
        let group = hyper.heads / hyper.kv_heads;
        // The query heads of one key head are neighbours, so they are one part of a column.
        let part = group * hyper.head_dim;
        let (kv, scratch) = (&*self.kv, &mut *self.scratch);
        let ranges = [scratch.range(Buffer::Query, n), scratch.range(Buffer::Attended, n)];
        let [query, attended] = scratch.buffers.get_disjoint_mut(ranges).expect("two buffers");
        self.pool.parts((attended, part), &mut scratch.threads.attention, self.cancel, &|i, out, own| {
            let (column, head) = (i / hyper.kv_heads, i % hyper.kv_heads);
            let query = &query[i * part..][..part];
            let keys = position + column + 1;
            let (all, run) = own.split_at_mut(own.len() / 2);
            let mut all = state(all, group);
            reset(&mut all);
            for from in (0..keys).step_by(ATTEND_KEYS) {
                let (keys, values) = kv.head(layer, head, from, keys.min(from + ATTEND_KEYS));
                let mut run = state(run, group);
                reset(&mut run);
                backend.attend_f16(query, keys, values, scale, &mut run);
                join(backend, &mut all, &mut run);
            }
            for (h, out) in out.chunks_exact_mut(hyper.head_dim).enumerate() {
                let scale = 1.0 / all.sum[h];
                for (out, acc) in out.iter_mut().zip(&all.acc[h * hyper.head_dim..]) {
                    *out = acc * scale;
                }
            }
        });
    }
}

/// Sees a share of scratch as a state: maxima, sums, weighted values.
fn state(scratch: &mut [f32], group: usize) -> AttendMut<'_> {
    let (max, rest) = scratch.split_at_mut(group);
    let (sum, acc) = rest.split_at_mut(group);
    AttendMut { max, sum, acc }
}

fn reset(state: &mut AttendMut<'_>) {
    state.max.fill(f32::NEG_INFINITY);
    state.sum.fill(0.0);
    state.acc.fill(0.0);
}

/// Adds a later run to the runs so far, both brought to the greater of their maxima.
fn join(backend: Backend, all: &mut AttendMut<'_>, run: &mut AttendMut<'_>) {
    let dim = all.acc.len() / all.max.len();
    for h in 0..all.max.len() {
        let max = all.max[h].max(run.max[h]);
        let (old, new) = (math::exp(all.max[h] - max), math::exp(run.max[h] - max));
        all.max[h] = max;
        all.sum[h] = all.sum[h] * old + run.sum[h] * new;
        let (acc, more) = (&mut all.acc[h * dim..][..dim], &mut run.acc[h * dim..][..dim]);
        acc.iter_mut().for_each(|acc| *acc *= old);
        more.iter_mut().for_each(|more| *more *= new);
        backend.add(acc, more);
    }
}
