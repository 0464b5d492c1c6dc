//! Floor 3. Attention of a batch to the cache: each query head against the keys of its key head, up to its own position.
//!
//! Keys are taken in runs that end at multiples of [`ATTEND_KEYS`]. Each run's softmax-weighted sum is computed by itself
//! and the runs are joined in order, so a result depends on the position alone, and not on how many tokens the batch has or
//! which thread computes it. More than [`NARROW`] tokens go in blocks through a kernel that turns keys and values into
//! floats once for a whole block, and gives the same bits.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::Backend;
use bantam_kernels::TileMut;
use bantam_kernels::attention::{ATTEND_KEYS, AttendMut, HIDDEN_STEP, Piece, Queries, Score, wide_tokens};
use bantam_kernels::backend::NARROW;

use super::{Forward, Positions};
use crate::kv::KvCache;
use crate::model::program::{Attention, Buffer, Program};

/// Floats of the state of the `group` query heads that share a key head.
fn state_len(group: usize, head_dim: usize) -> usize {
    group.saturating_mul(2 + head_dim)
}

/// Floats a thread needs: the state of all runs so far and of one run, or what a block of tokens asks for.
pub(super) fn scratch_len(backend: Backend, program: &Program, batch: usize) -> usize {
    let of = |group, dim| {
        let wide = if batch > NARROW { backend.attend_scratch(group, dim) } else { 0 };
        // Shares start at multiples of 64 bytes.
        state_len(group, dim).saturating_mul(2).max(wide).next_multiple_of(16)
    };
    program.attended().map(|(group, kept)| of(group, kept.dim)).max().unwrap_or(0)
}

/// Floats of the states of all runs of one token.
pub(super) fn runs_len(program: &Program, context: usize) -> usize {
    let states =
        program.attended().map(|(group, kept)| kept.heads.saturating_mul(state_len(group, kept.dim)));
    context.div_ceil(ATTEND_KEYS).saturating_mul(states.max().unwrap_or(0))
}

/// What one layer attends with.
#[derive(Clone, Copy)]
struct Layer<'a> {
    backend: Backend,
    layer: usize,
    attention: &'a Attention,
    /// A score for each query head that has no value; none if empty.
    sinks: &'a [f32],
}

impl Forward<'_> {
    /// `Attended = softmax(score(Query . keys)) . values`
    pub(super) fn attend(
        &mut self,
        n: usize,
        positions: &dyn Positions,
        layer: usize,
        heads: usize,
        attention: &Attention,
        sinks: &[f32],
    ) {
        if let Some(texts) = positions.texts() {
            return self.attend_texts(n, texts, (layer, heads), attention, sinks);
        }
        let kept = &self.model.program().kept[layer];
        let (kv_heads, head_dim) = (kept.heads, kept.dim);
        let group = heads / kv_heads;
        // The query heads of one key head are neighbours, so they are one part of a column.
        let part = group * head_dim;
        let scratch = &mut *self.scratch;
        let layer = Layer { backend: self.backend, layer, attention, sinks };
        let (kv, position) = positions.at(0);
        let ranges = [scratch.range(Buffer::Query, n), scratch.range(Buffer::Attended, n)];
        let [query, attended] = scratch.buffers.get_disjoint_mut(ranges).expect("two buffers");
        // Where layers are of several widths, a narrow one takes a part of the buffer.
        let attended = &mut attended[..n * kv_heads * part];
        let own = &mut scratch.threads.floats;
        if n > NARROW {
            let tile = TileMut::new(attended, kv_heads * part, n);
            let block = (part, wide_tokens(group));
            self.pool.blocks(tile, block, own, self.cancel, &|row, column, out, own| {
                let tokens = out.cols();
                let values = &query[column * kv_heads * part + row..];
                let (head, stride, score) = (row / part, kv_heads * part, attention.score);
                let (window, sinks) = (attention.window.unwrap_or(usize::MAX), layer.sinks(head, group));
                let queries = Queries { values, stride, tokens, group, dim: head_dim, score, window, sinks };
                layer.attend_block(kv, head, &queries, position + column + tokens, out, own);
            });
        } else if n == 1 && position >= ATTEND_KEYS {
            // One token has few heads to share out, and many runs.
            let (seen, len) = (layer.seen(position), state_len(group, head_dim));
            let first = seen.start / ATTEND_KEYS;
            let runs = seen.end.div_ceil(ATTEND_KEYS) - first;
            let states = &mut scratch.runs[..runs * kv_heads * len];
            self.pool.parts((states, len), own, Some(self.cancel), &|i, run, _| {
                let (head, from) = (i / runs, (first + i % runs) * ATTEND_KEYS);
                let query = &query[head * part..][..part];
                let end = seen.end.min(from + ATTEND_KEYS);
                layer.attend_run(kv, head, query, seen.start.max(from)..end, &mut state(run, group));
            });
            let heads = attended.chunks_exact_mut(part).zip(states.chunks_exact_mut(runs * len));
            for (head, (out, runs)) in heads.enumerate() {
                let all = &mut state(&mut own[..len], group);
                layer.begin(head, all);
                runs.chunks_exact_mut(len).for_each(|run| self.backend.attend_join(all, &state(run, group)));
                finish(all, out);
            }
        } else {
            self.pool.parts((attended, part), own, Some(self.cancel), &|i, out, own| {
                let (column, head) = (i / kv_heads, i % kv_heads);
                let query = &query[i * part..][..part];
                let (kv, position) = positions.at(column);
                layer.attend_token(kv, head, query, position, out, own);
            });
        }
    }
}

impl Layer<'_> {
    /// The keys that the token at a position sees.
    fn seen(self, position: usize) -> Range<usize> {
        let keys = position + 1;
        self.attention.window.map_or(0, |window| keys.saturating_sub(window))..keys
    }

    /// The sinks of the query heads that share a key head.
    fn sinks(&self, head: usize, group: usize) -> &[f32] {
        self.sinks.get(head * group..(head + 1) * group).unwrap_or_default()
    }

    /// The state before the first run: the sinks, if there are any.
    fn begin(self, head: usize, all: &mut AttendMut<'_>) {
        all.reset();
        let sinks = self.sinks(head, all.max.len());
        if !sinks.is_empty() {
            all.max.copy_from_slice(sinks);
            all.sum.fill(1.0);
        }
    }

    /// The output of one token's heads that share a key head, run by run.
    fn attend_token(
        self,
        kv: &KvCache,
        head: usize,
        query: &[f32],
        position: usize,
        out: &mut [f32],
        own: &mut [f32],
    ) {
        let dim = kv.kept(self.layer).dim;
        let group = query.len() / dim;
        let (all, rest) = own.split_at_mut(state_len(group, dim));
        let (all, run) = (&mut state(all, group), &mut rest[..state_len(group, dim)]);
        self.begin(head, all);
        let mut seen = self.seen(position);
        while !seen.is_empty() {
            let to = seen.end.min((seen.start + 1).next_multiple_of(ATTEND_KEYS));
            let run = &mut state(run, group);
            self.attend_run(kv, head, query, seen.start..to, run);
            self.backend.attend_join(all, run);
            seen.start = to;
        }
        finish(all, out);
    }

    /// The state of one run of keys alone. One that begins inside of a run is read from a multiple of a register's lanes on, so
    /// that its sums are those of a block of tokens, which takes whole runs.
    fn attend_run(
        self,
        kv: &KvCache,
        head: usize,
        query: &[f32],
        run: Range<usize>,
        state: &mut AttendMut<'_>,
    ) {
        let hidden = run.start % HIDDEN_STEP;
        let (keys, values) = kv.head(self.layer, head, run.start - hidden, run.end);
        state.reset();
        let score = Score { hidden, ..self.attention.score };
        self.backend.attend(kv.format(), query, keys, values, score, state);
    }

    /// The outputs of a block of tokens, the last of which stands behind `keys - 1` others.
    fn attend_block(
        self,
        kv: &KvCache,
        head: usize,
        queries: &Queries<'_>,
        keys: usize,
        out: &mut TileMut<'_>,
        own: &mut [f32],
    ) {
        // Runs end where they do for a single token; what is before the first token's window is hidden.
        let first = self.seen(keys - queries.tokens).start / ATTEND_KEYS * ATTEND_KEYS;
        let mut from = first;
        while from < keys {
            let to = kv.run_end(self.layer, from, keys);
            let (piece, (keys, values)) =
                (Piece { from: from - first, all: keys - first }, kv.head(self.layer, head, from, to));
            self.backend.attend_wide(kv.format(), queries, piece, keys, values, out, own);
            from = to;
        }
    }
}

/// Sees floats as a state: maxima, sums, weighted values.
fn state(floats: &mut [f32], group: usize) -> AttendMut<'_> {
    let (max, rest) = floats.split_at_mut(group);
    let (sum, acc) = rest.split_at_mut(group);
    AttendMut { max, sum, acc }
}

/// Writes the outputs of all heads.
fn finish(all: &AttendMut<'_>, out: &mut [f32]) {
    let dim = all.acc.len() / all.max.len();
    for ((out, acc), sum) in out.chunks_exact_mut(dim).zip(all.acc.chunks_exact(dim)).zip(all.sum.iter()) {
        let scale = 1.0 / sum;
        out.iter_mut().zip(acc).for_each(|(out, acc)| *out = acc * scale);
    }
}
