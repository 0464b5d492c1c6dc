//! Floor 2. The cache of keys and values of past tokens.
//!
//! ```text
//! keys:   layers that see all tokens:  layer | key head | position    | head_dim values, in blocks of the cache's format
//!         layers with a window:        layer | key head | place       | the same
//! values: the same
//! ```
//! So one head's keys lie in order of position, which is how attention reads them. A layer with a window has no more places
//! than it needs: a position's is the remainder of its division by their number, a multiple of [`ATTEND_KEYS`], so that no run
//! of keys is torn apart.
//!
//! Invariant: of layers with a window, the keys and values of positions from `lowest` on are there.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::attention::ATTEND_KEYS;
use bantam_kernels::{Backend, KvFormat};

use crate::arena::{Arena, Slab};
use crate::error::{Error, Result, text};
use crate::model::Model;
use crate::model::program::{Kept, Program};

/// Shape of a cache, beside what its model says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvShape {
    /// Positions.
    pub(crate) context: usize,
    /// Places of a layer with a window.
    places: usize,
    pub(crate) format: KvFormat,
}

impl KvShape {
    /// For sessions of `context` positions that read up to `batch` tokens at once, and can go back by `back`.
    pub(crate) fn new(
        program: &Program,
        context: usize,
        batch: usize,
        back: usize,
        format: KvFormat,
    ) -> KvShape {
        let places = program.window().map_or(context, |window| {
            let places = window.saturating_add(batch.max(back)).checked_next_multiple_of(ATTEND_KEYS);
            places.map_or(context, |places| places.min(context))
        });
        KvShape { context, places, format }
    }

    /// Bytes of so many values. A product that overflows asks for more than there can be, which the arena refuses.
    fn bytes(&self, values: usize) -> usize {
        self.format.row_bytes(values).unwrap_or(usize::MAX)
    }

    /// An error if heads cannot be kept so.
    pub(crate) fn check(&self, program: &Program) -> Result<()> {
        let (name, block) = (self.format.name(), self.format.format().block_len());
        match program.kept.iter().map(|kept| kept.dim).find(|dim| !dim.is_multiple_of(block)) {
            None => Ok(()),
            Some(dim) => Err(Error::Argument(text!(
                "a {name} cache keeps heads in blocks of {block} values, and this model's heads have {dim}; use an f16 cache"
            ))),
        }
    }
}

pub(crate) struct KvCache {
    model: Model,
    shape: KvShape,
    keys: Slab<u8>,
    values: Slab<u8>,
    lowest: usize,
}

impl KvCache {
    pub(crate) fn carve(model: &Model, shape: KvShape, arena: &mut Arena) -> Result<KvCache> {
        let [all, windowed] = model.program().kept_values();
        let len = shape.bytes(all).checked_mul(shape.context).and_then(|len| {
            shape.bytes(windowed).checked_mul(shape.places).and_then(|more| len.checked_add(more))
        });
        let len = len.unwrap_or(usize::MAX);
        let (keys, values) = (arena.slab(len)?, arena.slab(len)?);
        Ok(KvCache { model: model.clone(), shape, keys, values, lowest: 0 })
    }

    /// Writes the keys and values of a position: those of all key heads of the layer.
    pub(crate) fn store(
        &mut self,
        backend: Backend,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let dim = self.kept(layer).dim;
        let heads = keys.chunks_exact(dim).zip(values.chunks_exact(dim));
        for (head, (key, value)) in heads.enumerate() {
            let row = self.rows(layer, head, position, position + 1);
            backend.store_kv(self.shape.format, key, &mut self.keys[row.clone()]);
            backend.store_kv(self.shape.format, value, &mut self.values[row]);
        }
        // What was read anew from the start on is there from the start on.
        let lowest = if position == 0 { 0 } else { self.lowest };
        self.lowest = lowest.max((position + 1).saturating_sub(self.shape.places));
    }

    pub(crate) fn format(&self) -> KvFormat {
        self.shape.format
    }

    /// What a layer keeps.
    pub(crate) fn kept(&self, layer: usize) -> &Kept {
        &self.model.program().kept[layer]
    }

    /// Gives the memory of all keys and values back to the system; how many bytes.
    pub(crate) fn release(&mut self) -> usize {
        self.keys.release() + self.values.release()
    }

    /// Whether a token can be read at `position`: whether all keys are there that it sees.
    pub(crate) fn reaches(&self, position: usize) -> bool {
        let window = || self.model.program().window().unwrap_or(0);
        self.lowest == 0 || position == 0 || position + 1 >= self.lowest.saturating_add(window())
    }

    /// Says that nothing is certain of layers with a window: the tokens have to be read again.
    pub(crate) fn lose(&mut self) {
        self.lowest = usize::MAX;
    }

    /// Whether layers with a window may have lost keys of a session that holds some tokens.
    pub(crate) fn forgets(&self) -> bool {
        self.model.program().window().is_some()
    }

    /// The positions behind the first that a layer with a window has, of `held`.
    pub(crate) fn recent(&self, held: usize) -> usize {
        held.saturating_sub(self.lowest)
    }

    /// Bytes of `held` positions, of which layers with a window have `recent`.
    pub(crate) fn bytes(&self, held: usize, recent: usize) -> usize {
        let [all, windowed] = self.model.program().kept_values();
        2 * (held * self.shape.bytes(all) + recent * self.shape.bytes(windowed))
    }

    /// Calls `each` with the keys and values of `held` positions, of which layers with a window have `recent`: rows in order of
    /// position, the keys of all layers and heads before the values.
    pub(crate) fn each(
        &self,
        held: usize,
        recent: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        for bytes in [&self.keys, &self.values] {
            self.layout().each_run(held, recent, &mut |rows| each(&bytes[rows]))?;
        }
        Ok(())
    }

    /// As [`KvCache::each`], to write; the layers with a window have `recent` positions then. Of more than there are places
    /// for, the first are written as well, and lost.
    pub(crate) fn each_mut(
        &mut self,
        held: usize,
        recent: usize,
        each: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        self.lowest = held;
        let layout = Layout { program: self.model.program(), shape: self.shape };
        for bytes in [&mut self.keys, &mut self.values] {
            layout.each_run(held, recent, &mut |rows| each(&mut bytes[rows]))?;
        }
        self.lowest = held - recent.min(self.shape.places);
        Ok(())
    }

    /// Takes over the keys and values of `held` positions of a cache of the same model and format.
    pub(crate) fn copy_from(&mut self, other: &KvCache, held: usize) {
        let recent = other.recent(held).min(self.shape.places);
        for (layer, kept) in other.model.program().kept.iter().enumerate() {
            let start = if kept.windowed { held - recent } else { 0 };
            for head in 0..kept.heads {
                let mut from = start;
                while from < held {
                    let to = self.run_end(layer, from, other.run_end(layer, from, held));
                    let (to_rows, from_rows) =
                        (self.rows(layer, head, from, to), other.rows(layer, head, from, to));
                    self.keys[to_rows.clone()].copy_from_slice(&other.keys[from_rows.clone()]);
                    self.values[to_rows].copy_from_slice(&other.values[from_rows]);
                    from = to;
                }
            }
        }
        self.lowest = held - recent;
    }

    /// The keys and the values of all heads of a layer, bytes of a row, and how many rows a head has.
    pub(crate) fn layer_mut(&mut self, layer: usize) -> (&mut [u8], &mut [u8], usize, usize) {
        let kept = *self.kept(layer);
        let (row, places) = (self.shape.bytes(kept.dim), self.layout().places(layer));
        let start = self.rows(layer, 0, 0, 0).start;
        let bytes = start..start + kept.heads * places * row;
        (&mut self.keys[bytes.clone()], &mut self.values[bytes], row, places)
    }

    /// Whether the places of a layer begin anew before the end of the context, for sessions that hold `held` tokens.
    pub(crate) fn turns(&self, layer: usize, held: usize) -> bool {
        self.kept(layer).windowed && (held > self.shape.places || self.lowest > 0)
    }

    /// The first position that layers with a window have.
    pub(crate) fn lowest(&self) -> usize {
        self.lowest
    }

    /// Says that `gap` was taken out.
    pub(crate) fn closed(&mut self, gap: Range<usize>, held: usize) {
        if held > self.shape.places || self.lowest > 0 {
            self.lowest = gap.start.max(self.lowest.saturating_sub(gap.len()));
        }
    }

    /// Where the rows that lie one behind the other end, from `from` on, `to` at most.
    pub(crate) fn run_end(&self, layer: usize, from: usize, to: usize) -> usize {
        self.layout().run_end(layer, from, to)
    }

    /// The keys and values of one head at positions `from..to`, which must lie one behind the other.
    pub(crate) fn head(&self, layer: usize, head: usize, from: usize, to: usize) -> (&[u8], &[u8]) {
        let range = self.rows(layer, head, from, to);
        (&self.keys[range.clone()], &self.values[range])
    }

    fn rows(&self, layer: usize, head: usize, from: usize, to: usize) -> Range<usize> {
        self.layout().rows(layer, head, from, to)
    }

    fn layout(&self) -> Layout<'_> {
        Layout { program: self.model.program(), shape: self.shape }
    }
}

/// Where rows lie.
#[derive(Clone, Copy)]
struct Layout<'a> {
    program: &'a Program,
    shape: KvShape,
}

impl Layout<'_> {
    /// Rows that a head of a layer has.
    fn places(self, layer: usize) -> usize {
        if self.program.kept[layer].windowed { self.shape.places } else { self.shape.context }
    }

    fn run_end(self, layer: usize, from: usize, to: usize) -> usize {
        let places = self.places(layer);
        to.min((from / places + 1) * places)
    }

    fn rows(self, layer: usize, head: usize, from: usize, to: usize) -> Range<usize> {
        let (kept, KvShape { context, places, .. }) = (&self.program.kept[layer], self.shape);
        let row = self.shape.bytes(kept.dim);
        let [all, windowed] = kept.before.map(|values| self.shape.bytes(values));
        let own = self.places(layer);
        let start = all * context + windowed * places + (head * own + from % own) * row;
        start..start + (to - from) * row
    }

    /// The rows of `held` positions, the last `recent` in layers with a window.
    fn each_run(
        self,
        held: usize,
        recent: usize,
        each: &mut dyn FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
        for (layer, kept) in self.program.kept.iter().enumerate() {
            let start = if kept.windowed { held - recent } else { 0 };
            for head in 0..kept.heads {
                let mut from = start;
                while from < held {
                    let to = self.run_end(layer, from, held);
                    each(self.rows(layer, head, from, to))?;
                    from = to;
                }
            }
        }
        Ok(())
    }
}
