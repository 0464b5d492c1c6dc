//! Floor 2. The words for layers that carry a state from token to token.
#![forbid(unsafe_code)]

use bantam_kernels::recurrent::TAPS_MAX;

use super::Layer;
use crate::error::{Error, Result, text};
use crate::model::program::{Buffer, Convolution, Gate, Projection, Recall, Step};

impl Layer<'_, '_> {
    /// A convolution over the last `length` tokens of values that are gated before and behind it, into the delta:
    /// `shortconv.in_proj` makes the gates before, those behind and the values, `shortconv.conv` has the taps, and
    /// `shortconv.out_proj` mixes the channels.
    pub(crate) fn short_convolution(&mut self, from: Buffer, length: usize) -> Result<()> {
        let dim = self.model.hyper.dim;
        let all = self.project("shortconv.in_proj", dim, 3 * dim)?;
        let out = self.project("shortconv.out_proj", dim, dim)?;
        let convolution = self.convolution("shortconv.conv", dim, length, false)?;
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
        Ok(Convolution { layer, channels, length, taps, silu })
    }
}
