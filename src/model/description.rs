//! Floor 2. The words in which an architecture describes itself: what its layers do in order, with the names of their
//! tensors. Each writes a step or two of the Program, with views of the weights that were checked against the metadata.
//!
//! Every projection and norm has a bias where the file has one: a model that was trained with it came with it.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;

use super::hyper::{HyperParameters, Keys};
use super::program::{
    Activation, Attention, Buffer, Experts, Logits, Program, Projection, ROPES_MAX, Step, Steps,
};
use super::rope::Rope;
use super::weights::Tensors;
use super::windows::Windows;
use crate::error::{Error, Result, text};

/// A model that is being described.
pub(crate) struct Description<'a> {
    pub(crate) keys: Keys<'a>,
    pub(crate) hyper: &'a HyperParameters,
    pub(crate) tensors: &'a Tensors<'a>,
    /// Multiplies the embedding of a token.
    pub(crate) embedding_scale: f32,
    /// Multiplies what a block adds to the stream.
    pub(crate) residual_scale: f32,
    pub(crate) logits: Logits,
    /// Whether the first values of a head may be turned and the rest not.
    pub(crate) turns_parts: bool,
    ropes: Vec<Rope>,
    steps: Steps,
    /// Values of a hidden column that are kept as floats: where a projection reads them so.
    exact_hidden: usize,
    /// Experts of a layer.
    experts: usize,
}

/// How tokens choose experts.
#[derive(Clone, Copy)]
pub(crate) struct Routing {
    pub(crate) count: usize,
    pub(crate) used: usize,
    /// Hidden values of an expert.
    pub(crate) ffn: usize,
    /// Multiplies what the experts make.
    pub(crate) scale: f32,
}

/// One layer of it.
pub(crate) struct Layer<'m, 'a> {
    model: &'m mut Description<'a>,
    index: usize,
}

impl<'a> Description<'a> {
    pub(crate) fn new(
        keys: Keys<'a>,
        hyper: &'a HyperParameters,
        tensors: &'a Tensors<'a>,
    ) -> Description<'a> {
        Description {
            keys,
            hyper,
            tensors,
            embedding_scale: 1.0,
            residual_scale: 1.0,
            logits: Logits { scale: 1.0, cap: None },
            turns_parts: false,
            ropes: Vec::new(),
            steps: Steps::new(),
            exact_hidden: 0,
            experts: 0,
        }
    }

    /// Refuses what a model of the architecture may have and this description leaves out.
    pub(crate) fn refuse_experts(&self) -> Result<()> {
        match self.keys.u32_if_any("expert_count")? {
            None | Some(0) => Ok(()),
            Some(experts) => {
                let architecture = self.keys.architecture;
                Err(Error::Unsupported(text!("a {architecture} model with {experts} experts")))
            }
        }
    }

    /// The rotation of the keys `rope.*`, as a number for [`Layer::rope`].
    pub(crate) fn rope(&mut self, pairs: RopePairs) -> Result<usize> {
        let rope = Rope::read(self.keys, self.hyper, self.tensors, pairs)?;
        self.add_rope(rope)
    }

    /// The same, with other angles in long contexts than in short ones if the file has both.
    pub(crate) fn rope_by_context(&mut self, pairs: RopePairs) -> Result<usize> {
        let rope = Rope::read(self.keys, self.hyper, self.tensors, pairs)?;
        let rope = rope.by_context(self.tensors)?;
        self.add_rope(rope)
    }

    /// A rotation as that one, of another base and never stretched: the base of the key, or `base`, or that one's.
    pub(crate) fn unscaled_rope(&mut self, rope: usize, key: &str, base: Option<f32>) -> Result<usize> {
        let base = self.keys.factor(key)?.or(base);
        let unscaled = self.ropes[rope].unscaled(base);
        self.add_rope(unscaled)
    }

    fn add_rope(&mut self, rope: Rope) -> Result<usize> {
        let memory = Error::Memory { what: "the model's program", bytes: size_of::<Rope>() as u64 };
        self.ropes.try_reserve(1).map_err(|_| memory)?;
        self.ropes.push(rope);
        debug_assert!(self.ropes.len() <= ROPES_MAX, "scratch has angles of so many");
        Ok(self.ropes.len() - 1)
    }

    /// Attention to all tokens before, with scores divided by the root of a head's width.
    pub(crate) fn attention(&self) -> Attention {
        Attention { score: (1.0 / math::sqrt(self.hyper.head_dim as f32)).into(), window: None }
    }

    /// The same, or with scores multiplied by the key `attention.scale`.
    pub(crate) fn scaled_attention(&self) -> Result<Attention> {
        let scale = self.keys.factor("attention.scale")?;
        Ok(scale.map_or(self.attention(), |scale| Attention { score: scale.into(), window: None }))
    }

    /// The same; in a model of so many layers, the width is a head's part of the stream instead.
    pub(crate) fn attention_of_part(&self, layers: usize) -> Attention {
        if self.hyper.layers != layers {
            return self.attention();
        }
        let width = (self.hyper.dim / self.hyper.heads).max(1);
        Attention { score: (1.0 / math::sqrt(width as f32)).into(), window: None }
    }

    /// Which layers see the last tokens only: all but every such one, unless the file says otherwise.
    pub(crate) fn windows(&self, every: usize) -> Result<Windows<'a>> {
        Windows::read(self.keys, every, self.hyper.layers)
    }

    /// The keys `expert_*` of a model with experts, each as wide as a feed-forward layer.
    pub(crate) fn routing(&self) -> Result<Option<Routing>> {
        if self.keys.u32_if_any("expert_count")?.is_none_or(|count| count == 0) {
            return Ok(None);
        }
        let (count, used) = (self.keys.count("expert_count")?, self.keys.count("expert_used_count")?);
        if used > count {
            let architecture = self.keys.architecture;
            return Err(Error::Inconsistent(text!(
                "{architecture}.expert_used_count is {used}, and there are {count} experts"
            )));
        }
        let scale = self.keys.factor("expert_weights_scale")?.unwrap_or(1.0);
        Ok(Some(Routing { count, used, ffn: self.hyper.ffn, scale }))
    }

    pub(crate) fn layer(&mut self, index: usize) -> Layer<'_, 'a> {
        Layer { model: self, index }
    }

    /// The program of the steps so far, between an embedding and the scores of tokens.
    pub(crate) fn finish(self) -> Result<Program> {
        let HyperParameters { dim, heads, kv_heads, head_dim, vocab_size, .. } = *self.hyper;
        let embedding = self.tensors.matrix(text!("token_embd.weight"), dim, vocab_size)?;
        let output = self.tensors.matrix_if_any(text!("output.weight"), dim, vocab_size)?;
        let odd = self.ropes.iter().map(|rope| rope.width).find(|&width| width != head_dim);
        if let Some(turned) = odd.filter(|_| !self.turns_parts) {
            let architecture = self.keys.architecture;
            return Err(Error::Unsupported(text!(
                "{architecture}.rope.dimension_count is {turned}; such a model turns whole heads of {head_dim}"
            )));
        }
        Ok(Program {
            ropes: self.ropes,
            steps: self.steps.finish(),
            output_norm: self.tensors.vector(text!("output_norm.weight"), dim)?,
            // Without an output matrix of its own, the model scores tokens with the embedding.
            output: output.unwrap_or_else(|| embedding.clone()),
            embedding,
            embedding_scale: self.embedding_scale,
            logits: self.logits,
            widths: Buffer::ALL.map(|buffer| match buffer {
                Buffer::Stream | Buffer::Normed | Buffer::Delta => dim,
                Buffer::Query | Buffer::Attended => heads * head_dim,
                Buffer::Key | Buffer::Value => kv_heads * head_dim,
                Buffer::Hidden => self.exact_hidden,
                Buffer::Scores => self.experts,
                Buffer::Gathered | Buffer::Expert => {
                    if self.experts > 0 {
                        dim
                    } else {
                        0
                    }
                }
            }),
        })
    }
}

impl Layer<'_, '_> {
    /// `to = norm(from)`, with gains of the width of the stream.
    pub(crate) fn norm(&mut self, from: Buffer, name: &str, to: Buffer) -> Result<()> {
        let gain =
            self.model.tensors.vector(text!("blk.{}.{name}.weight", self.index), self.model.hyper.dim)?;
        self.model.steps.push(Step::Norm { from, gain, to })
    }

    /// Norms each head of queries and keys by itself: `attn_q_norm`, `attn_k_norm`.
    pub(crate) fn norm_heads(&mut self) -> Result<()> {
        let head_dim = self.model.hyper.head_dim;
        self.norm_parts(Buffer::Query, "attn_q_norm", head_dim)?;
        self.norm_parts(Buffer::Key, "attn_k_norm", head_dim)
    }

    /// Norms the queries of all heads together, and the keys: `attn_q_norm`, `attn_k_norm`.
    pub(crate) fn norm_all_heads(&mut self) -> Result<()> {
        let HyperParameters { heads, kv_heads, head_dim, .. } = *self.model.hyper;
        self.norm_parts(Buffer::Query, "attn_q_norm", heads * head_dim)?;
        self.norm_parts(Buffer::Key, "attn_k_norm", kv_heads * head_dim)
    }

    fn norm_parts(&mut self, buffer: Buffer, name: &str, len: usize) -> Result<()> {
        let gain = self.model.tensors.vector(text!("blk.{}.{name}.weight", self.index), len)?;
        self.model.steps.push(Step::NormParts { buffer, gain, len })
    }

    /// Queries, keys and values: `attn_q`, `attn_k`, `attn_v`, or all of them in `attn_qkv`.
    pub(crate) fn project_heads(&mut self, from: Buffer) -> Result<()> {
        let HyperParameters { dim, heads, kv_heads, head_dim, .. } = *self.model.hyper;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let [query, key, value] = match self.project_if_any("attn_qkv", dim, q + 2 * kv)? {
            Some(all) => [all.part(0, q), all.part(q, kv), all.part(q + kv, kv)],
            None => [
                self.project("attn_q", dim, q)?,
                self.project("attn_k", dim, kv)?,
                self.project("attn_v", dim, kv)?,
            ],
        };
        let to = [(query, Buffer::Query), (key, Buffer::Key), (value, Buffer::Value)];
        self.model.steps.linear(from, to)
    }

    /// Turns queries and keys by their positions.
    pub(crate) fn rope(&mut self, rope: usize) -> Result<()> {
        self.model.steps.push(Step::Rope { buffer: Buffer::Query, rope })?;
        self.model.steps.push(Step::Rope { buffer: Buffer::Key, rope })
    }

    /// Keeps keys and values, gathers the values of those that the queries find, and projects them into the delta:
    /// `attn_output`. Where the file has them, `attn_sinks` take their share of each head's attention.
    pub(crate) fn attend(&mut self, attention: Attention) -> Result<()> {
        let (layer, hyper) = (self.index, self.model.hyper);
        let output = self.project("attn_output", hyper.heads * hyper.head_dim, hyper.dim)?;
        self.model.steps.push(Step::Store { layer })?;
        let sinks = text!("blk.{}.attn_sinks.weight", self.index);
        let sinks = self.model.tensors.vector_if_any(sinks, hyper.heads)?;
        self.model.steps.push(Step::Attend { layer, attention, sinks })?;
        self.model.steps.linear(Buffer::Attended, [(output, Buffer::Delta)])
    }

    /// The gated feed-forward layer into the delta: `ffn_gate`, `ffn_up`, `ffn_down`.
    pub(crate) fn feed_forward(&mut self, from: Buffer, activation: Activation) -> Result<()> {
        let HyperParameters { dim, ffn, .. } = *self.model.hyper;
        let (gate, up) = (self.project("ffn_gate", dim, ffn)?, self.project("ffn_up", dim, ffn)?);
        let down = self.project("ffn_down", ffn, dim)?;
        self.gated(from, [gate, up, down], activation)
    }

    /// The same of `ffn` hidden values, which every token goes through beside the experts that it chooses.
    pub(crate) fn shared_expert(&mut self, from: Buffer, ffn: usize, activation: Activation) -> Result<()> {
        let dim = self.model.hyper.dim;
        let gate = self.project("ffn_gate_shexp", dim, ffn)?;
        let up = self.project("ffn_up_shexp", dim, ffn)?;
        let down = self.project("ffn_down_shexp", ffn, dim)?;
        self.gated(from, [gate, up, down], activation)
    }

    /// The same with gates and what they gate in one matrix, the gates first: `ffn_up`, `ffn_down`.
    pub(crate) fn joint_feed_forward(&mut self, from: Buffer, activation: Activation) -> Result<()> {
        let HyperParameters { dim, ffn, .. } = *self.model.hyper;
        let both = self.project("ffn_up", dim, 2 * ffn)?;
        let down = self.project("ffn_down", ffn, dim)?;
        self.gated(from, [both.part(0, ffn), both.part(ffn, ffn), down], activation)
    }

    fn gated(
        &mut self,
        from: Buffer,
        [gate, up, down]: [Projection; 3],
        activation: Activation,
    ) -> Result<()> {
        let exact = !down.weight.format.wants_q8();
        if exact {
            self.model.exact_hidden = self.model.exact_hidden.max(down.weight.k);
        }
        self.model.steps.push(Step::Gated { from, gate, up, activation, exact })?;
        self.model.steps.linear(Buffer::Hidden, [(down, Buffer::Delta)])
    }

    /// The feed-forward layers of the chosen experts into the delta: `ffn_gate_inp` chooses, and `ffn_gate_exps`, `ffn_up_exps`
    /// and `ffn_down_exps` hold those of all.
    pub(crate) fn experts(&mut self, from: Buffer, routing: Routing, activation: Activation) -> Result<()> {
        let (dim, Routing { count, used, ffn, scale }) = (self.model.hyper.dim, routing);
        let router = self.project("ffn_gate_inp", dim, count)?;
        let all = |name: &str, k, rows| {
            let weight = text!("blk.{}.{name}.weight", self.index);
            let weight = self.model.tensors.matrices(weight, k, rows, count)?;
            let bias = text!("blk.{}.{name}.bias", self.index);
            let bias = self.model.tensors.vectors_if_any(bias, rows, count)?;
            Ok::<_, Error>(Projection { weight, bias })
        };
        let gate = all("ffn_gate_exps", dim, ffn)?;
        let up = all("ffn_up_exps", dim, ffn)?;
        let down = all("ffn_down_exps", ffn, dim)?;
        let exact = !down.weight.format.wants_q8();
        if exact {
            self.model.exact_hidden = self.model.exact_hidden.max(ffn);
        }
        self.model.experts = self.model.experts.max(count);
        self.model.steps.linear(from, [(router, Buffer::Scores)])?;
        let matrices = [gate, up, down];
        let experts = Experts { count, used, scale, activation, exact, matrices };
        self.model.steps.push(Step::Experts { from, experts })
    }

    /// Adds to the stream.
    pub(crate) fn add(&mut self, from: Buffer) -> Result<()> {
        let scale = self.model.residual_scale;
        self.model.steps.push(Step::Add { from, to: Buffer::Stream, scale })
    }

    fn project(&self, name: &str, k: usize, rows: usize) -> Result<Projection> {
        Ok(Projection {
            weight: self.model.tensors.matrix(text!("blk.{}.{name}.weight", self.index), k, rows)?,
            bias: self.model.tensors.vector_if_any(text!("blk.{}.{name}.bias", self.index), rows)?,
        })
    }

    fn project_if_any(&self, name: &str, k: usize, rows: usize) -> Result<Option<Projection>> {
        let name_of = |what| text!("blk.{}.{name}.{what}", self.index);
        let Some(weight) = self.model.tensors.matrix_if_any(name_of("weight"), k, rows)? else {
            return Ok(None);
        };
        let bias = self.model.tensors.vector_if_any(name_of("bias"), rows)?;
        Ok(Some(Projection { weight, bias }))
    }
}
