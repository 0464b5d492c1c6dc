//! Floor 3. Whole texts in one batch, one behind the other, and their attention: each to itself, in both directions or
//! backwards. Keys and values are those of one batch; nothing of a text is kept.
//!
//! What is computed for a text does not depend on those around it. Where every token sees all keys, those of a block go
//! through the kernel as if they were heads of one token: its lanes are heads, and share their keys.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::attention::{Piece, Queries, wide_tokens};
use bantam_kernels::{Backend, TileMut};

use super::{Forward, Positions};
use crate::kv::KvCache;
use crate::model::program::{Attention, Buffer, Program};
use crate::recurrent::Turn;

/// The columns that a thread takes at a time.
const BLOCK: usize = 64;

/// Floats that a thread needs.
pub(super) fn scratch_len(backend: Backend, program: &Program) -> usize {
    let of = |group: usize, dim: usize| {
        // The most heads that go through keys at once, whoever they belong to.
        let rows = wide_tokens(1).max(group);
        let gathered = rows.saturating_mul(2).saturating_mul(dim);
        // Shares start at multiples of 64 bytes.
        backend.attend_scratch(rows, dim).saturating_add(gathered).next_multiple_of(16)
    };
    program.attended().map(|(group, kept)| of(group, kept.dim)).max().unwrap_or(0)
}

/// Whole texts, side by side in a batch.
pub(crate) struct Texts<'a> {
    /// A position for each column of the batch.
    pub(crate) kv: &'a mut KvCache,
    /// The column behind each text: they follow each other.
    pub(crate) ends: &'a [u32],
    /// Where the second part of each text begins, as a column; its end if there is none.
    pub(crate) seconds: &'a [u32],
}

impl Texts<'_> {
    /// The number of the text that column `c` belongs to.
    fn of(&self, c: usize) -> usize {
        self.ends.partition_point(|&end| end as usize <= c)
    }

    /// The columns of a text.
    pub(crate) fn columns(&self, text: usize) -> Range<usize> {
        let start = text.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        start..self.ends[text] as usize
    }

    /// The columns of every text that has some among these.
    fn among(&self, columns: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let all = (self.of(columns.start)..self.ends.len()).map(|text| self.columns(text));
        all.take_while(move |text| text.start < columns.end)
    }
}

impl Positions for Texts<'_> {
    fn at(&self, c: usize) -> (&KvCache, usize) {
        (self.kv, c)
    }

    fn at_mut(&mut self, c: usize) -> (&mut KvCache, usize) {
        (self.kv, c)
    }

    fn run(&self, columns: usize) -> usize {
        columns
    }

    fn turn(&mut self, _: usize) -> Turn<'_> {
        // An embedder runs no model whose layers carry something.
        Turn::none()
    }

    fn place(&self, c: usize) -> (usize, usize) {
        let text = self.of(c);
        (c - self.columns(text).start, usize::from(c >= self.seconds[text] as usize))
    }

    fn texts(&self) -> Option<&Texts<'_>> {
        Some(self)
    }
}

impl Forward<'_> {
    /// `Attended = softmax(score(Query . keys)) . values`, each text by itself.
    pub(super) fn attend_texts(
        &mut self,
        n: usize,
        texts: &Texts<'_>,
        (layer, heads): (usize, usize),
        attention: &Attention,
        sinks: &[f32],
    ) {
        let program = self.model.program();
        let (kept, causal) = (&program.kept[layer], program.causal);
        let (kv_heads, dim, group) = (kept.heads, kept.dim, heads / kept.heads);
        // The query heads of one key head are neighbours, so they are one part of a column.
        let (part, stride) = (group * dim, heads * dim);
        let backend = self.backend;
        let scratch = &mut *self.scratch;
        let ranges = [scratch.range(Buffer::Query, n), scratch.range(Buffer::Attended, n)];
        let [query, attended] = scratch.buffers.get_disjoint_mut(ranges).expect("two buffers");
        // Where layers are of several widths, a narrow one takes a part of the buffer.
        let attended = &mut attended[..n * stride];
        let own = &mut scratch.threads.floats;
        let tile = TileMut::new(attended, kv_heads * part, n);
        self.pool.blocks(tile, (part, BLOCK), own, self.cancel, &|row, column, out, own| {
            let columns = column..column + out.cols();
            for text in texts.among(columns.clone()) {
                let shared = text.start.max(columns.start)..text.end.min(columns.end);
                for from in shared.clone().step_by(wide_tokens(group)) {
                    let to = shared.end.min(from + wide_tokens(group));
                    let block = Block {
                        backend,
                        kv: texts.kv,
                        layer,
                        head: row / part,
                        queries: Queries {
                            values: &query[from * stride + row..],
                            stride,
                            tokens: to - from,
                            group,
                            dim,
                            score: attention.score,
                            window: attention.window.unwrap_or(usize::MAX),
                            sinks: sinks.get(row / dim..row / dim + group).unwrap_or_default(),
                        },
                    };
                    let out = &mut out.columns(from - column, to - column);
                    match causal {
                        true => block.attend_before(text.start..to, out, own),
                        false => block.attend_all(text.clone(), out, own),
                    }
                }
            }
        });
    }
}

/// Some tokens of a text, with the heads that share one key head.
struct Block<'a> {
    backend: Backend,
    kv: &'a KvCache,
    layer: usize,
    head: usize,
    queries: Queries<'a>,
}

impl Block<'_> {
    /// Every token sees all `keys`.
    fn attend_all(&self, keys: Range<usize>, out: &mut TileMut<'_>, own: &mut [f32]) {
        let Queries { tokens, group, dim, .. } = self.queries;
        let rows = tokens * group;
        let (gathered, own) = own.split_at_mut(2 * rows * dim);
        let (query, made) = gathered.split_at_mut(rows * dim);
        for (i, query) in query.chunks_exact_mut(dim).enumerate() {
            query.copy_from_slice(self.queries.row(i));
        }
        let queries = Queries { values: query, stride: rows * dim, tokens: 1, group: rows, ..self.queries };
        let seen = keys.len();
        let (keys, values) = self.kv.head(self.layer, self.head, keys.start, keys.end);
        let mut tile = TileMut::new(made, rows * dim, 1);
        self.backend.attend_wide(
            self.kv.format(),
            &queries,
            Piece::whole(seen),
            keys,
            values,
            &mut tile,
            own,
        );
        for (token, made) in made.chunks_exact(group * dim).enumerate() {
            out.column(token).copy_from_slice(made);
        }
    }

    /// Every token sees the `keys` up to its own, which is the last for the last.
    fn attend_before(&self, keys: Range<usize>, out: &mut TileMut<'_>, own: &mut [f32]) {
        let seen = keys.len();
        let (keys, values) = self.kv.head(self.layer, self.head, keys.start, keys.end);
        self.backend.attend_wide(self.kv.format(), &self.queries, Piece::whole(seen), keys, values, out, own);
    }
}
