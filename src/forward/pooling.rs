//! Floor 3. What comes of a batch of whole texts: the columns of each made one vector, in the normed buffer, and scored where
//! the model has a head for that.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::math;

use super::{Forward, Texts};
use crate::error::Result;
use crate::model::pooling::{Head, Pooling};
use crate::model::program::Buffer;

impl Forward<'_> {
    /// Makes vectors of the batch that was run last: one for each text, or without pooling for each token.
    pub(crate) fn pool(&mut self, texts: &Texts<'_>, pooling: Pooling) -> Result<&[f32]> {
        let program = self.model.program();
        let (count, n) = (texts.ends.len(), texts.ends.last().map_or(0, |&end| end as usize));
        if let Some(gain) = &program.output_norm {
            self.norm(n, Buffer::Stream, gain.values(self.file), Buffer::Normed);
        }
        let head = program.head.as_ref();
        match pooling {
            Pooling::None => return Ok(self.scratch.columns(Buffer::Normed, n)),
            Pooling::Mean => self.gather_texts(texts, |columns| columns),
            Pooling::Cls => self.gather_texts(texts, |columns| columns.start..columns.start + 1),
            Pooling::Rank if head.is_none_or(|head| !head.last) => {
                self.gather_texts(texts, |columns| columns.start..columns.start + 1);
            }
            Pooling::Last | Pooling::Rank => {
                self.gather_texts(texts, |columns| columns.end - 1..columns.end);
            }
        }
        let made = match head {
            Some(head) if pooling == Pooling::Rank => self.score_texts(count, head),
            _ => (Buffer::Normed, self.scratch.width(Buffer::Normed)),
        };
        self.check_cancel()?;
        Ok(&self.scratch.columns(made.0, count)[..count * made.1])
    }

    /// Writes the mean of some columns of each text over the first columns: those of a text are never before its number.
    fn gather_texts(&mut self, texts: &Texts<'_>, some: impl Fn(Range<usize>) -> Range<usize>) {
        let (backend, width) = (self.backend, self.scratch.width(Buffer::Normed));
        let normed = self.scratch.columns_mut(Buffer::Normed, self.scratch.batch);
        for text in 0..texts.ends.len() {
            let columns = some(texts.columns(text));
            let count = columns.len();
            normed.copy_within(columns.start * width..(columns.start + 1) * width, text * width);
            if count > 1 {
                let (to, from) = normed.split_at_mut((columns.start + 1) * width);
                let to = &mut to[text * width..][..width];
                from.chunks_exact(width).take(count - 1).for_each(|column| backend.add(to, column));
                backend.scale(to, 1.0 / count as f32);
            }
        }
    }

    /// Scores the first `n` columns: `output . tanh(dense . column)`, as far as the head has both; where that is, and
    /// how wide.
    fn score_texts(&mut self, n: usize, head: &Head) -> (Buffer, usize) {
        let mut made = (Buffer::Normed, self.scratch.width(Buffer::Normed));
        if let Some(dense) = &head.dense {
            self.linear(n, Buffer::Normed, &[(dense.clone(), Buffer::Delta)]);
            let backend = self.backend;
            backend.soft_cap(self.scratch.columns_mut(Buffer::Delta, n), 1.0, 1.0);
            made.0 = Buffer::Delta;
        }
        if let Some(output) = &head.output {
            self.linear(n, made.0, &[(output.clone(), Buffer::Scores)]);
            made = (Buffer::Scores, output.weight.rows);
        }
        if head.softmax {
            let scores = &mut self.scratch.columns_mut(made.0, n)[..n * made.1];
            scores.chunks_exact_mut(made.1).for_each(softmax);
        }
        made
    }
}

/// Turns scores into shares of 1.
fn softmax(scores: &mut [f32]) {
    let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = math::exp(*score - greatest));
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}
