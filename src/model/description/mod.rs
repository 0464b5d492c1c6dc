//! Floor 2. The words in which an architecture describes itself: what its layers do in order, with the names of their
//! tensors. Each writes a step or two of the Program, with views of the weights that were checked against the metadata.
//!
//! Every projection and norm has a bias where the file has one: a model that was trained with it came with it.
#![forbid(unsafe_code)]

mod attention;
mod feed_forward;
mod inputs;
mod layer;
mod recurrent;

use alloc::vec::Vec;

use super::hyper::{HyperParameters, Keys};
use super::pooling::{Head, Pooling};
use super::program::{Kept, Logits, Program, Steps};
use super::rope::Rope;
use super::weights::{Tensors, Vector};
use crate::error::{Error, Result, text};
pub(crate) use attention::Heads;
pub(crate) use feed_forward::Routing;

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
    /// The tensor with the gains of the norm behind all layers.
    pub(crate) output_norm: &'static str,
    /// Layers so far that carry a state.
    states: usize,
    /// What the layers so far keep of past tokens.
    kept: Vec<Kept>,
    /// Values that each layer gets of a token beside the stream.
    inputs: usize,
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
            output_norm: "output_norm",
            states: 0,
            kept: Vec::new(),
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
        Ok(Program {
            ropes: self.ropes,
            steps: self.steps.finish(),
            kept: self.kept,
            output_norm,
            output,
            causal,
            pooling,
            head,
            embedding,
            embedding_scale: self.embedding_scale,
            logits: self.logits,
        })
    }
}
