//! What kernels are measured on: weights, activations, aligned scratch. Only their sizes and that they are sane matter.
#![forbid(unsafe_code)]

use bantam::{Backend, Format};
use bantam_kernels::{Columns, ColumnsMut};

/// A byte that makes a number of ordinary size in whatever float it is part of, so that no kernel meets a number that
/// takes longer: 0x3030 is a half of 0.13, 0x30303030 a float of 6e-10.
pub(super) const BYTE: u8 = 0x30;

/// Activations in both forms.
pub(super) struct Activations {
    k: usize,
    f32: Vec<f32>,
    q: Vec<i8>,
    d: Vec<f32>,
    s: Vec<f32>,
}

impl Activations {
    /// `n` columns of `k` values between -1 and 1.
    pub(super) fn new(backend: Backend, k: usize, n: usize) -> Activations {
        let (q, d, s) = (vec![0; k * n], vec![0.0; k * n / 32], vec![0.0; k * n / 16]);
        let mut activations = Activations { k, f32: values(k * n), q, d, s };
        activations.quantize(backend);
        activations
    }

    /// Makes the quantised form from the other.
    pub(super) fn quantize(&mut self, backend: Backend) {
        let Activations { f32, q, d, s, .. } = self;
        backend.quantize_q8(f32, &mut ColumnsMut { q, d, s });
    }

    pub(super) fn columns(&self) -> Columns<'_> {
        Columns { q: &self.q, d: &self.d, s: &self.s, ..Columns::from_f32(&self.f32, self.k) }
    }
}

/// Values between -1 and 1 that differ.
pub(super) fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

/// The scratch of one thread, at a multiple of 64 bytes.
pub(super) struct Scratch {
    bytes: Vec<u8>,
    from: usize,
    len: usize,
}

impl Scratch {
    pub(super) fn new(backend: Backend, k: usize) -> Scratch {
        let len = backend.scratch_bytes(k);
        let bytes = vec![0; len + 64];
        Scratch { from: bytes.as_ptr().align_offset(64), len, bytes }
    }

    pub(super) fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..][..self.len]
    }
}

/// Bytes of a matrix, whose rows are whole blocks.
pub(super) fn matrix_bytes(format: Format, k: usize, rows: usize) -> usize {
    format.row_bytes(k).unwrap_or(0) * rows
}
