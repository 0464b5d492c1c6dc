//! Floor 2. The words in which an architecture describes itself: what its layers do in order, with the names of their
//! tensors. Each writes a step or two of the Program, with views of the weights that were checked against the metadata.
//!
//! Every projection and norm has a bias where the file has one: a model that was trained with it came with it.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;
use bantam_kernels::recurrent::TAPS_MAX;

use super::hyper::{HyperParameters, Keys, SHAPE_MAX};
use super::pooling::{Head, Pooling};
use super::program::{
    Activation, Attention, Buffer, Choice, Convolution, Experts, Gate, Kept, Logits, Program, Projection,
    ROPES_MAX, Recall, Step, Steps,
};
use super::rope::Rope;
use super::weights::{Matrix, Tensors, Vector};
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
    /// Whether the model reads texts and writes none: it has no norm behind its layers, which leave their result in the normed
    /// buffer, and scores no tokens; and tokens see those behind them, unless the file says otherwise.
    pub(crate) is_encoder: bool,
    ropes: Vec<Rope>,
    steps: Steps,
    /// Values of a hidden column that are kept as floats: where a projection reads them so.
    exact_hidden: usize,
    /// Experts of a layer.
    experts: usize,
    /// The tensor with the gains of the norm behind all layers.
    pub(crate) output_norm: &'static str,
    /// Layers so far that carry a state.
    states: usize,
    /// Channels of a convolution, values of what gates what is behind it, and heads that recall with the values of theirs.
    channels: usize,
    outlets: usize,
    recalling: (usize, usize),
    /// Whether a matrix makes gates beside the queries.
    gates_heads: bool,
    /// Whether a column takes a share of an expert that all go through.
    shares: bool,
    /// What the layers so far keep of past tokens, and how much the windows of some of them have.
    kept: Vec<Kept>,
    window: Option<usize>,
    /// The most values of all queries, and of all keys, that a layer has.
    queries: usize,
    keyed: usize,
    /// Values that each layer gets of a token beside the stream.
    inputs: usize,
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
    /// Whether scores go through a sigmoid, and `exp_probs_b` is added where they are compared.
    pub(crate) sigmoid: bool,
}

/// The heads of a layer.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    /// Of queries.
    pub(crate) count: usize,
    /// Of keys and values; each serves as many of queries as any other.
    pub(crate) keys: usize,
    /// Values of each.
    pub(crate) dim: usize,
}

/// One layer of it.
pub(crate) struct Layer<'m, 'a> {
    model: &'m mut Description<'a>,
    index: usize,
    /// Its heads: those of the metadata, unless the architecture says otherwise.
    pub(crate) heads: Heads,
    /// Its hidden values, likewise.
    pub(crate) ffn: usize,
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
            is_encoder: false,
            ropes: Vec::new(),
            steps: Steps::new(),
            exact_hidden: 0,
            experts: 0,
            output_norm: "output_norm",
            states: 0,
            channels: 0,
            outlets: 0,
            recalling: (0, 0),
            gates_heads: false,
            shares: false,
            kept: Vec::new(),
            window: None,
            queries: 0,
            keyed: 0,
            inputs: 0,
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

    /// Pairs of a head that the first rotation turns.
    pub(crate) fn rope_pairs(&self) -> usize {
        self.ropes.first().map_or(0, |rope| rope.width / 2)
    }

    /// A rotation as that one, of another base and never stretched: the base of the key, or `base`, or that one's.
    pub(crate) fn unscaled_rope(&mut self, rope: usize, key: &str, base: Option<f32>) -> Result<usize> {
        let base = self.keys.factor(key)?.or(base);
        let unscaled = self.ropes[rope].unscaled(base);
        self.add_rope(unscaled)
    }

    /// The same of another number of turned values.
    pub(crate) fn narrow_rope(
        &mut self,
        rope: usize,
        key: &str,
        base: Option<f32>,
        width: usize,
    ) -> Result<usize> {
        let rope = self.unscaled_rope(rope, key, base)?;
        self.ropes[rope].width = width;
        Ok(rope)
    }

    /// Whether the hidden values that `down` reads are kept as floats, for which there is room then.
    fn keeps_exact(&mut self, down: &Projection) -> bool {
        let exact = !down.weight.format.wants_q8();
        if exact {
            self.exact_hidden = self.exact_hidden.max(down.weight.k);
        }
        exact
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
        Ok(Some(Routing { count, used, ffn: self.hyper.ffn, scale, sigmoid: false }))
    }

    /// Makes what each layer gets of a token beside the stream, `len` values: of a row of `per_layer_token_embd`, and of what
    /// `per_layer_model_proj` makes of the stream at its start, normed by `per_layer_proj_norm`.
    pub(crate) fn layer_inputs(&mut self, len: usize) -> Result<()> {
        let HyperParameters { dim, layers, vocab_size, .. } = *self.hyper;
        let tensors = self.tensors;
        let embedding = tensors.matrix(text!("per_layer_token_embd.weight"), len * layers, vocab_size)?;
        let weight = tensors.matrix(text!("per_layer_model_proj.weight"), dim, len * layers)?;
        let gain = tensors.vector(text!("per_layer_proj_norm.weight"), len)?;
        let (projected, embedded) = (1.0 / math::sqrt(dim as f32), math::sqrt(len as f32));
        self.inputs = len;
        self.steps.linear(Buffer::Stream, [(Projection { weight, bias: None }, Buffer::Inputs)])?;
        self.steps.push(Step::Inputs { embedding, gain, layers, projected, embedded })
    }

    /// Adds what the tables know of a token's place: `position_embd` of its position, if the architecture has `learned` ones, and
    /// `token_types` of its text. Then `token_embd_norm`, into the normed buffer.
    pub(crate) fn place(&mut self, learned: bool) -> Result<()> {
        let HyperParameters { dim, context_length, .. } = *self.hyper;
        let positions = match learned {
            true => Some(self.tensors.matrix(text!("position_embd.weight"), dim, context_length)?),
            false => None,
        };
        let found = self.keys.file.tensor("token_types.weight");
        let types = found.and_then(|tensor| usize::try_from(tensor.shape[1]).ok()).unwrap_or(1);
        let types = self.tensors.matrix_if_any(text!("token_types.weight"), dim, types)?;
        if positions.is_some() || types.is_some() {
            self.steps.push(Step::Place { positions, types })?;
        }
        let (gain, bias) = self.layer_norm("token_embd_norm", dim)?;
        self.steps.push(Step::LayerNorm { from: Buffer::Stream, gain, bias, to: Buffer::Normed })
    }

    fn layer_norm(&self, name: &str, len: usize) -> Result<(Vector, Option<Vector>)> {
        let gain = self.tensors.vector(text!("{name}.weight"), len)?;
        Ok((gain, self.tensors.vector_if_any(text!("{name}.bias"), len)?))
    }

    pub(crate) fn layer(&mut self, index: usize) -> Layer<'_, 'a> {
        let HyperParameters { heads: count, kv_heads: keys, head_dim: dim, ffn, .. } = *self.hyper;
        Layer { model: self, index, heads: Heads { count, keys, dim }, ffn }
    }

    /// The program of the steps so far, between an embedding and the scores of tokens.
    pub(crate) fn finish(self) -> Result<Program> {
        let HyperParameters { dim, vocab_size, .. } = *self.hyper;
        let embedding = self.tensors.matrix(text!("token_embd.weight"), dim, vocab_size)?;
        let (output_norm, output) = if self.is_encoder {
            (None, None)
        } else {
            let output = self.tensors.matrix_if_any(text!("output.weight"), dim, vocab_size)?;
            // Without an output matrix of its own, the model scores tokens with the embedding.
            let output = output.unwrap_or_else(|| embedding.clone());
            (Some(self.tensors.vector(text!("{}.weight", self.output_norm), dim)?), Some(output))
        };
        let causal = self.keys.bool_if_any("attention.causal")?.unwrap_or(!self.is_encoder);
        let pooling = Pooling::read(self.keys)?;
        let head = Head::read(self.keys, self.tensors, dim)?;
        let labels =
            head.as_ref().and_then(|head| head.output.as_ref()).map_or(0, |output| output.weight.rows);
        Ok(Program {
            ropes: self.ropes,
            steps: self.steps.finish(),
            kept: self.kept,
            window: self.window,
            output_norm,
            output,
            causal,
            pooling,
            head,
            embedding,
            embedding_scale: self.embedding_scale,
            logits: self.logits,
            widths: Buffer::ALL.map(|buffer| match buffer {
                Buffer::Stream | Buffer::Normed | Buffer::Delta => dim,
                Buffer::Query | Buffer::Attended => self.queries,
                Buffer::Key | Buffer::Value => self.keyed,
                Buffer::Inputs => self.inputs * self.hyper.layers,
                Buffer::Inlet => self.inputs,
                Buffer::Hidden => self.exact_hidden,
                Buffer::Scores => self.experts.max(labels),
                Buffer::Joint if self.gates_heads => 2 * self.queries,
                Buffer::Gates if self.gates_heads => self.queries,
                Buffer::Joint | Buffer::Gates => 0,
                Buffer::Mixed => self.channels,
                Buffer::Outlet => self.outlets,
                Buffer::Forgets | Buffer::Learns => self.recalling.0,
                Buffer::Recalled => self.recalling.1,
                Buffer::Share => usize::from(self.shares),
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

    /// `to = layer_norm(from)`
    pub(crate) fn layer_norm(&mut self, from: Buffer, name: &str, to: Buffer) -> Result<()> {
        let name = text!("blk.{}.{name}", self.index);
        let (gain, bias) = self.model.layer_norm(name.as_str(), self.model.hyper.dim)?;
        self.model.steps.push(Step::LayerNorm { from, gain, bias, to })
    }

    /// Norms each head of queries and keys by itself: `attn_q_norm`, `attn_k_norm`.
    pub(crate) fn norm_heads(&mut self) -> Result<()> {
        self.norm_queries()?;
        self.norm_keys()
    }

    /// The same of queries alone.
    pub(crate) fn norm_queries(&mut self) -> Result<()> {
        self.norm_parts(Buffer::Query, Some("attn_q_norm"), self.heads.dim, self.heads.count)
    }

    /// The same of keys alone.
    pub(crate) fn norm_keys(&mut self) -> Result<()> {
        self.norm_parts(Buffer::Key, Some("attn_k_norm"), self.heads.dim, self.heads.keys)
    }

    /// Norms the value of each head by itself, without gains.
    pub(crate) fn norm_values(&mut self) -> Result<()> {
        self.norm_parts(Buffer::Value, None, self.heads.dim, self.heads.keys)
    }

    /// Norms the queries of all heads together, and the keys: `attn_q_norm`, `attn_k_norm`.
    pub(crate) fn norm_all_heads(&mut self) -> Result<()> {
        let Heads { count, keys, dim } = self.heads;
        self.norm_parts(Buffer::Query, Some("attn_q_norm"), count * dim, 1)?;
        self.norm_parts(Buffer::Key, Some("attn_k_norm"), keys * dim, 1)
    }

    fn norm_parts(&mut self, buffer: Buffer, name: Option<&str>, len: usize, count: usize) -> Result<()> {
        let gain = |name| self.model.tensors.vector(text!("blk.{}.{name}.weight", self.index), len);
        let gain = name.map(gain).transpose()?;
        self.model.steps.push(Step::NormParts { buffer, gain, len, count })
    }

    /// Queries, keys and values: `attn_q`, `attn_k`, `attn_v`, or all of them in `attn_qkv`.
    pub(crate) fn project_heads(&mut self, from: Buffer) -> Result<()> {
        let (dim, [q, kv]) = (self.model.hyper.dim, self.head_widths());
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

    /// The same, where keys are values as well if the file has no `attn_v`.
    pub(crate) fn project_heads_or_keys(&mut self, from: Buffer) -> Result<()> {
        let (dim, [q, kv]) = (self.model.hyper.dim, self.head_widths());
        let (query, key) = (self.project("attn_q", dim, q)?, self.project("attn_k", dim, kv)?);
        let value = self.project_if_any("attn_v", dim, kv)?.unwrap_or_else(|| key.clone());
        let to = [(query, Buffer::Query), (key, Buffer::Key), (value, Buffer::Value)];
        self.model.steps.linear(from, to)
    }

    /// Queries alone: `attn_q`.
    pub(crate) fn project_queries(&mut self, from: Buffer) -> Result<()> {
        let [q, _] = self.head_widths();
        let query = self.project("attn_q", self.model.hyper.dim, q)?;
        self.model.steps.linear(from, [(query, Buffer::Query)])
    }

    /// Takes no notice of the tensors that would make keys and values: some files have them in layers that keep none.
    pub(crate) fn leave_out_keys(&self) {
        for name in ["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"] {
            self.model.tensors.leave_out(text!("blk.{}.{name}", self.index));
        }
    }

    /// An error if the heads cannot be shared, or are wider than any should be.
    pub(crate) fn check_heads(&self) -> Result<()> {
        let (Heads { count, keys, dim }, index) = (self.heads, self.index);
        if !count.is_multiple_of(keys)
            || count.checked_mul(dim).is_none_or(|width| width > SHAPE_MAX as usize)
        {
            return Err(Error::Inconsistent(text!(
                "layer {index}: {count} query heads of {dim} cannot share {keys} key heads"
            )));
        }
        Ok(())
    }

    /// Values of all queries, and of all keys.
    fn head_widths(&mut self) -> [usize; 2] {
        let Heads { count, keys, dim } = self.heads;
        let widths = [count * dim, keys * dim];
        self.model.queries = self.model.queries.max(widths[0]);
        self.model.keyed = self.model.keyed.max(widths[1]);
        widths
    }

    /// Turns queries and keys by their positions.
    pub(crate) fn rope(&mut self, rope: usize) -> Result<()> {
        self.rope_queries(rope)?;
        let Heads { keys: heads, dim, .. } = self.heads;
        self.model.steps.push(Step::Rope { buffer: Buffer::Key, rope, heads, dim })
    }

    /// The same of queries alone.
    pub(crate) fn rope_queries(&mut self, rope: usize) -> Result<()> {
        let Heads { count: heads, dim, .. } = self.heads;
        let turned = self.model.ropes[rope].width;
        if turned > dim || turned < dim && !self.model.turns_parts {
            let architecture = self.model.keys.architecture;
            return Err(Error::Unsupported(text!(
                "{architecture}.rope.dimension_count is {turned}; such a model turns whole heads of {dim}"
            )));
        }
        self.model.steps.push(Step::Rope { buffer: Buffer::Query, rope, heads, dim })
    }

    /// Keeps keys and values, gathers the values of those that the queries find, and projects them into the delta:
    /// `attn_output`. Where the file has them, `attn_sinks` take their share of each head's attention. Says what number the keys
    /// and values have.
    pub(crate) fn attend(&mut self, attention: Attention) -> Result<usize> {
        let layer = self.keep(attention)?;
        self.attend_again(layer, attention)?;
        Ok(layer)
    }

    /// The same, to the keys and values that an earlier layer has kept.
    pub(crate) fn attend_again(&mut self, layer: usize, attention: Attention) -> Result<()> {
        self.look_up(layer, attention)?;
        let output = self.project("attn_output", self.heads.count * self.heads.dim, self.model.hyper.dim)?;
        self.model.steps.linear(Buffer::Attended, [(output, Buffer::Delta)])
    }

    /// The same, with what the heads gather gated by those of [`Layer::project_gated_heads`].
    pub(crate) fn attend_gated(&mut self, attention: Attention) -> Result<()> {
        let layer = self.keep(attention)?;
        self.look_up(layer, attention)?;
        let output = self.project("attn_output", self.heads.count * self.heads.dim, self.model.hyper.dim)?;
        let gate = Step::Gate { from: Buffer::Gates, to: Buffer::Attended, gate: Gate::Sigmoid };
        self.model.steps.push(gate)?;
        self.model.steps.linear(Buffer::Attended, [(output, Buffer::Delta)])
    }

    /// Keeps keys and values, and says what number they have.
    fn keep(&mut self, attention: Attention) -> Result<usize> {
        if !self.model.keys.has_keys(self.index) {
            let (architecture, index) = (self.model.keys.architecture, self.index);
            return Err(Error::Inconsistent(text!(
                "{architecture}.attention.head_count_kv gives layer {index}, which attends, no key heads"
            )));
        }
        let layer = self.model.kept.len();
        let Heads { keys: heads, dim, .. } = self.heads;
        let before = self.model.kept.last().map_or([0; 2], Kept::behind);
        let memory = Error::Memory { what: "the model's program", bytes: size_of::<Kept>() as u64 };
        self.model.kept.try_reserve(1).map_err(|_| memory)?;
        self.model.kept.push(Kept { heads, dim, windowed: attention.window.is_some(), before });
        self.model.window = self.model.window.max(attention.window);
        self.model.steps.push(Step::Store { layer })?;
        Ok(layer)
    }

    /// Gathers the values of those keys that the queries find.
    fn look_up(&mut self, layer: usize, attention: Attention) -> Result<()> {
        let heads = self.heads.count;
        let sinks = text!("blk.{}.attn_sinks.weight", self.index);
        let sinks = self.model.tensors.vector_if_any(sinks, heads)?;
        self.model.steps.push(Step::Attend { layer, heads, attention, sinks })
    }

    /// Queries with a gate behind each, keys and values: `attn_q`, `attn_k`, `attn_v`.
    pub(crate) fn project_gated_heads(&mut self, from: Buffer) -> Result<()> {
        let (dim, [q, kv]) = (self.model.hyper.dim, self.head_widths());
        let joint = self.project("attn_q", dim, 2 * q)?;
        let (key, value) = (self.project("attn_k", dim, kv)?, self.project("attn_v", dim, kv)?);
        self.model.gates_heads = true;
        let to = [(joint, Buffer::Joint), (key, Buffer::Key), (value, Buffer::Value)];
        self.model.steps.linear(from, to)?;
        self.model.steps.push(Step::Part { len: self.heads.dim })
    }

    /// A convolution over the last `length` tokens of values that are gated before and behind it, into the delta:
    /// `shortconv.in_proj` makes the gates before, those behind and the values, `shortconv.conv` has the taps, and
    /// `shortconv.out_proj` mixes the channels.
    pub(crate) fn short_convolution(&mut self, from: Buffer, length: usize) -> Result<()> {
        let dim = self.model.hyper.dim;
        let all = self.project("shortconv.in_proj", dim, 3 * dim)?;
        let out = self.project("shortconv.out_proj", dim, dim)?;
        let convolution = self.convolution("shortconv.conv", dim, length, false)?;
        self.model.outlets = self.model.outlets.max(dim);
        // The delta is free until the end.
        let (before, behind, values) = (all.part(0, dim), all.part(dim, dim), all.part(2 * dim, dim));
        let to = [(before, Buffer::Delta), (behind, Buffer::Outlet), (values, Buffer::Mixed)];
        self.model.steps.linear(from, to)?;
        let gated = |from| Step::Gate { from, to: Buffer::Mixed, gate: Gate::Plain };
        self.model.steps.push(gated(Buffer::Delta))?;
        self.model.steps.push(Step::Convolve(convolution))?;
        self.model.steps.push(gated(Buffer::Outlet))?;
        self.model.steps.linear(Buffer::Mixed, [(out, Buffer::Delta)])
    }

    /// Heads that remember by the gated delta rule, into the delta. `attn_qkv` makes queries, keys and values, which `ssm_conv1d`
    /// convolves over `length` tokens; `ssm_alpha`, `ssm_dt` and `ssm_a` say what is forgotten, `ssm_beta` what is learned; what is
    /// recalled is normed by `ssm_norm`, gated by `attn_gate`, and mixed by `ssm_out`.
    pub(crate) fn recall(
        &mut self,
        from: Buffer,
        (heads, key_heads, head_dim): (usize, usize, usize),
        length: usize,
    ) -> Result<()> {
        let (dim, inner) = (self.model.hyper.dim, heads * head_dim);
        let channels = inner + 2 * key_heads * head_dim;
        let mixed = self.project("attn_qkv", dim, channels)?;
        let outlet = self.project("attn_gate", dim, inner)?;
        // Its bias is added before the curve that it goes through.
        let alpha = Projection { weight: self.matrix("ssm_alpha", dim, heads)?, bias: None };
        let beta = Projection { weight: self.matrix("ssm_beta", dim, heads)?, bias: None };
        let out = self.project("ssm_out", inner, dim)?;
        let gain = self.model.tensors.vector(text!("blk.{}.ssm_norm.weight", self.index), head_dim)?;
        let convolution = self.convolution("ssm_conv1d", channels, length, true)?;
        let recall = Recall {
            layer: convolution.layer,
            heads,
            key_heads,
            dim: head_dim,
            bias: self.model.tensors.vector(text!("blk.{}.ssm_dt.bias", self.index), heads)?,
            slope: self.model.tensors.vector(text!("blk.{}.ssm_a", self.index), heads)?,
        };
        self.model.outlets = self.model.outlets.max(inner);
        self.model.recalling = (heads, inner);
        let to = [
            (mixed, Buffer::Mixed),
            (outlet, Buffer::Outlet),
            (alpha, Buffer::Forgets),
            (beta, Buffer::Learns),
        ];
        self.model.steps.linear(from, to)?;
        self.model.steps.push(Step::Convolve(convolution))?;
        self.model.steps.push(Step::Recall(recall))?;
        self.model.steps.push(Step::Release { gain, len: head_dim })?;
        self.model.steps.linear(Buffer::Outlet, [(out, Buffer::Delta)])
    }

    fn convolution(&mut self, name: &str, channels: usize, length: usize, silu: bool) -> Result<Convolution> {
        if !(2..=TAPS_MAX).contains(&length) {
            return Err(Error::Unsupported(text!(
                "a convolution over {length} tokens; 2 to {TAPS_MAX} can be run"
            )));
        }
        let taps = self.model.tensors.rows(text!("blk.{}.{name}.weight", self.index), length, channels)?;
        let layer = self.model.states;
        self.model.states += 1;
        self.model.channels = self.model.channels.max(channels);
        Ok(Convolution { layer, channels, length, taps, silu })
    }

    /// The gated feed-forward layer into the delta: `ffn_gate`, `ffn_up`, `ffn_down`.
    pub(crate) fn feed_forward(&mut self, from: Buffer, activation: Activation) -> Result<()> {
        let (dim, ffn) = (self.model.hyper.dim, self.ffn);
        let (gate, up) = (self.project("ffn_gate", dim, ffn)?, self.project("ffn_up", dim, ffn)?);
        let down = self.project("ffn_down", ffn, dim)?;
        self.gated(from, [gate, up, down], activation)
    }

    /// The feed-forward layer without gates, into the delta: `ffn_up`, `ffn_down`.
    pub(crate) fn plain_feed_forward(&mut self, from: Buffer, activation: Activation) -> Result<()> {
        let HyperParameters { dim, ffn, .. } = *self.model.hyper;
        let (projection, down) = (self.project("ffn_up", dim, ffn)?, self.project("ffn_down", ffn, dim)?);
        let exact = self.model.keeps_exact(&down);
        self.model.steps.push(Step::Activate { from, projection, activation, exact })?;
        self.model.steps.linear(Buffer::Hidden, [(down, Buffer::Delta)])
    }

    /// The gated one of `ffn` hidden values, which every token goes through beside the experts that it chooses.
    pub(crate) fn shared_expert(&mut self, from: Buffer, ffn: usize, activation: Activation) -> Result<()> {
        let dim = self.model.hyper.dim;
        let gate = self.project("ffn_gate_shexp", dim, ffn)?;
        let up = self.project("ffn_up_shexp", dim, ffn)?;
        let down = self.project("ffn_down_shexp", ffn, dim)?;
        self.gated(from, [gate, up, down], activation)
    }

    /// The same, of which each token takes the share that `ffn_gate_inp_shexp` gives it.
    pub(crate) fn shared_expert_by_share(
        &mut self,
        from: Buffer,
        ffn: usize,
        activation: Activation,
    ) -> Result<()> {
        let dim = self.model.hyper.dim;
        let share = self.project("ffn_gate_inp_shexp", dim, 1)?;
        self.model.shares = true;
        self.model.steps.linear(from, [(share, Buffer::Share)])?;
        self.shared_expert(from, ffn, activation)?;
        self.model.steps.push(Step::Share)
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
        let exact = self.model.keeps_exact(&down);
        self.model.steps.push(Step::Gated { from, gate, up, activation, exact })?;
        self.model.steps.linear(Buffer::Hidden, [(down, Buffer::Delta)])
    }

    /// The feed-forward layers of the chosen experts into the delta: `ffn_gate_inp` chooses, and `ffn_gate_exps`, `ffn_up_exps`
    /// and `ffn_down_exps` hold those of all.
    pub(crate) fn experts(&mut self, from: Buffer, routing: Routing, activation: Activation) -> Result<()> {
        let (dim, Routing { count, used, ffn, scale, sigmoid }) = (self.model.hyper.dim, routing);
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
        let exact = self.model.keeps_exact(&down);
        self.model.experts = self.model.experts.max(count);
        self.model.steps.linear(from, [(router, Buffer::Scores)])?;
        let matrices = [gate, up, down];
        let choice = match sigmoid {
            false => Choice::Softmax,
            true => {
                let bias = text!("blk.{}.exp_probs_b.bias", self.index);
                Choice::Sigmoid { bias: self.model.tensors.vector(bias, count)? }
            }
        };
        let experts = Experts { count, used, choice, scale, activation, exact, matrices };
        self.model.steps.push(Step::Experts { from, experts })
    }

    /// Lets what the layer gets of the token beside the stream through `inp_gate`, and makes the delta of it: `proj`.
    pub(crate) fn let_in(&mut self) -> Result<()> {
        let (layer, len, dim) = (self.index, self.model.inputs, self.model.hyper.dim);
        let (gate, out) = (self.project("inp_gate", dim, len)?, self.project("proj", len, dim)?);
        self.model.steps.linear(Buffer::Stream, [(gate, Buffer::Inlet)])?;
        self.model.steps.push(Step::Inlet { layer, len })?;
        self.model.steps.linear(Buffer::Inlet, [(out, Buffer::Delta)])
    }

    /// Multiplies the stream with a number of the file's, if it has one.
    pub(crate) fn scale_if_any(&mut self, name: &str) -> Result<()> {
        let by = self.model.tensors.vector_if_any(text!("blk.{}.{name}.weight", self.index), 1)?;
        by.map_or(Ok(()), |by| self.model.steps.push(Step::Scale { buffer: Buffer::Stream, by }))
    }

    /// Adds to the stream.
    pub(crate) fn add(&mut self, from: Buffer) -> Result<()> {
        let scale = self.model.residual_scale;
        self.model.steps.push(Step::Add { from, to: Buffer::Stream, scale })
    }

    fn matrix(&self, name: &str, k: usize, rows: usize) -> Result<Matrix> {
        self.model.tensors.matrix(text!("blk.{}.{name}.weight", self.index), k, rows)
    }

    /// Adds what the layer began with, in the normed buffer, to the delta, and norms the sum: `name`. It is what goes on.
    pub(crate) fn add_and_norm(&mut self, name: &str) -> Result<()> {
        self.model.steps.push(Step::Add { from: Buffer::Normed, to: Buffer::Delta, scale: 1.0 })?;
        self.layer_norm(Buffer::Delta, name, Buffer::Normed)
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
