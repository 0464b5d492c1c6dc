//! Floor 2. What a model does to a token, as data: a fixed list of steps over named buffers, made once at open.
//!
//! An architecture is a function that writes this list (`model/architectures/llama.rs`) in the words of `model/description/`; the
//! forward pass walks it. A step that the list of another architecture needs is a variant here and an arm there.
#![forbid(unsafe_code)]

mod buffers;
mod step;

use alloc::vec::Vec;

use super::pooling::{Head, Pooling};
use super::rope::Rope;
use super::weights::{Matrix, Vector};
use crate::error::{Error, Result};
use crate::recurrent::RecurrentShape;
pub(crate) use buffers::Buffer;
pub(crate) use step::{
    Activation, Attention, Choice, Convolution, Experts, Gate, Kept, PROJECTIONS_MAX, Projection, ROPES_MAX,
    Recall, Step,
};

/// What becomes of the products of the output matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logits {
    /// Multiplies them.
    pub(crate) scale: f32,
    /// Where they level off then: each becomes `cap * tanh(logit / cap)`.
    pub(crate) cap: Option<f32>,
}

/// The steps of all layers, and what stands before and behind them.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Row `t`, times `embedding_scale`, is the stream that token `t` starts with.
    pub(crate) embedding: Matrix,
    pub(crate) embedding_scale: f32,
    /// The rotations of queries and keys that the steps name by number.
    pub(crate) ropes: Vec<Rope>,
    pub(crate) steps: Vec<Step>,
    /// What is kept of past tokens, by the number that the steps name.
    pub(crate) kept: Vec<Kept>,
    /// The norm of the stream behind the last layer. Where there is none, the layers leave their result in `Normed`.
    pub(crate) output_norm: Option<Vector>,
    /// One row per token of the vocabulary, if the model scores tokens: an encoder does not.
    pub(crate) output: Option<Matrix>,
    pub(crate) logits: Logits,
    /// Whether a token sees those before it only.
    pub(crate) causal: bool,
    /// How the columns of a text become one vector, if the file says so.
    pub(crate) pooling: Option<Pooling>,
    /// What scores a text, in models that rank.
    pub(crate) head: Option<Head>,
}

impl Program {
    /// The longest row that any product reads: what scratch is sized by.
    pub(crate) fn k_max(&self) -> usize {
        self.matrices().map(|each| each.matrix.k).max().unwrap_or(0)
    }

    /// Values of a position that layers without a window keep, and those with one.
    pub(crate) fn kept_values(&self) -> [usize; 2] {
        self.kept.last().map_or([0; 2], Kept::behind)
    }

    /// The most query heads that share a key head, and the values of a head, of each way that layers attend.
    pub(crate) fn attended(&self) -> impl Iterator<Item = (usize, &Kept)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Attend { layer, heads, .. } => Some((heads / self.kept[*layer].heads, &self.kept[*layer])),
            _ => None,
        })
    }

    /// The most keys that a token sees in layers that only see the last ones.
    pub(crate) fn window(&self) -> Option<usize> {
        let window = |step: &Step| match step {
            Step::Attend { attention, .. } => attention.window,
            _ => None,
        };
        self.steps.iter().filter_map(window).max()
    }

    /// What the layers carry from token to token.
    pub(crate) fn recurrent(&self) -> RecurrentShape {
        let mut shape = RecurrentShape::default();
        for step in &self.steps {
            match step {
                Step::Convolve(convolution) => {
                    shape.layers = shape.layers.max(convolution.layer + 1);
                    shape.inputs = shape.inputs.max((convolution.length - 1) * convolution.channels);
                }
                Step::Recall(recall) => shape.matrices = shape.matrices.max(recall.state_len()),
                _ => {}
            }
        }
        shape
    }

    /// The longest part that is normed by itself, or added from a table.
    pub(crate) fn parts_max(&self) -> usize {
        let len = |step: &Step| match step {
            Step::NormParts { len, .. } | Step::Release { len, .. } => *len,
            Step::Place { .. } => self.embedding.k,
            _ => 0,
        };
        self.steps.iter().map(len).max().unwrap_or(0)
    }

    /// The longest quantised column of the hidden values, and of what else is multiplied.
    pub(crate) fn quantized_widths(&self) -> (usize, usize) {
        let longest = |hidden: bool| {
            let read = self.matrices().filter(move |each| (each.from == Buffer::Hidden) == hidden);
            let matrices = read.map(|each| each.matrix).filter(|matrix| matrix.format.wants_q8());
            matrices.map(|matrix| matrix.k).max().unwrap_or(0)
        };
        (longest(true), longest(false))
    }

    /// The most experts that a token chooses.
    pub(crate) fn experts_used(&self) -> usize {
        let used = |step: &Step| if let Step::Experts { experts, .. } = step { experts.used } else { 0 };
        self.steps.iter().map(used).max().unwrap_or(0)
    }

    /// Every matrix that a token may be multiplied with.
    pub(crate) fn matrices(&self) -> Matrices<'_> {
        Matrices { program: self, step: 0, i: 0 }
    }

    /// Matrix `i` behind those of the steps.
    fn last_matrix(&self, i: usize) -> Option<Use<'_>> {
        match &self.output {
            Some(output) if i == 0 => Some(Use::whole(Buffer::Normed, output)),
            output => self.head.as_ref()?.matrix(i - usize::from(output.is_some())),
        }
    }

    /// Where those matrices lie in the file that every token needs: as spans with nothing between them but what is small. Experts are none of
    /// these.
    ///
    /// # Errors
    /// [`Error::Memory`].
    #[cfg(all(feature = "std", unix))]
    pub(crate) fn spans(&self) -> Result<Vec<core::ops::Range<usize>>> {
        const SMALL: usize = 1 << 20;
        let mut spans = Vec::new();
        for each in self.matrices().filter(|each| each.used == each.of) {
            let mut span = each.matrix.start()..each.matrix.start() + each.matrix.bytes();
            spans.retain(|near: &core::ops::Range<usize>| {
                let is_apart = near.end.saturating_add(SMALL) < span.start
                    || span.end.saturating_add(SMALL) < near.start;
                if !is_apart {
                    span = span.start.min(near.start)..span.end.max(near.end);
                }
                is_apart
            });
            let bytes = ((spans.len() + 1) * size_of::<core::ops::Range<usize>>()) as u64;
            spans.try_reserve(1).map_err(|_| Error::Memory { what: "where the weights lie", bytes })?;
            spans.push(span);
        }
        Ok(spans)
    }
}

/// Every matrix of a program. A type of its own and not a chain of the standard library's, which would be compiled anew for each of its uses.
pub(crate) struct Matrices<'a> {
    program: &'a Program,
    step: usize,
    /// Matrices of the step that were told.
    i: usize,
}

impl<'a> Iterator for Matrices<'a> {
    type Item = Use<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Use<'a>> {
        loop {
            let step = self.program.steps.get(self.step);
            let found = match step {
                Some(step) => step.matrix(self.i),
                None => self.program.last_matrix(self.i),
            };
            self.i += 1;
            if found.is_some() || step.is_none() {
                return found;
            }
            (self.step, self.i) = (self.step + 1, 0);
        }
    }
}

/// A matrix, what it reads, and how much of it a token is multiplied with: `used / of`.
#[derive(Clone, Copy)]
pub(crate) struct Use<'a> {
    pub(crate) from: Buffer,
    pub(crate) matrix: &'a Matrix,
    used: usize,
    of: usize,
}

impl<'a> Use<'a> {
    pub(super) fn whole(from: Buffer, matrix: &'a Matrix) -> Use<'a> {
        Use { from, matrix, used: 1, of: 1 }
    }

    fn of_experts(from: Buffer, projection: &'a Projection, experts: &Experts) -> Use<'a> {
        Use { from, matrix: &projection.weight, used: experts.used, of: experts.count }
    }

    /// Rows that a token is multiplied with.
    pub(crate) fn rows(&self) -> usize {
        self.matrix.rows / self.of * self.used
    }

    /// Bytes of these rows.
    pub(crate) fn bytes(&self) -> usize {
        self.matrix.bytes() / self.of * self.used
    }
}

/// Collects the steps of an architecture.
#[derive(Default)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    pub(crate) fn new() -> Steps {
        Steps(Vec::new())
    }

    pub(crate) fn push(&mut self, step: Step) -> Result<()> {
        let memory = Error::Memory {
            what: "the model's program",
            bytes: (size_of_val(&self.0[..]) + size_of::<Step>()) as u64,
        };
        self.0.try_reserve(1).map_err(|_| memory)?;
        self.0.push(step);
        Ok(())
    }

    /// Adds a [`Step::Linear`].
    pub(crate) fn linear<const N: usize>(
        &mut self,
        from: Buffer,
        all: [(Projection, Buffer); N],
    ) -> Result<()> {
        const { assert!(N <= PROJECTIONS_MAX) };
        let mut projections = Vec::new();
        let memory = Error::Memory { what: "the model's program", bytes: size_of_val(&all) as u64 };
        projections.try_reserve_exact(N).map_err(|_| memory)?;
        projections.extend(all);
        self.push(Step::Linear { from, projections })
    }

    pub(crate) fn finish(self) -> Vec<Step> {
        self.0
    }
}
