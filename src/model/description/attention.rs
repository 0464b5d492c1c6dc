//! Floor 2. The words for layers that attend: their heads, the rotations of queries and keys, and what is kept.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;

use super::{Description, Layer};
use crate::error::{Error, Result, text};
use crate::model::hyper::SHAPE_MAX;
use crate::model::program::{Attention, Buffer, Gate, Kept, ROPES_MAX, Step};
use crate::model::rope::Rope;
use crate::model::windows::Windows;

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

impl<'a> Description<'a> {
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
}

impl Layer<'_, '_> {
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

    /// Queries with a gate behind each, keys and values: `attn_q`, `attn_k`, `attn_v`.
    pub(crate) fn project_gated_heads(&mut self, from: Buffer) -> Result<()> {
        let (dim, [q, kv]) = (self.model.hyper.dim, self.head_widths());
        let joint = self.project("attn_q", dim, 2 * q)?;
        let (key, value) = (self.project("attn_k", dim, kv)?, self.project("attn_v", dim, kv)?);
        let to = [(joint, Buffer::Joint), (key, Buffer::Key), (value, Buffer::Value)];
        self.model.steps.linear(from, to)?;
        self.model.steps.push(Step::Part { len: self.heads.dim, heads: self.heads.count })
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
    fn head_widths(&self) -> [usize; 2] {
        let Heads { count, keys, dim } = self.heads;
        [count * dim, keys * dim]
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
}
