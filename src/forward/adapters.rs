//! Floor 3. What adapters add to products: `y += factor * B . (A . x)`.
//!
//! ```text
//! input x: n columns ── A, all projections and adapters of the step ──► inner: rank x n ── B, as rows of y are made ──► y
//! ```
//! Invariant: at most [`NARROW`] columns are multiplied at once, which share one order of operations; so a column's sum
//! depends neither on the columns beside it nor on the threads.
#![forbid(unsafe_code)]

use bantam_kernels::backend::NARROW;
use bantam_kernels::columns::{Q8_BLOCK, Q8_SUM};
use bantam_kernels::{Backend, Columns, ColumnsMut, Scales, TileMut};

use super::Forward;
use super::scratch::Quantized;
use crate::arena::{Arena, Slab};
use crate::error::{Error, Result};
use crate::lora::{Adapter, Low};
use crate::model::program::{Buffer, PROJECTIONS_MAX, Program};
use crate::model::weights::Matrix;
use crate::tokenizer::TokenId;

/// The most adapters that a session has at once.
pub(crate) const ADAPTERS_MAX: usize = 8;
/// The most that they add to in one step.
const LOWS_MAX: usize = PROJECTIONS_MAX * ADAPTERS_MAX;
/// Rows of inner values that a thread takes at a time, as many as the longest strip of any kernel has, since fewer would cost as
/// much; and of B, whose sums lie on the stack.
const INNER_PANEL: usize = 16;
const OUTER_ROWS: usize = 64;

/// The adapters of a session, and the memory of their products.
pub(crate) struct Adapters {
    set: [Option<(Adapter, f32)>; ADAPTERS_MAX],
    /// The most that their ranks sum up to.
    rank: usize,
    /// What lies between the two products of each, and its quantised form.
    inner: Slab<f32>,
    inner_quantized: Quantized,
    /// Some columns of an input in the form that the program does not keep.
    input: Slab<f32>,
    input_quantized: Quantized,
}

impl Adapters {
    /// Memory for adapters whose ranks sum up to `rank`, and none for a rank of 0.
    pub(crate) fn carve(program: &Program, batch: usize, rank: usize, arena: &mut Arena) -> Result<Adapters> {
        let whole = |len: usize| len.next_multiple_of(Q8_BLOCK);
        let (inner, float, quantized) = match rank {
            0 => (0, 0, 0),
            // Each begins at a whole block.
            _ => (
                batch
                    .saturating_mul(rank)
                    .saturating_add(Q8_BLOCK * ADAPTERS_MAX)
                    .saturating_mul(PROJECTIONS_MAX),
                NARROW * program.quantized_widths().0,
                NARROW * whole(program.k_max()),
            ),
        };
        Ok(Adapters {
            set: [const { None }; ADAPTERS_MAX],
            rank,
            inner: arena.slab(inner)?,
            inner_quantized: Quantized::carve(inner, arena)?,
            input: arena.slab(float)?,
            input_quantized: Quantized::carve(quantized, arena)?,
        })
    }

    /// The most that ranks may sum up to.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The adapters with their scales, in the order in which they are added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Adapter, f32)> + Clone {
        self.set.iter().flatten().map(|(adapter, scale)| (adapter, *scale))
    }

    /// Has these instead. There are at most [`ADAPTERS_MAX`], of the session's model, whose ranks there is room for.
    pub(crate) fn set<'a>(&mut self, all: impl Iterator<Item = (&'a Adapter, f32)>) {
        let mut all = all.map(|(adapter, scale)| (adapter.clone(), scale));
        self.set = core::array::from_fn(|_| all.next());
    }

    /// Adds what there is to add to the rows from `from` on of a projection, as many as `out` has.
    pub(super) fn add(
        &self,
        lows: Option<&Lows>,
        backend: Backend,
        (projection, from): (usize, usize),
        out: &mut TileMut<'_>,
        own: &mut [u8],
    ) {
        let Some(lows) = lows else { return };
        for part in lows.iter().filter(|part| part.projection == projection) {
            let Some((adapter, _)) = &self.set[part.adapter] else { continue };
            let Low { b, factor, .. } = &part.low;
            let x = part.inner(self, lows.n);
            let mut sums = [0.0; OUTER_ROWS * NARROW];
            for first in (0..out.rows()).step_by(OUTER_ROWS) {
                let rows = OUTER_ROWS.min(out.rows() - first);
                let weights = b.rows(adapter.bytes(), from + first, from + first + rows);
                for c in (0..lows.n).step_by(NARROW) {
                    let to = lows.n.min(c + NARROW);
                    let mut tile = TileMut::new(&mut sums, rows, to - c);
                    backend.matmul(b.format, weights, &x.range(c, to), &mut tile, own);
                    for column in c..to {
                        let sum = &mut out.column(column)[first..first + rows];
                        backend.add_scaled(sum, tile.column(column - c), *factor);
                    }
                }
            }
        }
    }

    /// Gives the memory of products back to the system; how many bytes.
    pub(crate) fn release(&mut self) -> usize {
        let floats = self.inner.release() + self.input.release();
        floats + self.inner_quantized.release() + self.input_quantized.release()
    }
}

/// What the adapters add in one step.
pub(super) struct Lows {
    all: [Option<Part>; LOWS_MAX],
    len: usize,
    /// Columns of the batch.
    n: usize,
    /// Where the inner values of the next one begin.
    end: usize,
}

/// What one adapter adds to one projection.
struct Part {
    projection: usize,
    adapter: usize,
    low: Low,
    /// Where its inner values begin, a column of `rank` after the other.
    at: usize,
}

impl Lows {
    fn none(n: usize) -> Lows {
        Lows { all: [const { None }; LOWS_MAX], len: 0, n, end: 0 }
    }

    fn push(&mut self, projection: usize, adapter: usize, low: Low) {
        let at = self.end;
        self.end += (low.rank() * self.n).next_multiple_of(Q8_BLOCK);
        self.all[self.len] = Some(Part { projection, adapter, low, at });
        self.len += 1;
    }

    fn iter(&self) -> impl Iterator<Item = &Part> + Clone {
        self.all[..self.len].iter().flatten()
    }
}

impl Part {
    /// The inner values of `n` columns, in the form that B wants.
    fn inner<'a>(&self, adapters: &'a Adapters, n: usize) -> Columns<'a> {
        let (k, Quantized { q, d, s }) = (self.low.rank(), &adapters.inner_quantized);
        let floats = Columns::from_f32(&adapters.inner[self.at..][..n * k], k);
        let Some(scales) = self.low.b.format.scales() else { return floats };
        Columns {
            scales,
            q: &q[self.at..][..n * k],
            d: &d[self.at / Q8_BLOCK..][..n * k / Q8_BLOCK],
            s: &s[self.at / Q8_SUM..][..n * k / Q8_SUM],
            ..floats
        }
    }
}

impl Forward<'_> {
    /// Multiplies the input of a step with the A of each adapter of each of its matrices. `scales` are those of the
    /// input, if it is there in blocks; the hidden values are there as floats only if they are not. `None` if no adapter has
    /// such a matrix.
    pub(super) fn lower<'m>(
        &mut self,
        n: usize,
        (from, k, scales): (Buffer, usize, Option<Scales>),
        weights: impl Iterator<Item = &'m Matrix>,
    ) -> Option<Lows> {
        self.scratch.adapters.set[0].as_ref()?;
        let mut lows = Lows::none(n);
        for (projection, weight) in weights.enumerate() {
            for (adapter, (found, scale)) in self.scratch.adapters.iter().enumerate() {
                if let Some(low) = found.low(weight, scale) {
                    lows.push(projection, adapter, low);
                }
            }
        }
        if lows.len == 0 {
            return None;
        }
        let range = self.scratch.range(from, n);
        let scratch = &mut *self.scratch;
        let form = if from == Buffer::Hidden { &scratch.hidden } else { &scratch.quantized };
        let mut x = form.columns(&scratch.buffers[range], k, n, scales);
        if scales.is_some() && from == Buffer::Hidden {
            x.f32 = &[];
        }
        x.f32 = &x.f32[..x.f32.len().min(n * k)];
        let adapters = &mut scratch.adapters;
        let own = &mut scratch.threads.kernels;
        // What the step's own blocks are no good for is quantised again.
        let wanted = lows.iter().map(|part| part.low.a.format.scales()).max().flatten();
        let wanted = wanted.filter(|wanted| scales < Some(*wanted));
        let wants_floats = wanted.is_some() || lows.iter().any(|part| part.low.a.format.scales().is_none());
        for c in (0..n).step_by(NARROW) {
            let to = n.min(c + NARROW);
            let mut x = x.range(c, to);
            let (q, d, s) = (
                &mut adapters.input_quantized.q,
                &mut adapters.input_quantized.d,
                &mut adapters.input_quantized.s,
            );
            if wants_floats && x.f32.is_empty() {
                let input = &mut adapters.input[..k * (to - c)];
                for (i, value) in input.iter_mut().enumerate() {
                    *value = x.d[i / Q8_BLOCK] * f32::from(x.q[i]);
                }
                x.f32 = input;
            }
            if let Some(scales) = wanted {
                let (backend, floats) = (self.backend, x.f32);
                let parts = ((&mut q[..], k), (&mut d[..], k / Q8_BLOCK), (&mut s[..], k / Q8_SUM));
                self.pool.zip(to - c, parts.0, parts.1, parts.2, &|c, q, d, s| {
                    backend.quantize_q8(&floats[c * k..][..k], scales, &mut ColumnsMut { q, d, s });
                });
                let values = k * (to - c);
                (x.q, x.d, x.s) = (&q[..values], &d[..values / Q8_BLOCK], &s[..values / Q8_SUM]);
                x.scales = scales;
            }
            let mut tiles: [TileMut<'_>; LOWS_MAX] = core::array::from_fn(|_| TileMut::empty());
            let mut rest = &mut adapters.inner[..];
            for (tile, part) in tiles.iter_mut().zip(lows.iter()) {
                let rank = part.low.rank();
                let (inner, behind) =
                    core::mem::take(&mut rest).split_at_mut((rank * n).next_multiple_of(Q8_BLOCK));
                (*tile, rest) = (TileMut::new(&mut inner[c * rank..], rank, to - c), behind);
            }
            let (set, lows, backend) = (&adapters.set, &lows, self.backend);
            let panels = (INNER_PANEL, usize::MAX);
            let own = (&mut own[..], &mut [0.0; 0][..]);
            self.pool.tiles(&mut tiles[..lows.len], panels, own, self.cancel, &|i, from, out, own, _| {
                let Some(part) = &lows.all[i] else { return };
                let Some((adapter, _)) = &set[part.adapter] else { return };
                let a = &part.low.a;
                let weights = a.rows(adapter.bytes(), from, from + out.rows());
                backend.matmul(a.format, weights, &x, out, own);
            });
        }
        self.quantize_inner(&lows);
        Some(lows)
    }

    /// Adds to the streams that `tokens` start with.
    pub(super) fn adapt_embedding(&mut self, tokens: &[TokenId]) {
        let n = tokens.len();
        let mut lows = Lows::none(n);
        for (i, (adapter, scale)) in self.scratch.adapters.iter().enumerate() {
            if let Some(low) = adapter.embedding(scale) {
                lows.push(0, i, low);
            }
        }
        if lows.len == 0 {
            return;
        }
        let Adapters { set, inner, .. } = &mut self.scratch.adapters;
        for part in lows.iter() {
            let Some((adapter, _)) = &set[part.adapter] else { continue };
            let (a, rank) = (&part.low.a, part.low.rank());
            for (&token, out) in tokens.iter().zip(inner[part.at..].chunks_exact_mut(rank)) {
                let row = a.rows(adapter.bytes(), token as usize, token as usize + 1);
                self.backend.dequantize(a.format, row, out);
            }
        }
        self.quantize_inner(&lows);
        let (range, dim) = (self.scratch.range(Buffer::Stream, n), self.scratch.width(Buffer::Stream));
        let scratch = &mut *self.scratch;
        let (adapters, backend) = (&scratch.adapters, self.backend);
        let mut tiles = [TileMut::new(&mut scratch.buffers[range], dim, n)];
        let own = (&mut scratch.threads.kernels[..], &mut [0.0; 0][..]);
        self.pool.tiles(&mut tiles, (OUTER_ROWS, 1), own, self.cancel, &|_, from, out, own, _| {
            adapters.add(Some(&lows), backend, (0, from), out, own);
        });
    }

    /// Quantises the inner values that a B wants so.
    fn quantize_inner(&mut self, lows: &Lows) {
        let backend = self.backend;
        let Adapters { inner, inner_quantized: Quantized { q, d, s }, .. } = &mut self.scratch.adapters;
        for part in lows.iter() {
            let Some(scales) = part.low.b.format.scales() else { continue };
            let (at, rank) = (part.at, part.low.rank());
            let inner = &inner[at..];
            self.pool.zip(
                lows.n,
                (&mut q[at..], rank),
                (&mut d[at / Q8_BLOCK..], rank / Q8_BLOCK),
                (&mut s[at / Q8_SUM..], rank / Q8_SUM),
                &|c, q, d, s| {
                    backend.quantize_q8(&inner[c * rank..][..rank], scales, &mut ColumnsMut { q, d, s })
                },
            );
        }
    }
}

impl Quantized {
    /// Room for so many values.
    fn carve(len: usize, arena: &mut Arena) -> Result<Quantized> {
        Ok::<_, Error>(Quantized {
            q: arena.slab(len)?,
            d: arena.slab(len / Q8_BLOCK)?,
            s: arena.slab(len / Q8_SUM)?,
        })
    }

    fn release(&mut self) -> usize {
        self.q.release() + self.d.release() + self.s.release()
    }
}
