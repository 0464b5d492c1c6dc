//! Floor 3. Tokens in, logits out: walks a model's program over one batch of columns.
//!
//! Every loop of a step is cut by the shape of its output, and every output value is computed by one thread in an order
//! that does not depend on the cut, so the logits have the same bits for any number of threads.
#![forbid(unsafe_code)]

mod adapters;
mod angles;
mod attention;
mod experts;
mod inputs;
mod linear;
mod pooling;
mod positions;
mod recurrent;
mod scratch;
mod shift;
mod texts;

use core::ops::Range;

use bantam_kernels::Backend;

use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::program::{Buffer, Step};
use crate::model::weights::Matrix;
use crate::pool::Pool;
use crate::tokenizer::TokenId;
pub(crate) use adapters::ADAPTERS_MAX;
pub(crate) use positions::{Consecutive, Positions};
pub(crate) use scratch::Scratch;
pub(crate) use shift::close_gap;
pub(crate) use texts::Texts;

/// What a batch is run with; all of it but the model belongs to a session.
pub(crate) struct Forward<'a> {
    model: &'a Model,
    file: &'a [u8],
    backend: Backend,
    pool: &'a Pool,
    cancel: &'a Cancel,
    /// The switch's state before anything was done.
    before: usize,
    scratch: &'a mut Scratch,
}

impl<'a> Forward<'a> {
    pub(crate) fn new(
        model: &'a Model,
        pool: &'a Pool,
        cancel: &'a Cancel,
        scratch: &'a mut Scratch,
    ) -> Forward<'a> {
        let file = model.file().mapping().bytes();
        Forward { model, file, backend: model.backend(), pool, cancel, before: cancel.state(), scratch }
    }

    /// Runs `tokens`, at most a batch of them, each at its position. Their keys and values are in the caches afterwards, what
    /// the layers carry in the next states, and the last layer's streams in scratch. The caller has checked tokens and positions.
    pub(crate) fn run(&mut self, tokens: &[TokenId], positions: &mut dyn Positions) -> Result<()> {
        let program = self.model.program();
        let n = tokens.len();
        self.scratch.turn(&program.ropes, n, positions);
        self.embed(tokens);
        for step in &program.steps {
            self.check_cancel()?;
            match step {
                Step::Norm { from, gain, to } => self.norm(n, *from, gain.values(self.file), *to),
                Step::LayerNorm { from, gain, bias, to } => {
                    let bias = bias.as_ref().map(|bias| bias.values(self.file));
                    self.layer_norm(n, *from, (gain.values(self.file), bias), *to);
                }
                Step::Place { positions: tables, types } => {
                    self.place(n, positions, tables.as_ref(), types.as_ref());
                }
                Step::NormParts { buffer, gain, len, count } => {
                    let gain = gain.as_ref().map(|gain| gain.values(self.file));
                    self.norm_parts(n, *buffer, gain, (*len, *count));
                }
                Step::Linear { from, projections } => self.linear(n, *from, projections),
                Step::Rope { buffer, rope, heads, dim } => self.rope(n, *buffer, *rope, (*heads, *dim)),
                Step::Store { layer } => self.store(n, positions, *layer),
                Step::Attend { layer, heads, attention, sinks } => {
                    let sinks = sinks.as_ref().map_or(&[][..], |sinks| sinks.values(self.file));
                    self.attend(n, positions, *layer, *heads, attention, sinks);
                }
                Step::Gated { from, gate, up, activation, hidden } => {
                    self.gated(n, *from, (gate, Some(up), *activation), *hidden);
                }
                Step::Activate { from, projection, activation, hidden } => {
                    self.gated(n, *from, (projection, None, *activation), *hidden);
                }
                Step::Experts { from, experts } => self.experts(n, *from, experts),
                Step::Add { from, to, scale } => self.add(n, *from, *to, *scale),
                Step::Part { len, .. } => self.part(n, *len),
                Step::Share => self.share(n),
                Step::Gate { from, to, gate } => self.gate(n, *from, *to, *gate),
                Step::Convolve(convolution) => self.convolve(n, positions, convolution),
                Step::Recall(recall) => self.recall(n, positions, recall),
                Step::Release { gain, len } => {
                    self.release(n, positions.run(n), gain.values(self.file), *len);
                }
                Step::Scale { buffer, by } => self.scale(n, *buffer, by.values(self.file)),
                Step::Inputs { embedding, gain, layers, projected, embedded } => {
                    let gain = gain.values(self.file);
                    self.inputs(tokens, embedding, gain, *layers, [*projected, *embedded]);
                }
                Step::Inlet { layer, len } => self.inlet(n, *layer, *len),
            }
        }
        self.check_cancel()
    }

    /// The scores of every token behind each of `columns` of the batch that was run last: `out` starts with as many columns
    /// of `vocab_size`. The matrix of the vocabulary is read once for all of them.
    pub(crate) fn logits(&mut self, columns: Range<usize>, out: &mut [f32]) -> Result<()> {
        let program = self.model.program();
        let (dim, n) = (self.scratch.width(Buffer::Stream), columns.len());
        // A session opens only models that have both.
        let (Some(gain), Some(output)) = (&program.output_norm, &program.output) else { return Ok(()) };
        let gain = gain.values(self.file);
        let (stream, normed) = self.scratch.pair(Buffer::Stream, Buffer::Normed, self.scratch.batch);
        let streams = stream[columns.start * dim..columns.end * dim].chunks_exact(dim);
        for (stream, normed) in streams.zip(normed.chunks_exact_mut(dim)) {
            self.backend.rms_norm(stream, gain, self.model.hyper().norm_eps, normed);
        }
        self.score(n, output, program.logits, out);
        self.check_cancel()
    }

    /// A loop that saw the switch has left something out, even if it was reset since.
    fn check_cancel(&self) -> Result<()> {
        if self.cancel.was_set_since(self.before) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// `Stream = embedding[token] * scale`
    fn embed(&mut self, tokens: &[TokenId]) {
        let program = self.model.program();
        let (embedding, scale) = (&program.embedding, program.embedding_scale);
        let stream = self.scratch.columns_mut(Buffer::Stream, tokens.len());
        for (&token, out) in tokens.iter().zip(stream.chunks_exact_mut(embedding.k)) {
            let row = embedding.rows(self.file, token as usize, token as usize + 1);
            self.backend.dequantize(embedding.format, row, out);
        }
        self.adapt_embedding(tokens);
        if scale != 1.0 {
            self.backend.scale(self.scratch.columns_mut(Buffer::Stream, tokens.len()), scale);
        }
    }

    /// `to = from / rms(from) * gain`
    fn norm(&mut self, n: usize, from: Buffer, gain: &[f32], to: Buffer) {
        let (backend, eps) = (self.backend, self.model.hyper().norm_eps);
        let width = gain.len();
        let (from, to) = self.scratch.pair(from, to, n);
        self.pool.columns(to, width, &|c, to| {
            backend.rms_norm(&from[c * width..][..width], gain, eps, to);
        });
    }

    /// `to = (from - mean) / deviation * gain + bias`
    fn layer_norm(&mut self, n: usize, from: Buffer, (gain, bias): (&[f32], Option<&[f32]>), to: Buffer) {
        let (backend, eps) = (self.backend, self.model.hyper().norm_eps);
        let width = gain.len();
        let (from, to) = self.scratch.pair(from, to, n);
        self.pool.columns(to, width, &|c, to| {
            backend.layer_norm(&from[c * width..][..width], gain, bias, eps, to);
        });
    }

    /// `Stream += table[position] + types[type]`, as far as there are such tables.
    fn place(&mut self, n: usize, positions: &dyn Positions, table: Option<&Matrix>, types: Option<&Matrix>) {
        let (backend, file) = (self.backend, self.file);
        let (range, width) = (self.scratch.range(Buffer::Stream, n), self.scratch.width(Buffer::Stream));
        let scratch = &mut *self.scratch;
        let own = &mut scratch.threads.floats;
        self.pool.parts((&mut scratch.buffers[range], width), own, None, &|c, column, own| {
            let (position, kind) = positions.place(c);
            let rows = [(table, position), (types, kind)];
            for (table, row) in rows.into_iter().filter_map(|(table, row)| Some((table?, row))) {
                // What a caller may number is checked by it; a table of one type has it for all texts.
                let row = row.min(table.rows - 1);
                backend.dequantize(table.format, table.rows(file, row, row + 1), &mut own[..width]);
                backend.add(column, &own[..width]);
            }
        });
    }

    /// The norm of roots within a buffer, for each of `count` parts of `len` values by itself; gains of 1 if there are none.
    fn norm_parts(&mut self, n: usize, buffer: Buffer, gain: Option<&[f32]>, (len, count): (usize, usize)) {
        let (backend, eps) = (self.backend, self.model.hyper().norm_eps);
        let start = self.scratch.range(buffer, n).start;
        let scratch = &mut *self.scratch;
        let parts = &mut scratch.buffers[start..start + n * len * count];
        let own = &mut scratch.threads.floats;
        self.pool.parts((parts, len * count), own, None, &|_, column, own| {
            let (from, ones) = own.split_at_mut(len);
            let gain = gain.unwrap_or_else(|| {
                ones[..len].fill(1.0);
                &ones[..len]
            });
            for part in column.chunks_exact_mut(len) {
                from.copy_from_slice(part);
                backend.rms_norm(from, gain, eps, part);
            }
        });
    }

    /// Turns every head of `buffer` by its column's position.
    fn rope(&mut self, n: usize, buffer: Buffer, rope: usize, (heads, dim): (usize, usize)) {
        let backend = self.backend;
        let pairs = self.model.program().ropes[rope].pairs;
        let (start, width) = (self.scratch.range(buffer, n).start, heads * dim);
        let scratch = &mut *self.scratch;
        let angles = &scratch.angles[rope];
        self.pool.columns(&mut scratch.buffers[start..start + n * width], width, &|c, heads| {
            let (cos, sin) = angles.column(c);
            backend.rope(heads, dim, cos, sin, pairs);
        });
    }

    /// Appends `Key` and `Value` to the caches of `layer`.
    fn store(&mut self, n: usize, positions: &mut dyn Positions, layer: usize) {
        let kept = &self.model.program().kept[layer];
        let width = kept.heads * kept.dim;
        let keys = self.scratch.columns(Buffer::Key, n).chunks_exact(width);
        let values = self.scratch.columns(Buffer::Value, n).chunks_exact(width);
        for (c, (keys, values)) in keys.zip(values).take(n).enumerate() {
            let (kv, position) = positions.at_mut(c);
            kv.store(self.backend, layer, position, keys, values);
        }
    }

    /// `buffer *= by`
    fn scale(&mut self, n: usize, buffer: Buffer, by: &[f32]) {
        let (backend, by) = (self.backend, by.first().copied().unwrap_or(1.0));
        let (range, width) = (self.scratch.range(buffer, n), self.scratch.width(buffer));
        self.pool.columns(&mut self.scratch.buffers[range], width, &|_, values| backend.scale(values, by));
    }

    /// `to += from * scale`
    fn add(&mut self, n: usize, from: Buffer, to: Buffer, scale: f32) {
        let (backend, width) = (self.backend, self.scratch.width(to));
        let (from, to) = self.scratch.pair(from, to, n);
        self.pool.columns(to, width, &|c, to| {
            let from = &from[c * width..][..width];
            if scale == 1.0 { backend.add(to, from) } else { backend.add_scaled(to, from, scale) }
        });
    }
}
