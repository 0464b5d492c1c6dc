//! Floor 2. How the columns of a text become one vector, and what scores that.
#![forbid(unsafe_code)]

use super::hyper::Keys;
use super::program::{Buffer, Projection, Use};
use super::weights::Tensors;
use crate::error::{Error, Result, text};

/// How the columns of a text become one vector: the key `pooling_type` of a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// They do not: every token has a vector of its own.
    None,
    /// Their mean.
    Mean,
    /// The first one, that of the token `[CLS]`.
    Cls,
    /// The last one, which in a decoder has seen all others.
    Last,
    /// The model's head scores the text: how well a document answers a query.
    Rank,
}

impl Pooling {
    /// All of them, by the numbers that files have for them.
    pub const ALL: [Pooling; 5] = [Pooling::None, Pooling::Mean, Pooling::Cls, Pooling::Last, Pooling::Rank];

    /// Its name: `none`, `mean`, `cls`, `last`, `rank`.
    pub const fn name(self) -> &'static str {
        match self {
            Pooling::None => "none",
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
            Pooling::Last => "last",
            Pooling::Rank => "rank",
        }
    }

    /// What the metadata says, if it says something.
    pub(crate) fn read(keys: Keys<'_>) -> Result<Option<Pooling>> {
        let Some(number) = keys.u32_if_any("pooling_type")? else { return Ok(None) };
        // Some writers put the greatest number for what they do not know.
        let number = Some(number).filter(|&number| number != u32::MAX);
        let unknown = |number: u32| {
            Error::Unsupported(text!(
                "{}.pooling_type is {number}; known are 0 to {}",
                keys.architecture,
                Pooling::ALL.len() - 1
            ))
        };
        number.map(|number| Pooling::ALL.get(number as usize).copied().ok_or(unknown(number))).transpose()
    }
}

/// What scores a text by its pooled vector: `output . tanh(dense . pooled)`, without the part that the file does not have.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `cls`: from the normed buffer into the delta.
    pub(crate) dense: Option<Projection>,
    /// `cls.output`: into the scores.
    pub(crate) output: Option<Projection>,
    /// Whether the scores are shares of a whole: Qwen 3 is asked to choose between "yes" and "no".
    pub(crate) softmax: bool,
    /// Whether the last column is scored, and not the first.
    pub(crate) last: bool,
}

impl Head {
    /// The head of a file, if it has one, for vectors of `dim`.
    pub(crate) fn read(keys: Keys<'_>, tensors: &Tensors<'_>, dim: usize) -> Result<Option<Head>> {
        let project = |name: &str, rows| {
            let Some(weight) = tensors.matrix_if_any(text!("{name}.weight"), dim, rows)? else {
                return Ok(None);
            };
            let bias = tensors.vector_if_any(text!("{name}.bias"), rows)?;
            Ok::<_, Error>(Some(Projection { weight, bias }))
        };
        // As many rows as there are labels, which not all files list.
        let output = keys.file.tensor("cls.output.weight");
        let labels = output.and_then(|tensor| usize::try_from(tensor.shape[1]).ok()).unwrap_or(1);
        let (dense, output) = (project("cls", dim)?, project("cls.output", labels)?);
        if dense.is_none() && output.is_none() {
            return Ok(None);
        }
        // It is asked at the end of a prompt, where a decoder has read all of it.
        let asked = keys.architecture == "qwen3";
        Ok(Some(Head { dense, output, softmax: asked, last: asked }))
    }

    /// Values of a score.
    pub(crate) fn labels(&self, dim: usize) -> usize {
        self.output.as_ref().map_or(dim, |output| output.weight.rows)
    }

    /// What the output reads.
    pub(crate) fn hidden(&self) -> Buffer {
        if self.dense.is_some() { Buffer::Delta } else { Buffer::Normed }
    }

    /// Matrix `i` of both parts.
    pub(super) fn matrix(&self, i: usize) -> Option<Use<'_>> {
        let dense = self.dense.iter().map(|dense| Use::whole(Buffer::Normed, &dense.weight));
        let output = self.output.iter().map(|output| Use::whole(self.hidden(), &output.weight));
        dense.chain(output).nth(i)
    }
}
