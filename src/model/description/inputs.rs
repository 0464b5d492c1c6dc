//! Floor 2. The words for what a token brings beside its embedding: its place in a text, and what each layer gets of it.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::{Description, Layer};
use crate::error::{Result, text};
use crate::model::hyper::HyperParameters;
use crate::model::program::{Buffer, Projection, Step};

impl Description<'_> {
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
}

impl Layer<'_, '_> {
    /// Lets what the layer gets of the token beside the stream through `inp_gate`, and makes the delta of it: `proj`.
    pub(crate) fn let_in(&mut self) -> Result<()> {
        let (layer, len, dim) = (self.index, self.model.inputs, self.model.hyper.dim);
        let (gate, out) = (self.project("inp_gate", dim, len)?, self.project("proj", len, dim)?);
        self.model.steps.linear(Buffer::Stream, [(gate, Buffer::Inlet)])?;
        self.model.steps.push(Step::Inlet { layer, len })?;
        self.model.steps.linear(Buffer::Inlet, [(out, Buffer::Delta)])
    }
}
