//! Floor 3. The working memory of a forward pass, carved once: the buffers of a batch, the quantised form of one
//! projection's input, the angles of the batch's positions, and each thread's own scratch.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::Columns;
use bantam_kernels::backend::Backend;
use bantam_kernels::columns::{Q8_BLOCK, Q8_SUM};

use super::attention::{runs_len, scratch_len};
use crate::arena::{Arena, Slab};
use crate::error::Result;
use crate::kv::KvShape;
use crate::model::program::{Buffer, Program};
use crate::model::rope::Rope;

pub(crate) struct Scratch {
    /// Columns that a batch can have.
    pub(crate) batch: usize,
    widths: [usize; Buffer::COUNT],
    /// Where each buffer starts, in values per column.
    places: [usize; Buffer::COUNT],
    /// All buffers, each `batch` columns of its width.
    pub(super) buffers: Slab<f32>,
    pub(crate) quantized: Quantized,
    /// Angle per position of each turned pair.
    frequencies: Slab<f64>,
    /// Cosines and sines of each column's position.
    pub(crate) cos: Slab<f32>,
    pub(crate) sin: Slab<f32>,
    /// The states of one token's attention to all runs of keys: see `forward/attention.rs`.
    pub(super) runs: Slab<f32>,
    pub(crate) threads: Threads,
}

/// The quantised form of the input of one projection.
pub(crate) struct Quantized {
    pub(crate) q: Slab<i8>,
    pub(crate) d: Slab<f32>,
    pub(crate) s: Slab<f32>,
}

/// What each thread has to itself, one share after the other.
pub(crate) struct Threads {
    /// Of the matrix kernels.
    pub(crate) kernels: Slab<u8>,
    /// Of attention: see `forward/attention.rs`.
    pub(crate) attention: Slab<f32>,
}

impl Scratch {
    pub(crate) fn carve(
        program: &Program,
        kv: KvShape,
        backend: Backend,
        batch: usize,
        threads: usize,
        arena: &mut Arena,
    ) -> Result<Scratch> {
        let widths = program.widths;
        let (places, total) = program.places();
        // Lengths that overflow ask for more than there can be, which the arena refuses.
        let per_column = |len: usize| batch.saturating_mul(len);
        let per_thread = |len: usize| threads.saturating_mul(len);
        let buffers = arena.slab(per_column(total))?;
        let k_max = program.k_max();
        let quantized = Quantized {
            q: arena.slab(per_column(k_max))?,
            d: arena.slab(per_column(k_max.div_ceil(Q8_BLOCK)))?,
            s: arena.slab(per_column(k_max.div_ceil(Q8_SUM)))?,
        };
        let pairs = program.rope.width / 2;
        let group = widths[Buffer::Query as usize] / (kv.kv_heads * kv.head_dim);
        // Shares start at multiples of 64 bytes, as the kernels ask.
        let share = backend.scratch_bytes(k_max).next_multiple_of(64);
        Ok(Scratch {
            batch,
            widths,
            places,
            buffers,
            quantized,
            frequencies: arena.slab(pairs)?,
            cos: arena.slab(per_column(pairs))?,
            sin: arena.slab(per_column(pairs))?,
            runs: arena.slab(runs_len(group, &kv))?,
            threads: Threads {
                kernels: arena.slab(per_thread(share))?,
                attention: arena.slab(per_thread(scratch_len(backend, group, kv.head_dim, batch)))?,
            },
        })
    }

    /// Computes what depends on the session only.
    pub(crate) fn prepare(&mut self, rope: &Rope, file: &[u8], context: usize) {
        rope.frequencies(file, context, &mut self.frequencies);
    }

    /// Computes the angles of `n` positions from `position` on.
    pub(crate) fn turn(&mut self, rope: &Rope, position: usize, n: usize) {
        let pairs = self.frequencies.len();
        if pairs == 0 {
            return;
        }
        let columns = self.cos.chunks_exact_mut(pairs).zip(self.sin.chunks_exact_mut(pairs));
        for (i, (cos, sin)) in columns.take(n).enumerate() {
            rope.angles(position + i, &self.frequencies, cos, sin);
        }
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
    /// The columns of a projection's input: the floats, and this quantised form of them.
    pub(super) fn columns<'a>(&'a self, f32: &'a [f32], k: usize, n: usize) -> Columns<'a> {
        let (q, d, s) = (n * k, n * (k / Q8_BLOCK), n * (k / Q8_SUM));
        Columns { k, n, f32, q: &self.q[..q], d: &self.d[..d], s: &self.s[..s] }
    }
}
