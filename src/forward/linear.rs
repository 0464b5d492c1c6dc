//! Floor 3. Projections: the input quantised once, then rows of all weights that read it shared out to the threads.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::columns::{Q8_BLOCK, Q8_SUM};
use bantam_kernels::{Backend, Columns, ColumnsMut, Rows, Scales, TileMut};

use super::Forward;
use crate::model::program::{Activation, Buffer, Logits, PROJECTIONS_MAX, Projection};
use crate::model::weights::Matrix;

/// Rows are shared out in panels, as wide as the widest of any kernel.
const PANEL: usize = 32;
/// The most panels of a plain projection that a thread takes at a time.
const PANELS: usize = 8;

/// Floats of the gates and of what they gate, for the rows that a thread takes at a time: they stay in the second cache
/// between their projection and their product.
const GATED: usize = 1 << 17;

/// Floats a thread needs for [`Forward::gated`].
pub(super) fn gated_len(batch: usize) -> usize {
    batch.saturating_mul(2 * PANEL).max(GATED)
}

impl Forward<'_> {
    /// `to = weight . from + bias`, for each projection.
    pub(super) fn linear(&mut self, n: usize, from: Buffer, projections: &[(Projection, Buffer)]) {
        let k = projections[0].0.weight.k;
        let scales = projections.iter().map(|(projection, _)| projection.scales()).max().flatten();
        self.prepare_input(n, from, k, scales);
        let weights = projections.iter().map(|(projection, _)| &projection.weight);
        let lows = self.lower(n, (from, k, scales), weights);
        let scratch = &mut *self.scratch;
        // The input, then the outputs; ranges that are not needed stay empty.
        let mut ranges: [Range<usize>; 1 + PROJECTIONS_MAX] = Default::default();
        ranges[0] = scratch.range(from, n);
        for (range, (_, to)) in ranges[1..].iter_mut().zip(projections) {
            *range = scratch.range(*to, n);
        }
        let buffers = scratch.buffers.get_disjoint_mut(ranges).expect("a step's buffers are disjoint");
        let [input, outputs @ ..] = buffers;
        let mut rows = projections.iter().map(|(projection, _)| projection.weight.rows);
        let mut tiles = outputs.map(|out| {
            rows.next().map_or(TileMut::empty(), |rows| TileMut::new(&mut out[..rows * n], rows, n))
        });
        let x = match from {
            // Where layers are of several widths, the floats of a narrow one take a part of the buffer; and of one that keeps
            // its blocks alone, the buffer holds none.
            Buffer::Hidden => {
                let floats = if scales.is_some() { 0 } else { n * k };
                scratch.hidden.columns(&input[..floats], k, n, scales)
            }
            _ => scratch.quantized.columns(&input[..n * k], k, n, scales),
        };
        let own = (&mut scratch.threads.kernels[..], &mut [0.0; 0][..]);
        let (file, backend, adapters) = (self.file, self.backend, &scratch.adapters);
        let tiles = &mut tiles[..projections.len()];
        self.pool.tiles(tiles, (PANEL, PANELS), own, self.cancel, &|p, from, out, own, _| {
            projections[p].0.rows(file, backend, from, &x, out, own);
            adapters.add(lows.as_ref(), backend, (p, from), out, own);
        });
    }

    /// `Hidden = activation(gate . from) * (up . from)`, or the first factor alone. Nothing but the result is written for
    /// all rows: gates and what they gate are made for as many rows as stay in a core's cache, and turned at once into
    /// what the next projection reads.
    pub(super) fn gated(
        &mut self,
        n: usize,
        from: Buffer,
        (gate, up, activation): (&Projection, Option<&Projection>, Activation),
        hidden: Option<Scales>,
    ) {
        let Matrix { k, rows, .. } = gate.weight;
        let scales = gate.scales().max(up.and_then(Projection::scales));
        self.prepare_input(n, from, k, scales);
        let weights = [Some(&gate.weight), up.map(|up| &up.weight)].into_iter().flatten();
        let lows = self.lower(n, (from, k, scales), weights);
        let scratch = &mut *self.scratch;
        let ranges = [scratch.range(from, n), scratch.range(Buffer::Hidden, n)];
        let [input, to] = scratch.buffers.get_disjoint_mut(ranges).expect("two buffers");
        let x = scratch.quantized.columns(input, k, n, scales);
        let floats = if hidden.is_some() { 0 } else { rows * n };
        let mut tile = [scratch.hidden.tile(&mut to[..floats], rows, n, hidden)];
        let threads = &mut scratch.threads;
        let share = threads.floats.len() / self.pool.capacity();
        let panels = (share.min(GATED) / (2 * PANEL * n)).max(1);
        let own = (&mut threads.kernels[..], &mut threads.floats[..]);
        let (file, backend, adapters) = (self.file, self.backend, &scratch.adapters);
        self.pool.tiles(&mut tile, (PANEL, panels), own, self.cancel, &|_, from, out, own, floats| {
            let rows = out.rows();
            let (gates, rest) = floats.split_at_mut(rows * n);
            let (mut gates, mut ups) = (TileMut::new(gates, rows, n), TileMut::new(rest, rows, n));
            gate.rows(file, backend, from, &x, &mut gates, own);
            adapters.add(lows.as_ref(), backend, (0, from), &mut gates, own);
            match up {
                Some(up) => {
                    up.rows(file, backend, from, &x, &mut ups, own);
                    adapters.add(lows.as_ref(), backend, (1, from), &mut ups, own);
                }
                None => ups.column(0).fill(1.0),
            }
            for c in 0..n {
                let ups = ups.column(if up.is_some() { c } else { 0 });
                match activation {
                    Activation::Silu => backend.silu_mul(gates.column(c), ups),
                    Activation::Gelu => backend.gelu_mul(gates.column(c), ups),
                    Activation::ClampedSilu => {
                        clamp(gates.column(c), ups);
                        backend.silu_mul(gates.column(c), ups);
                    }
                }
                out.write(backend, c, gates.column(c));
            }
        });
    }

    /// `out = weight . Normed`, scaled and capped, for the first `n` columns.
    pub(super) fn score(&mut self, n: usize, weight: &Matrix, logits: Logits, out: &mut [f32]) {
        let scales = weight.format.scales();
        self.prepare_input(n, Buffer::Normed, weight.k, scales);
        let lows = self.lower(n, (Buffer::Normed, weight.k, scales), core::iter::once(weight));
        let scratch = &mut *self.scratch;
        let input = &scratch.buffers[scratch.range(Buffer::Normed, n)];
        let x = scratch.quantized.columns(input, weight.k, n, scales);
        let own = (&mut scratch.threads.kernels[..], &mut [0.0; 0][..]);
        let (file, backend, adapters) = (self.file, self.backend, &scratch.adapters);
        let mut tiles = [TileMut::new(out, weight.rows, n)];
        self.pool.tiles(&mut tiles, (PANEL, PANELS), own, self.cancel, &|_, from, out, own, _| {
            backend.matmul(weight.format, weight.rows(file, from, from + out.rows()), &x, out, own);
            adapters.add(lows.as_ref(), backend, (0, from), out, own);
            for c in 0..n {
                match logits {
                    Logits { scale: 1.0, cap: None } => {}
                    Logits { scale, cap: None } => backend.scale(out.column(c), scale),
                    Logits { scale, cap: Some(cap) } => backend.soft_cap(out.column(c), scale, cap),
                }
            }
        });
    }

    /// Quantises the first `n` columns of a buffer, if that is wanted; the hidden values are so already.
    fn prepare_input(&mut self, n: usize, from: Buffer, k: usize, scales: Option<Scales>) {
        let Some(scales) = scales.filter(|_| from != Buffer::Hidden) else { return };
        let backend = self.backend;
        let scratch = &mut *self.scratch;
        let input = &scratch.buffers[scratch.range(from, n)];
        let quantized = &mut scratch.quantized;
        self.pool.zip(
            n,
            (&mut quantized.q, k),
            (&mut quantized.d, k / Q8_BLOCK),
            (&mut quantized.s, k / Q8_SUM),
            &|c, q, d, s| backend.quantize_q8(&input[c * k..][..k], scales, &mut ColumnsMut { q, d, s }),
        );
    }
}

/// Makes `x * sigmoid(1.702 x) * (1 + up)`, with `x` at most 7 and `up` at most 7 from 0, a gate of the plain kind: that is
/// `silu(1.702 x) * ((1 + up) / 1.702)`.
fn clamp(gates: &mut [f32], ups: &mut [f32]) {
    const STEEPNESS: f32 = 1.702;
    const LIMIT: f32 = 7.0;
    for (gate, up) in gates.iter_mut().zip(ups) {
        // `min` would make a limit of what is no number.
        *gate = if *gate > LIMIT { LIMIT } else { *gate } * STEEPNESS;
        *up = (up.clamp(-LIMIT, LIMIT) + 1.0) / STEEPNESS;
    }
}

impl Projection {
    fn scales(&self) -> Option<Scales> {
        self.weight.format.scales()
    }

    /// The rows from `from` on, as many as `out` has, of every column.
    fn rows(
        &self,
        file: &[u8],
        backend: Backend,
        from: usize,
        x: &Columns<'_>,
        out: &mut TileMut<'_>,
        own: &mut [u8],
    ) {
        let to = from + out.rows();
        backend.matmul(self.weight.format, self.weight.rows(file, from, to), x, out, own);
        if let Some(bias) = &self.bias {
            for c in 0..out.cols() {
                backend.add(out.column(c), &bias.values(file)[from..to]);
            }
        }
    }
}
