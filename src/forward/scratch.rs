//! Floor 3. The working memory of a forward pass, carved once: the buffers of a batch, the quantised form of what the
//! projections read, the angles of the batch's positions, and each thread's own scratch.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::backend::Backend;
use bantam_kernels::columns::{Q8_BLOCK, Q8_SUM};
use bantam_kernels::{Columns, ColumnsTileMut, Scales, TileMut};

use super::adapters::Adapters;
use super::angles::Angles;
use super::attention::{runs_len, scratch_len};
use super::linear::gated_len;
use super::positions::Positions;
use super::texts;
use crate::arena::{Arena, Slab};
use crate::error::{Error, Result};
use crate::model::program::{Buffer, Program, ROPES_MAX};
use crate::model::rope::Rope;

pub(crate) struct Scratch {
    /// Columns that a batch can have.
    pub(crate) batch: usize,
    widths: [usize; Buffer::COUNT],
    /// Where each buffer starts, in values per column.
    places: [usize; Buffer::COUNT],
    /// All buffers, each `batch` columns of its width.
    pub(super) buffers: Slab<f32>,
    /// The quantised input of one step's projections.
    pub(crate) quantized: Quantized,
    /// The quantised hidden values, which are made from that.
    pub(crate) hidden: Quantized,
    /// The angles of the batch's positions, for each rotation of the program.
    pub(super) angles: [Angles; ROPES_MAX],
    /// The experts that each column chose, and the share of each in the column's sum.
    pub(super) chosen: Slab<u32>,
    pub(super) shares: Slab<f32>,
    /// The states of one token's attention to all runs of keys: see `forward/attention.rs`.
    pub(super) runs: Slab<f32>,
    pub(crate) threads: Threads,
    pub(crate) adapters: Adapters,
}

/// The quantised form of a buffer, as [`Columns`] has it.
pub(crate) struct Quantized {
    /// Values.
    pub(crate) q: Slab<i8>,
    /// Scales, one for [`Q8_BLOCK`] values.
    pub(crate) d: Slab<f32>,
    /// Scaled sums, one for [`Q8_SUM`] values.
    pub(crate) s: Slab<f32>,
}

/// What each thread has to itself, one share after the other.
pub(crate) struct Threads {
    /// Of the matrix kernels.
    pub(crate) kernels: Slab<u8>,
    /// Of attention and of gated projections: see `forward/attention.rs` and `forward/linear.rs`.
    pub(crate) floats: Slab<f32>,
}

impl Scratch {
    pub(crate) fn carve(
        program: &Program,
        context: usize,
        backend: Backend,
        batch: usize,
        threads: usize,
        adapter_rank: usize,
        arena: &mut Arena,
    ) -> Result<Scratch> {
        let attention = scratch_len(backend, program, batch);
        Scratch::carve_for(program, context, backend, (batch, threads, adapter_rank), attention, arena)
    }

    /// As [`Scratch::carve`], for batches of whole texts.
    pub(crate) fn carve_for_texts(
        program: &Program,
        backend: Backend,
        batch: usize,
        threads: usize,
        arena: &mut Arena,
    ) -> Result<Scratch> {
        let attention = texts::scratch_len(backend, program);
        Scratch::carve_for(program, batch, backend, (batch, threads, 0), attention, arena)
    }

    /// `attention` is how many floats a thread needs to attend.
    fn carve_for(
        program: &Program,
        context: usize,
        backend: Backend,
        (batch, threads, adapter_rank): (usize, usize, usize),
        attention: usize,
        arena: &mut Arena,
    ) -> Result<Scratch> {
        let widths = program.widths();
        let (places, total) = program.places();
        // Lengths that overflow ask for more than there can be, which the arena refuses.
        let per_column = |len: usize| batch.saturating_mul(len);
        let per_thread = |len: usize| threads.saturating_mul(len);
        let buffers = arena.slab(per_column(total))?;
        let (hidden, others) = program.quantized_widths();
        let mut quantized = |k: usize| {
            Ok::<_, Error>(Quantized {
                q: arena.slab(per_column(k))?,
                d: arena.slab(per_column(k / Q8_BLOCK))?,
                s: arena.slab(per_column(k / Q8_SUM))?,
            })
        };
        let (hidden, quantized) = (quantized(hidden)?, quantized(others)?);
        // A part that is normed lies beside its gains; so does what a layer gets of a token beside a row of the embedding.
        let inputs = widths[Buffer::Inputs as usize] + widths[Buffer::Inlet as usize];
        let floats = attention.max(gated_len(batch)).max(inputs);
        let floats = floats.max(2 * program.parts_max()).next_multiple_of(16);
        // Shares start at multiples of 64 bytes, as the kernels ask.
        let share = backend.scratch_bytes(program.k_max()).next_multiple_of(64);
        Ok(Scratch {
            batch,
            widths,
            places,
            buffers,
            quantized,
            hidden,
            angles: [
                Angles::carve(program.ropes.first(), batch, arena)?,
                Angles::carve(program.ropes.get(1), batch, arena)?,
            ],
            chosen: arena.slab(per_column(program.experts_used()))?,
            shares: arena.slab(per_column(program.experts_used()))?,
            runs: arena.slab(runs_len(program, context))?,
            threads: Threads {
                kernels: arena.slab(per_thread(share))?,
                floats: arena.slab(per_thread(floats))?,
            },
            adapters: Adapters::carve(program, batch, adapter_rank, arena)?,
        })
    }

    /// Bytes of all buffers of a column.
    pub(crate) fn column_bytes(program: &Program) -> usize {
        let (hidden, others) = program.quantized_widths();
        let quantized = |k: usize| k + (k / Q8_BLOCK + k / Q8_SUM) * size_of::<f32>();
        program.places().1 * size_of::<f32>() + quantized(hidden) + quantized(others)
    }

    /// Gives the memory of what is computed anew for each batch back to the system; how many bytes.
    pub(crate) fn release(&mut self) -> usize {
        let Scratch { buffers, quantized, hidden, angles, runs, threads, adapters, .. } = self;
        let forms = [quantized, hidden].map(|form| form.q.release() + form.d.release() + form.s.release());
        let turns = angles.iter_mut().map(Angles::release);
        let batch = buffers.release() + turns.sum::<usize>() + runs.release() + adapters.release();
        batch + forms.iter().sum::<usize>() + threads.kernels.release() + threads.floats.release()
    }

    /// Computes what depends on the session only.
    pub(crate) fn prepare(&mut self, ropes: &[Rope], file: &[u8], context: usize) {
        for (angles, rope) in self.angles.iter_mut().zip(ropes) {
            rope.frequencies(file, context, &mut angles.frequencies);
        }
    }

    /// Computes the angles of the positions of `n` columns.
    pub(super) fn turn(&mut self, ropes: &[Rope], n: usize, positions: &dyn Positions) {
        self.angles.iter_mut().zip(ropes).for_each(|(angles, rope)| angles.turn(rope, n, positions));
    }

    /// Angle per position of each pair that the session's context gives.
    pub(crate) fn frequencies(&self) -> impl Iterator<Item = f64> {
        self.angles.iter().flat_map(|angles| angles.frequencies.iter().copied())
    }

    /// Values per column of a buffer.
    pub(crate) fn width(&self, buffer: Buffer) -> usize {
        self.widths[buffer as usize]
    }

    /// Where the first `n` columns of a buffer lie among all buffers.
    pub(super) fn range(&self, buffer: Buffer, n: usize) -> Range<usize> {
        let start = self.places[buffer as usize] * self.batch;
        start..start + n * self.width(buffer)
    }

    /// The first `n` columns of a buffer.
    pub(super) fn columns(&self, buffer: Buffer, n: usize) -> &[f32] {
        &self.buffers[self.range(buffer, n)]
    }

    /// The first `n` columns of a buffer, to write.
    pub(super) fn columns_mut(&mut self, buffer: Buffer, n: usize) -> &mut [f32] {
        let range = self.range(buffer, n);
        &mut self.buffers[range]
    }

    /// The first `n` columns of one buffer to read and of another to write.
    ///
    /// # Panics
    /// If they share memory, which a step's buffers never do.
    pub(super) fn pair(&mut self, from: Buffer, to: Buffer, n: usize) -> (&[f32], &mut [f32]) {
        let ranges = [self.range(from, n), self.range(to, n)];
        let [from, to] = self.buffers.get_disjoint_mut(ranges).expect("a step's buffers are disjoint");
        (from, to)
    }
}

impl Quantized {
    /// The columns of a projection's input: the floats, and this quantised form of them, if they were quantised.
    pub(super) fn columns<'a>(
        &'a self,
        f32: &'a [f32],
        k: usize,
        n: usize,
        scales: Option<Scales>,
    ) -> Columns<'a> {
        let floats = Columns { k, n, f32, ..Columns::from_f32(&[], 0) };
        let Some(scales) = scales else { return floats };
        let Quantized { q, d, s } = self;
        let (d, s) = (&d[..n * (k / Q8_BLOCK)], &s[..n * (k / Q8_SUM)]);
        Columns { q: &q[..n * k], scales, d, s, ..floats }
    }

    /// `n` columns of `rows` rows to write: the floats, or this form of them.
    pub(super) fn tile<'a>(
        &'a mut self,
        f32: &'a mut [f32],
        rows: usize,
        n: usize,
        scales: Option<Scales>,
    ) -> ColumnsTileMut<'a> {
        let none = TileMut::empty;
        let Some(scales) = scales else {
            return ColumnsTileMut {
                f32: TileMut::new(f32, rows, n),
                q: TileMut::empty(),
                scales: Scales::Least,
                d: none(),
                s: none(),
            };
        };
        ColumnsTileMut {
            f32: none(),
            scales,
            q: TileMut::new(&mut self.q, rows, n),
            d: TileMut::new(&mut self.d, rows / Q8_BLOCK, n),
            s: TileMut::new(&mut self.s, rows / Q8_SUM, n),
        }
    }
}
