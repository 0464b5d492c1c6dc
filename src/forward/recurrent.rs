//! Floor 3. Steps of layers that carry a state: short convolutions, memories that learn by the gated delta rule, and the gates
//! around them.
//!
//! Tokens go through a state one after the other, in an order of operations that no batch changes; what is shared out to the
//! threads are channels and heads.
#![forbid(unsafe_code)]

use bantam_kernels::recurrent::DeltaInputs;
use bantam_kernels::{TileMut, math};

use super::{Forward, Positions};
use crate::model::program::{Buffer, Convolution, Gate, Recall};

/// Channels of a convolution are shared out in panels of so many, and a thread takes so many panels at a time.
const PANEL: usize = 64;
const PANELS: usize = 8;
/// What a silu without anything to multiply multiplies.
const ONES: [f32; PANEL] = [1.0; PANEL];

impl Forward<'_> {
    /// Gives the first half of every `2 * len` values of `Joint` to the queries and the second to the gates.
    pub(super) fn part(&mut self, n: usize, len: usize) {
        let width = self.scratch.width(Buffer::Query);
        let ranges =
            [Buffer::Joint, Buffer::Query, Buffer::Gates].map(|buffer| self.scratch.range(buffer, n));
        let [joint, query, gates] = self.scratch.buffers.get_disjoint_mut(ranges).expect("three buffers");
        self.pool.zip(n, (query, width), (gates, width), (&mut [0.0; 0], 0), &|c, query, gates, _| {
            let heads = joint[2 * c * width..][..2 * width].chunks_exact(2 * len);
            let parts = query.chunks_exact_mut(len).zip(gates.chunks_exact_mut(len));
            for (head, (query, gate)) in heads.zip(parts) {
                query.copy_from_slice(&head[..len]);
                gate.copy_from_slice(&head[len..]);
            }
        });
    }

    /// `to *= gate(from)`
    pub(super) fn gate(&mut self, n: usize, from: Buffer, to: Buffer, gate: Gate) {
        let (backend, width) = (self.backend, self.scratch.width(to));
        let (from, to) = self.scratch.pair(from, to, n);
        self.pool.columns(to, width, &|c, to| {
            let from = &from[c * width..][..width];
            match gate {
                Gate::Plain => backend.mul(to, from),
                Gate::Sigmoid => backend.sigmoid_mul(to, from),
            }
        });
    }

    /// `Delta *= sigmoid(Share)`, one share for a column.
    pub(super) fn share(&mut self, n: usize) {
        let (backend, width) = (self.backend, self.scratch.width(Buffer::Delta));
        let (shares, delta) = self.scratch.pair(Buffer::Share, Buffer::Delta, n);
        for (share, delta) in shares.iter().zip(delta.chunks_exact_mut(width)) {
            backend.scale(delta, 1.0 / (1.0 + math::exp(-share)));
        }
    }

    /// Convolves `Mixed`, each sequence behind the inputs that it carries.
    pub(super) fn convolve(&mut self, n: usize, positions: &mut dyn Positions, convolution: &Convolution) {
        let Convolution { layer, channels, length, silu, .. } = *convolution;
        let taps = convolution.taps.values(self.file);
        let (backend, run, earlier) = (self.backend, positions.run(n), (length - 1) * channels);
        let range = self.scratch.range(Buffer::Mixed, n);
        let scratch = &mut *self.scratch;
        let mixed = &mut scratch.buffers[range];
        for (sequence, mixed) in mixed.chunks_exact_mut(run * channels).enumerate() {
            let (before, behind) = positions.turn(sequence * run).inputs(layer);
            let before = &before[..earlier];
            // The last inputs, of this batch as far as it has so many. They are taken before the batch is overwritten.
            let new = earlier.min(mixed.len());
            let (old, behind) = behind[..earlier].split_at_mut(earlier - new);
            old.copy_from_slice(&before[new..]);
            behind.copy_from_slice(&mixed[mixed.len() - new..]);
            let mut tile = [TileMut::new(mixed, channels, run)];
            let own = (&mut [0u8; 0][..], &mut [0.0f32; 0][..]);
            self.pool.tiles(&mut tile, (PANEL, PANELS), own, self.cancel, &|_, first, x, _, _| {
                let taps = &taps[first * length..][..x.rows() * length];
                backend.convolve(x, taps, length, &before[first..], channels);
                if silu {
                    for c in 0..x.cols() {
                        let parts = x.column(c).chunks_mut(PANEL);
                        parts.for_each(|part| backend.silu_mul(part, &ONES[..part.len()]));
                    }
                }
            });
        }
    }

    /// `Recalled`, from the memories of a layer. Of each sequence the heads lie one behind the other, with a part for each of
    /// its tokens.
    pub(super) fn recall(&mut self, n: usize, positions: &mut dyn Positions, recall: &Recall) {
        let Recall { layer, heads, key_heads, dim, .. } = *recall;
        let (backend, eps, channels) = (self.backend, self.model.hyper().norm_eps, recall.channels());
        let (bias, slope) = (recall.bias.values(self.file), recall.slope.values(self.file));
        let buffers = [Buffer::Mixed, Buffer::Forgets, Buffer::Learns, Buffer::Recalled];
        let ranges = buffers.map(|buffer| self.scratch.range(buffer, n));
        let scratch = &mut *self.scratch;
        let all = scratch.buffers.get_disjoint_mut(ranges).expect("a step's buffers are disjoint");
        let [mixed, forgets, learns, recalled] = all;
        let (with_forgets, with_learns) = ((&mut *forgets, heads), (&mut *learns, heads));
        self.pool.zip(n, (&mut *mixed, channels), with_forgets, with_learns, &|_, mixed, forgets, learns| {
            let keys = mixed[..2 * key_heads * dim].chunks_exact_mut(dim);
            keys.for_each(|key| backend.to_unit(key, eps));
            for ((forget, bias), slope) in forgets.iter_mut().zip(bias).zip(slope) {
                *forget = math::exp(slope * softplus(*forget + bias));
            }
            learns.iter_mut().for_each(|learn| *learn = 1.0 / (1.0 + math::exp(-*learn)));
        });
        let run = positions.run(n);
        for (sequence, recalled) in recalled.chunks_exact_mut(run * heads * dim).enumerate() {
            let first = sequence * run;
            let (mixed, rest) = (&mixed[first * channels..], first * heads);
            let (keys, values) = (&mixed[key_heads * dim..], &mixed[2 * key_heads * dim..]);
            let (forgets, learns) = (&forgets[rest..], &learns[rest..]);
            let (before, behind) = positions.turn(first).matrices(layer);
            let (behind, recalled) = ((behind, dim * dim), (recalled, run * dim));
            self.pool.zip(heads, behind, recalled, (&mut [0.0; 0], 0), &|head, memory, recalled, _| {
                memory.copy_from_slice(&before[head * dim * dim..][..dim * dim]);
                let key = head % key_heads * dim;
                let inputs = DeltaInputs {
                    columns: run,
                    dim,
                    queries: &mixed[key..],
                    keys: &keys[key..],
                    values: &values[head * dim..],
                    stride: channels,
                    decays: &forgets[head..],
                    rates: &learns[head..],
                    heads,
                };
                backend.delta_rule(memory, &inputs, recalled);
            });
        }
    }

    /// `Outlet = silu(Outlet) * norm(Recalled)`, normed for every `len` values by themselves; `run` columns belong to each
    /// sequence.
    pub(super) fn release(&mut self, n: usize, run: usize, gain: &[f32], len: usize) {
        let (backend, eps) = (self.backend, self.model.hyper().norm_eps);
        let ranges = [Buffer::Recalled, Buffer::Outlet].map(|buffer| self.scratch.range(buffer, n));
        let scratch = &mut *self.scratch;
        let [recalled, outlet] = scratch.buffers.get_disjoint_mut(ranges).expect("two buffers");
        let heads = outlet.len() / (n * len);
        let own = &mut scratch.threads.floats;
        self.pool.parts((outlet, len), own, None, &|i, outlet, own| {
            let (column, head) = (i / heads, i % heads);
            let first = column / run * run;
            let part = first * heads + head * run + (column - first);
            backend.rms_norm(&recalled[part * len..][..len], gain, eps, &mut own[..len]);
            backend.silu_mul(outlet, &own[..len]);
        });
    }
}

/// `ln(1 + exp(x))`; what is so large is itself.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { math::ln(1.0 + math::exp(x)) }
}
