//! What kernels are measured on: weights, activations, scratch. Only their sizes, that they are sane, and where they lie
//! matter: all of it starts a cache line, as a session's memory does, and as ggml's does that the kernels are compared with.
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};

use bantam::{Backend, Format};
use bantam_kernels::{Columns, ColumnsMut, Scales};

/// A byte that makes a number of ordinary size in whatever float it is part of, so that no kernel meets a number that
/// takes longer: 0x3030 is a half of 0.13, 0x30303030 a float of 6e-10.
pub(super) const BYTE: u8 = 0x30;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Values that start a cache line.
pub(super) struct Aligned<T> {
    all: Vec<T>,
    from: usize,
    len: usize,
}

impl<T: Copy> Aligned<T> {
    /// `len` times `value`.
    pub(super) fn new(value: T, len: usize) -> Aligned<T> {
        let all = vec![value; len + LINE / size_of::<T>()];
        Aligned { from: all.as_ptr().align_offset(LINE), len, all }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all[self.from..][..self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.all[self.from..][..self.len]
    }
}

/// Activations in both forms.
pub(super) struct Activations {
    k: usize,
    f32: Aligned<f32>,
    q: Aligned<i8>,
    d: Aligned<f32>,
    s: Aligned<f32>,
    scales: Scales,
}

impl Activations {
    /// `n` columns of `k` values between -1 and 1, for products with a format.
    pub(super) fn new(backend: Backend, format: Format, k: usize, n: usize) -> Activations {
        let scales = format.scales().unwrap_or(Scales::Least);
        let q = Aligned::new(0, k * n);
        let (d, s) = (Aligned::new(0.0, k * n / 32), Aligned::new(0.0, k * n / 16));
        let mut activations = Activations { k, f32: values(k * n), q, d, s, scales };
        activations.quantize(backend);
        activations
    }

    /// Makes the quantised form from the other.
    pub(super) fn quantize(&mut self, backend: Backend) {
        let Activations { f32, q, d, s, scales, .. } = self;
        backend.quantize_q8(f32, *scales, &mut ColumnsMut { q, d, s });
    }

    pub(super) fn columns(&self) -> Columns<'_> {
        let floats = Columns::from_f32(&self.f32, self.k);
        Columns { q: &self.q, scales: self.scales, d: &self.d, s: &self.s, ..floats }
    }
}

/// Values between -1 and 1 that differ.
pub(super) fn values(count: usize) -> Aligned<f32> {
    let mut values = Aligned::new(0.0, count);
    values.iter_mut().enumerate().for_each(|(i, value)| *value = (i * 37 % 101) as f32 / 50.0 - 1.0);
    values
}

/// Bytes of a matrix, whose rows are whole blocks.
pub(super) fn matrix_bytes(format: Format, k: usize, rows: usize) -> usize {
    format.row_bytes(k).unwrap_or(0) * rows
}
