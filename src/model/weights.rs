//! Floor 2. Typed views of a file's tensors: which rows, how long, in which format, and where. The bytes stay in the
//! mapping; a view is checked against it at each use.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

use bantam_kernels::{Format, blocks};

use crate::error::{Error, Result, Text, text};
use crate::format::TensorType;
use crate::gguf::{File, TensorInfo};

/// A matrix of `rows` rows of `k` weights.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub(crate) format: Format,
    pub(crate) rows: usize,
    pub(crate) k: usize,
    row_bytes: usize,
    data: Range<usize>,
}

impl Matrix {
    /// The bytes of rows `from..to`.
    pub(crate) fn rows<'a>(&self, file: &'a [u8], from: usize, to: usize) -> &'a [u8] {
        &file[self.data.clone()][from * self.row_bytes..to * self.row_bytes]
    }

    /// The matrix of `count` of these rows, from `first` on.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn part(&self, first: usize, count: usize) -> Matrix {
        assert!(first + count <= self.rows, "rows of the matrix");
        let start = self.data.start + first * self.row_bytes;
        Matrix { rows: count, data: start..start + count * self.row_bytes, ..*self }
    }

    /// Where the matrix begins in the file.
    pub(crate) fn start(&self) -> usize {
        self.data.start
    }

    /// The row at which `part` begins, if that is some rows of this matrix.
    pub(crate) fn row_of(&self, part: &Matrix) -> Option<usize> {
        let is_part = (self.format, self.k) == (part.format, part.k)
            && self.data.start <= part.data.start
            && part.data.end <= self.data.end;
        let behind = part.data.start.checked_sub(self.data.start)?;
        (is_part && behind.is_multiple_of(self.row_bytes)).then_some(behind / self.row_bytes)
    }

    /// Bytes of the whole matrix.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }
}

/// A vector of 32-bit floats: a norm's gains, a bias.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    data: Range<usize>,
}

impl Vector {
    /// `count` of these values, from `first` on.
    pub(crate) fn part(&self, first: usize, count: usize) -> Vector {
        let start = self.data.start + first * size_of::<f32>();
        Vector { data: start..start + count * size_of::<f32>() }
    }

    /// The values, in place.
    pub(crate) fn values<'a>(&self, file: &'a [u8]) -> &'a [f32] {
        // The alignment was checked when the view was made.
        blocks::as_f32(&file[self.data.clone()]).unwrap_or_default()
    }
}

/// Takes tensors from a file by name, each checked for shape and type, and knows which were not taken.
pub(crate) struct Tensors<'a> {
    file: &'a File,
    /// Of each tensor, in the order of the file.
    taken: Vec<Cell<bool>>,
}

impl<'a> Tensors<'a> {
    /// All of the file's, none taken yet.
    pub(crate) fn new(file: &'a File) -> Result<Tensors<'a>> {
        let count = file.tensors().count();
        let mut taken = Vec::new();
        let no_memory = |_| Error::Memory { what: "the list of tensors", bytes: count as u64 };
        taken.try_reserve_exact(count).map_err(no_memory)?;
        taken.resize(count, Cell::new(false));
        Ok(Tensors { file, taken })
    }

    /// Refuses a file with a tensor that was not taken: to leave out a bias or a norm changes every answer.
    pub(crate) fn finish(self, architecture: &str) -> Result<()> {
        let mut all = self.file.tensors().zip(&self.taken);
        match all.find(|(_, taken)| !taken.get()) {
            None => Ok(()),
            Some(((name, _), _)) => Err(Error::Unsupported(text!(
                "tensor {name} has no place in the architecture {architecture}; without it the answers would be others"
            ))),
        }
    }

    /// Leaves out the tensors of a block, which stands behind the layers and is no part of what they compute.
    pub(crate) fn skip_block(&self, index: usize) {
        let block = text!("blk.{index}.");
        for ((name, _), taken) in self.file.tensors().zip(&self.taken) {
            if name.starts_with(block.as_str()) {
                taken.set(true);
            }
        }
    }

    fn take(&self, name: Text) -> Option<&'a TensorInfo> {
        let taken = self.taken.get(self.file.tensor_position(name.as_str())?)?;
        taken.set(true);
        self.file.tensor(name.as_str())
    }

    /// Takes a tensor, if it is there, of which nothing is used.
    pub(crate) fn leave_out(&self, name: Text) {
        let _ = self.take(name);
    }

    /// A matrix that must be there.
    pub(crate) fn matrix(&self, name: Text, k: usize, rows: usize) -> Result<Matrix> {
        self.matrix_if_any(name, k, rows)?.ok_or_else(|| missing(name))
    }

    /// A matrix that may be missing.
    pub(crate) fn matrix_if_any(&self, name: Text, k: usize, rows: usize) -> Result<Option<Matrix>> {
        let Some(tensor) = self.take(name) else { return Ok(None) };
        check_shape(name, tensor, [k, rows, 1])?;
        Self::view(name, tensor, k, rows).map(Some)
    }

    /// `count` matrices of the same shape that must be there, as the rows of one: those of each, one after the other.
    pub(crate) fn matrices(&self, name: Text, k: usize, rows: usize, count: usize) -> Result<Matrix> {
        let tensor = self.take(name).ok_or_else(|| missing(name))?;
        check_shape(name, tensor, [k, rows, count])?;
        Self::view(name, tensor, k, rows * count)
    }

    /// The view of a tensor whose shape is that.
    pub(crate) fn view(name: Text, tensor: &TensorInfo, k: usize, rows: usize) -> Result<Matrix> {
        let format = known(name, tensor)?;
        let row_bytes = tensor.data.len() / rows;
        if format.wants_q8() && !k.is_multiple_of(bantam_kernels::columns::Q8_BLOCK) {
            return Err(Error::Unsupported(text!("tensor {name}: rows of {k} are not whole blocks of 32")));
        }
        Ok(Matrix { format, rows, k, row_bytes, data: tensor.data.clone() })
    }

    /// A vector of floats that must be there.
    pub(crate) fn vector(&self, name: Text, len: usize) -> Result<Vector> {
        self.vector_if_any(name, len)?.ok_or_else(|| missing(name))
    }

    /// Rows of floats that must be there, `len` each, one behind the other.
    pub(crate) fn rows(&self, name: Text, len: usize, rows: usize) -> Result<Vector> {
        self.vectors_if_any(name, len, rows)?.ok_or_else(|| missing(name))
    }

    /// A vector of floats that may be missing.
    pub(crate) fn vector_if_any(&self, name: Text, len: usize) -> Result<Option<Vector>> {
        self.vectors_if_any(name, len, 1)
    }

    /// `count` vectors of the same length that may be missing, as one: one after the other.
    pub(crate) fn vectors_if_any(&self, name: Text, len: usize, count: usize) -> Result<Option<Vector>> {
        let Some(tensor) = self.take(name) else { return Ok(None) };
        check_shape(name, tensor, [len, count, 1])?;
        if known(name, tensor)? != Format::F32 {
            return Err(Error::Unsupported(text!("tensor {name} is {}, not F32", tensor.kind.name())));
        }
        if blocks::as_f32(&self.file.mapping().bytes()[tensor.data.clone()]).is_none() {
            return Err(Error::Unsupported(text!(
                "tensor {name} does not lie at a multiple of 4 bytes in memory; move the model to one"
            )));
        }
        Ok(Some(Vector { data: tensor.data.clone() }))
    }
}

fn missing(name: Text) -> Error {
    Error::Inconsistent(text!("tensor {name} is missing"))
}

fn known(name: Text, tensor: &TensorInfo) -> Result<Format> {
    match tensor.kind {
        TensorType::Known(format) => Ok(format),
        TensorType::Other(number) => Err(Error::Unsupported(text!(
            "tensor {name} is of type {number} ({}), which has no kernels here",
            tensor.kind.name()
        ))),
    }
}

fn check_shape(name: Text, tensor: &TensorInfo, wanted: [usize; 3]) -> Result<()> {
    let [k, rows, count] = wanted.map(|extent| extent as u64);
    if tensor.shape == [k, rows, count, 1] {
        return Ok(());
    }
    let found = &tensor.shape[..tensor.dimensions];
    let dimensions = wanted.iter().rposition(|&extent| extent > 1).map_or(1, |last| last + 1);
    let wanted = &wanted[..dimensions];
    Err(Error::Inconsistent(text!("tensor {name} has shape {found:?}; the metadata asks for {wanted:?}")))
}
