//! Floor 2. One layer of a description: its norms, what it adds to the stream, and its tensors by name.
#![forbid(unsafe_code)]

use super::Layer;
use crate::error::{Result, text};
use crate::model::program::{Buffer, Projection, Step};
use crate::model::weights::Matrix;

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

    /// Adds to the stream.
    pub(crate) fn add(&mut self, from: Buffer) -> Result<()> {
        let scale = self.model.residual_scale;
        self.model.steps.push(Step::Add { from, to: Buffer::Stream, scale })
    }

    /// Adds what the layer began with, in the normed buffer, to the delta, and norms the sum: `name`. It is what goes on.
    pub(crate) fn add_and_norm(&mut self, name: &str) -> Result<()> {
        self.model.steps.push(Step::Add { from: Buffer::Normed, to: Buffer::Delta, scale: 1.0 })?;
        self.layer_norm(Buffer::Delta, name, Buffer::Normed)
    }

    /// Multiplies the stream with a number of the file's, if it has one.
    pub(crate) fn scale_if_any(&mut self, name: &str) -> Result<()> {
        let by = self.model.tensors.vector_if_any(text!("blk.{}.{name}.weight", self.index), 1)?;
        by.map_or(Ok(()), |by| self.model.steps.push(Step::Scale { buffer: Buffer::Stream, by }))
    }

    pub(super) fn matrix(&self, name: &str, k: usize, rows: usize) -> Result<Matrix> {
        self.model.tensors.matrix(text!("blk.{}.{name}.weight", self.index), k, rows)
    }

    pub(super) fn project(&self, name: &str, k: usize, rows: usize) -> Result<Projection> {
        Ok(Projection {
            weight: self.model.tensors.matrix(text!("blk.{}.{name}.weight", self.index), k, rows)?,
            bias: self.model.tensors.vector_if_any(text!("blk.{}.{name}.bias", self.index), rows)?,
        })
    }

    pub(super) fn project_if_any(&self, name: &str, k: usize, rows: usize) -> Result<Option<Projection>> {
        let name_of = |what| text!("blk.{}.{name}.{what}", self.index);
        let Some(weight) = self.model.tensors.matrix_if_any(name_of("weight"), k, rows)? else {
            return Ok(None);
        };
        let bias = self.model.tensors.vector_if_any(name_of("bias"), rows)?;
        Ok(Some(Projection { weight, bias }))
    }
}
