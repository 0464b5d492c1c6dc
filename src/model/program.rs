//! Floor 2. What a model does to a token, as data: a fixed list of steps over named buffers, made once at open.
//!
//! An architecture is a function that writes this list (`model/llama.rs`) in the words of `model/description.rs`; the
//! forward pass walks it. A step that the list of another architecture needs is a variant here and an arm there.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use bantam_kernels::attention::Score;

use super::pooling::{Head, Pooling};
use super::rope::Rope;
use super::weights::{Matrix, Vector};
use crate::error::{Error, Result};
use crate::recurrent::RecurrentShape;

/// A working buffer: one column of values per token of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Buffer {
    /// The residual stream: `dim`.
    Stream,
    /// The normed stream, which the projections read: `dim`.
    Normed,
    /// Queries of all heads: `heads * head_dim`.
    Query,
    /// Keys of all key heads: `kv_heads * head_dim`.
    Key,
    /// Values of all key heads: `kv_heads * head_dim`.
    Value,
    /// What the heads have gathered: `heads * head_dim`.
    Attended,
    /// The hidden values of the feed-forward layer, as the projection that reads them wants them: `ffn`.
    Hidden,
    /// What a block adds to the stream: `dim`.
    Delta,
    /// How well each expert fits: one value for each.
    Scores,
    /// The columns that an expert reads, side by side: `dim`, in models with experts.
    Gathered,
    /// What an expert makes of them: `dim`, in models with experts.
    Expert,
    /// Queries and gates of all heads, as one matrix makes them: `2 * heads * head_dim`.
    Joint,
    /// What gates the values that the heads have gathered: `heads * head_dim`.
    Gates,
    /// What a short convolution reads, and what it makes of it: its channels.
    Mixed,
    /// What gates that behind it: `dim`, or what the heads of a [`Step::Recall`] recall.
    Outlet,
    /// How much each head of a [`Step::Recall`] forgets: one value for each.
    Forgets,
    /// How much it learns: one value for each.
    Learns,
    /// What it recalls: `heads * head_dim` of its own heads.
    Recalled,
    /// How much a column takes of an expert that all go through: 1.
    Share,
    /// What each layer gets of a token beside the stream, one layer after the other.
    Inputs,
    /// What a layer lets in of it.
    Inlet,
}

impl Buffer {
    pub(crate) const ALL: [Buffer; 21] = [
        Buffer::Stream,
        Buffer::Normed,
        Buffer::Query,
        Buffer::Key,
        Buffer::Value,
        Buffer::Attended,
        Buffer::Hidden,
        Buffer::Delta,
        Buffer::Scores,
        Buffer::Gathered,
        Buffer::Expert,
        Buffer::Joint,
        Buffer::Gates,
        Buffer::Mixed,
        Buffer::Outlet,
        Buffer::Forgets,
        Buffer::Learns,
        Buffer::Recalled,
        Buffer::Share,
        Buffer::Inputs,
        Buffer::Inlet,
    ];
    pub(crate) const COUNT: usize = Buffer::ALL.len();

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// `weight . x + bias`
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    pub(crate) weight: Matrix,
    pub(crate) bias: Option<Vector>,
}

impl Projection {
    /// The projection to `count` of the outputs, from `first` on.
    pub(crate) fn part(&self, first: usize, count: usize) -> Projection {
        Projection {
            weight: self.weight.part(first, count),
            bias: self.bias.as_ref().map(|bias| bias.part(first, count)),
        }
    }
}

/// The most projections that one step computes from the same input.
pub(crate) const PROJECTIONS_MAX: usize = 4;
/// The most rotations that a program has.
pub(crate) const ROPES_MAX: usize = 2;

/// What lets hidden values through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Activation {
    /// `x / (1 + exp(-x))`
    Silu,
    /// The tangent form of the Gaussian unit: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    Gelu,
    /// `x * sigmoid(1.702 x)` of at most 7, and what it lets through is 1 more, between -6 and 8.
    ClampedSilu,
}

/// How a layer attends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    /// What the product of a query and a key becomes.
    pub(crate) score: Score,
    /// The most keys that a token sees, its own among them; all before it if `None`.
    pub(crate) window: Option<usize>,
}

/// How the scores of experts become a choice and shares.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// The greatest are chosen; their shares are the softmax of them.
    Softmax,
    /// Each score becomes `1 / (1 + exp(-x))`. With these biases added the greatest are chosen; their shares are their parts of
    /// the sum without.
    Sigmoid { bias: Vector },
}

/// What a layer keeps of past tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Key heads, and values of each.
    pub(crate) heads: usize,
    pub(crate) dim: usize,
    /// Whether only the last positions are ever seen.
    pub(crate) windowed: bool,
    /// Values of a position that the layers before keep: those without a window, and those with one.
    pub(crate) before: [usize; 2],
}

impl Kept {
    /// Values of a position that this layer and those before keep.
    pub(crate) fn behind(&self) -> [usize; 2] {
        let [all, windowed] = self.before;
        let own = self.heads * self.dim;
        if self.windowed { [all, windowed + own] } else { [all + own, windowed] }
    }
}

/// Feed-forward layers of which each token goes through a few.
#[derive(Clone, Debug)]
pub(crate) struct Experts {
    /// How many there are, and how many a token chooses.
    pub(crate) count: usize,
    pub(crate) used: usize,
    pub(crate) choice: Choice,
    /// Multiplies what they make.
    pub(crate) scale: f32,
    pub(crate) activation: Activation,
    /// Whether the hidden values are kept as floats.
    pub(crate) exact: bool,
    /// Rows of gates, of what they gate, and of what goes out: those of each expert, one expert after the other.
    pub(crate) matrices: [Projection; 3],
}

impl Experts {
    /// The projections of one expert.
    pub(crate) fn of(&self, expert: usize) -> [Projection; 3] {
        self.matrices.each_ref().map(|all| {
            let rows = all.weight.rows / self.count;
            all.part(expert * rows, rows)
        })
    }
}

/// What becomes of a gate before it multiplies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// Nothing.
    Plain,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
}

/// A convolution over the last few tokens, each channel by itself: `out[t] = sum of taps[i] * x[t - length + 1 + i]`. The inputs
/// of the `length - 1` tokens before a batch are in the layer's part of the recurrent state.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    /// Which layer with a state it is.
    pub(crate) layer: usize,
    pub(crate) channels: usize,
    /// Taps of a channel, which lie side by side, the last that of the token itself.
    pub(crate) length: usize,
    pub(crate) taps: Vector,
    /// Whether each result `x` becomes `x / (1 + exp(-x))`.
    pub(crate) silu: bool,
}

/// Heads that remember by a matrix each: the gated delta rule (arXiv:2412.06464). Of a token with query `q`, key `k`, both
/// of length 1, and value `v`
/// ```text
/// M = forget * M;   M += learn * (v - M k) k';   recalled = M q / sqrt(dim)
/// forget = exp(slope * softplus(Forgets + bias)),   learn = 1 / (1 + exp(-Learns))
/// ```
/// A column of [`Buffer::Mixed`] holds the queries of `key_heads` heads, their keys, and the values of `heads`; head `h` has the
/// key of head `h % key_heads`. The matrices are in the layer's part of the recurrent state, behind its convolution's.
#[derive(Clone, Debug)]
pub(crate) struct Recall {
    /// Which layer with a state it is.
    pub(crate) layer: usize,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    /// Width of a key and of a value.
    pub(crate) dim: usize,
    pub(crate) bias: Vector,
    pub(crate) slope: Vector,
}

impl Recall {
    /// Values of a column of [`Buffer::Mixed`].
    pub(crate) fn channels(&self) -> usize {
        (2 * self.key_heads + self.heads) * self.dim
    }

    /// Values of all matrices.
    pub(crate) fn state_len(&self) -> usize {
        // What overflows asks for more than there can be, which the arena refuses.
        self.heads.saturating_mul(self.dim).saturating_mul(self.dim)
    }
}

/// One step, applied to every column of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `Stream += positions[column's position in its text] + types[type of the text]`, as far as there are any.
    Place { positions: Option<Matrix>, types: Option<Matrix> },
    /// `to = (from - mean(from)) / deviation(from) * gain + bias`
    LayerNorm { from: Buffer, gain: Vector, bias: Option<Vector>, to: Buffer },
    /// `to = from / rms(from) * gain`
    Norm { from: Buffer, gain: Vector, to: Buffer },
    /// The same within `buffer`, for every `len` values by themselves: the length of the gain.
    /// There are `count` of them in a column, and gains of 1 if there are none.
    NormParts { buffer: Buffer, gain: Option<Vector>, len: usize, count: usize },
    /// `to = weight . from + bias`, for each projection.
    Linear { from: Buffer, projections: Vec<(Projection, Buffer)> },
    /// `Hidden = activation(gate . from) * (up . from)`; `exact` as floats, else quantised.
    Gated { from: Buffer, gate: Projection, up: Projection, activation: Activation, exact: bool },
    /// `Hidden = activation(projection . from)`; `exact` as floats, else quantised.
    Activate { from: Buffer, projection: Projection, activation: Activation, exact: bool },
    /// `Delta`, from the experts that the `Scores` choose.
    Experts { from: Buffer, experts: Experts },
    /// Turns every head of `buffer`, of `dim` values each, by its column's position, as the program's `rope`th rotation does.
    Rope { buffer: Buffer, rope: usize, heads: usize, dim: usize },
    /// Appends keys and values to the cache of `layer`.
    Store { layer: usize },
    /// `Attended = softmax(score(Query . keys)) . values`, over the cache of `layer`, causally.
    /// A score of `sinks` for each head takes its share and has no value.
    Attend { layer: usize, heads: usize, attention: Attention, sinks: Option<Vector> },
    /// `to += from * scale`
    Add { from: Buffer, to: Buffer, scale: f32 },
    /// `Delta *= 1 / (1 + exp(-Share))`, one share for a column.
    Share,
    /// Gives the first half of every `2 * len` values of [`Buffer::Joint`] to the queries and the second to the gates.
    Part { len: usize },
    /// `to *= gate(from)`
    Gate { from: Buffer, to: Buffer, gate: Gate },
    /// Convolves [`Buffer::Mixed`].
    Convolve(Convolution),
    /// `Recalled`, from the `Mixed` and what the layer remembers.
    Recall(Recall),
    /// `Outlet = silu(Outlet) * norm(Recalled)`, normed for every `len` values by themselves: the length of the gain.
    Release { gain: Vector, len: usize },
    /// `buffer *= by`, a single number.
    Scale { buffer: Buffer, by: Vector },
    /// `Inputs = (norm(Inputs * projected) * gain + row of the token * embedded) / sqrt(2)`, each layer's part normed by itself.
    Inputs { embedding: Matrix, gain: Vector, layers: usize, projected: f32, embedded: f32 },
    /// `Inlet = gelu(Inlet) * Inputs[layer]`
    Inlet { layer: usize, len: usize },
}

impl Step {
    /// The buffers that the step reads and those that it writes, as bits.
    fn uses(&self) -> (u32, u32) {
        match self {
            Step::Norm { from, to, .. } | Step::LayerNorm { from, to, .. } => (from.bit(), to.bit()),
            Step::Place { .. } => (Buffer::Stream.bit(), Buffer::Stream.bit()),
            Step::NormParts { buffer, .. } => (buffer.bit(), buffer.bit()),
            Step::Linear { from, projections } => {
                (from.bit(), projections.iter().map(|(_, to)| to.bit()).sum())
            }
            Step::Gated { from, .. } | Step::Activate { from, .. } => (from.bit(), Buffer::Hidden.bit()),
            Step::Experts { from, .. } => {
                let own = Buffer::Gathered.bit() | Buffer::Hidden.bit() | Buffer::Expert.bit();
                (from.bit() | Buffer::Scores.bit(), own | Buffer::Delta.bit())
            }
            Step::Rope { buffer, .. } => (buffer.bit(), buffer.bit()),
            Step::Store { .. } => (Buffer::Key.bit() | Buffer::Value.bit(), 0),
            Step::Attend { .. } => (Buffer::Query.bit(), Buffer::Attended.bit()),
            Step::Add { from, to, .. } | Step::Gate { from, to, .. } => (from.bit() | to.bit(), to.bit()),
            Step::Share => (Buffer::Share.bit() | Buffer::Delta.bit(), Buffer::Delta.bit()),
            Step::Part { .. } => (Buffer::Joint.bit(), Buffer::Query.bit() | Buffer::Gates.bit()),
            Step::Convolve(_) => (Buffer::Mixed.bit(), Buffer::Mixed.bit()),
            Step::Recall(_) => {
                let own = Buffer::Mixed.bit() | Buffer::Forgets.bit() | Buffer::Learns.bit();
                (own, own | Buffer::Recalled.bit())
            }
            Step::Release { .. } => (Buffer::Recalled.bit() | Buffer::Outlet.bit(), Buffer::Outlet.bit()),
            Step::Scale { buffer, .. } => (buffer.bit(), buffer.bit()),
            Step::Inputs { .. } => (Buffer::Inputs.bit(), Buffer::Inputs.bit()),
            Step::Inlet { .. } => (Buffer::Inlet.bit() | Buffer::Inputs.bit(), Buffer::Inlet.bit()),
        }
    }
}

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
    /// The most keys that a token sees in layers that only see the last ones.
    pub(crate) window: Option<usize>,
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
    /// Width of each buffer, in floats per column.
    pub(crate) widths: [usize; Buffer::COUNT],
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

    /// Where each buffer starts in the memory of one column, and how much that is, in values. Buffers that never hold
    /// something of use at the same time share their place.
    pub(crate) fn places(&self) -> ([usize; Buffer::COUNT], usize) {
        let conflicts = self.conflicts();
        let mut order = Buffer::ALL;
        order.sort_unstable_by_key(|buffer| core::cmp::Reverse(self.widths[*buffer as usize]));
        let mut places = [0; Buffer::COUNT];
        let mut total = 0;
        for (i, buffer) in order.into_iter().enumerate() {
            let width = self.widths[buffer as usize];
            // Those placed already that this one must not touch.
            let others = || order[..i].iter().filter(|other| conflicts[buffer as usize] & other.bit() != 0);
            let end = |other: &Buffer| places[*other as usize] + self.widths[*other as usize];
            let fits = |place: &usize| {
                others().all(|other| place + width <= places[*other as usize] || *place >= end(other))
            };
            // Behind one of them, if not at the start; behind the last it always fits.
            let place = others().map(end).chain([0]).filter(fits).min().unwrap_or(0);
            places[buffer as usize] = place;
            total = total.max(place + width);
        }
        (places, total)
    }

    /// For each buffer, those that hold something of use while it is written, as bits.
    fn conflicts(&self) -> [u32; Buffer::COUNT] {
        let mut conflicts = [0; Buffer::COUNT];
        let mut meet = |written: u32, others: u32| {
            for a in Buffer::ALL.into_iter().filter(|a| written & a.bit() != 0) {
                for b in Buffer::ALL.into_iter().filter(|b| others & b.bit() != 0) {
                    conflicts[a as usize] |= b.bit();
                    conflicts[b as usize] |= a.bit();
                }
            }
        };
        // The output norm reads the stream into the normed buffer, column by column; so both outlive the steps. What scores
        // texts goes from there into the delta and the scores.
        meet(Buffer::Normed.bit(), Buffer::Stream.bit());
        if self.head.is_some() {
            let all = Buffer::Normed.bit() | Buffer::Delta.bit() | Buffer::Scores.bit();
            meet(all, all);
        }
        let mut live =
            Buffer::Stream.bit() | if self.output_norm.is_none() { Buffer::Normed.bit() } else { 0 };
        for step in self.steps.iter().rev() {
            let (reads, writes) = step.uses();
            meet(writes, live | reads | writes);
            live = live & !writes | reads;
        }
        conflicts
    }

    /// The most experts that a token chooses.
    pub(crate) fn experts_used(&self) -> usize {
        let used = |step: &Step| if let Step::Experts { experts, .. } = step { experts.used } else { 0 };
        self.steps.iter().map(used).max().unwrap_or(0)
    }

    /// Every matrix that a token may be multiplied with.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = Use<'_>> {
        let of_steps = self.steps.iter().flat_map(|step| {
            let (from, linear, hidden, experts) = match step {
                Step::Linear { from, projections } => (*from, projections.as_slice(), [None; 2], None),
                Step::Gated { from, gate, up, .. } => (*from, &[][..], [Some(gate), Some(up)], None),
                Step::Activate { from, projection, .. } => (*from, &[][..], [Some(projection), None], None),
                Step::Experts { experts, .. } => (Buffer::Gathered, &[][..], [None; 2], Some(experts)),
                _ => (Buffer::Stream, &[][..], [None; 2], None),
            };
            let projections =
                linear.iter().map(|(projection, _)| projection).chain(hidden.into_iter().flatten());
            let whole = projections.map(move |projection| Use::whole(from, &projection.weight));
            whole.chain(experts.into_iter().flat_map(|experts| {
                let reads = [Buffer::Gathered, Buffer::Gathered, Buffer::Hidden];
                reads.into_iter().zip(&experts.matrices).map(|(from, projection)| Use {
                    from,
                    matrix: &projection.weight,
                    used: experts.used,
                    of: experts.count,
                })
            }))
        });
        let output = self.output.iter().map(|output| Use::whole(Buffer::Normed, output));
        of_steps.chain(output).chain(self.head.iter().flat_map(Head::matrices))
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
