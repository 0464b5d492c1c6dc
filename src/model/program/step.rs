//! Floor 2. What a program can do: its steps, with the formula of each.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use bantam_kernels::Scales;
use bantam_kernels::attention::Score;

use super::{Buffer, Use};
use crate::model::weights::{Matrix, Vector};

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
    /// How the hidden values are quantised; if not, they are kept as floats.
    pub(crate) hidden: Option<Scales>,
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
    /// `Hidden = activation(gate . from) * (up . from)`, quantised with the scales of `hidden`, or as floats.
    Gated { from: Buffer, gate: Projection, up: Projection, activation: Activation, hidden: Option<Scales> },
    /// `Hidden = activation(projection . from)`, quantised with the scales of `hidden`, or as floats.
    Activate { from: Buffer, projection: Projection, activation: Activation, hidden: Option<Scales> },
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
    /// Gives the first half of every `2 * len` values of [`Buffer::Joint`] to the queries of a head and the second to its gates.
    Part { len: usize, heads: usize },
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
    /// Matrix `i` that the step multiplies with.
    pub(super) fn matrix(&self, i: usize) -> Option<Use<'_>> {
        match self {
            Step::Linear { from, projections } => {
                projections.get(i).map(|(projection, _)| Use::whole(*from, &projection.weight))
            }
            Step::Gated { from, gate, up, .. } => {
                [gate, up].get(i).map(|projection| Use::whole(*from, &projection.weight))
            }
            Step::Activate { from, projection, .. } => {
                (i == 0).then(|| Use::whole(*from, &projection.weight))
            }
            Step::Experts { experts, .. } => {
                // What is gated, its gate, and what goes out.
                let from = if i < 2 { Buffer::Gathered } else { Buffer::Hidden };
                experts.matrices.get(i).map(|projection| Use::of_experts(from, projection, experts))
            }
            _ => None,
        }
    }
}
