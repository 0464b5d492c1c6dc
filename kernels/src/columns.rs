//! What a matrix kernel multiplies with: the activations of `n` tokens, each a column of `k` values, as 32-bit
//! floats and, where a weight format wants it, quantised to 8 bits.

use core::ops::Range;

use crate::backend::Backend;
use crate::tile::{Rows, TileMut};

/// Activations per scale of a quantised column.
pub const Q8_BLOCK: usize = 32;
/// Activations per pre-computed sum of a quantised column.
pub const Q8_SUM: usize = 16;

/// How the scale of 32 quantised activations follows from the greatest magnitude among them.
///
/// What a format's products want is [`Format::scales`](crate::Format::scales); powers of two are good for every format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scales {
    /// `max / 127`: the least error.
    Least,
    /// The least power of two that is not less, as of MXINT8 in the OCP Microscaling Formats, version 1.0: twice the
    /// squared error of [`Scales::Least`], which is about half that of one scale for 256 values. An integer times such
    /// a scale is exact, so kernels may scale their sums as integers: see `x86/activations.rs`. Infinite where it would
    /// be more than 2^104.
    Powers,
}

impl Scales {
    /// The scale of values of which `max` is the greatest magnitude, and what they are multiplied with to be quantised.
    #[inline]
    pub(crate) fn of(self, max: f32) -> (f32, f32) {
        const GREATEST: f32 = (1u128 << 104) as f32;
        let least = max / 127.0;
        let (scale, inverse) = match self {
            Scales::Least => (least, 127.0 / max),
            Scales::Powers if least > GREATEST => (f32::INFINITY, 0.0),
            Scales::Powers if least > 0.0 => {
                // Any bit of the mantissa carries into the exponent.
                let power = f32::from_bits((least.to_bits() + 0x007f_ffff) & 0x7f80_0000);
                (power, 1.0 / power)
            }
            Scales::Powers => (least, 0.0),
        };
        // Of the least numbers the inverse would be infinite; as it is, no product leaves -127..=127. What a NaN turns into
        // is the backend's affair, but that it is no -128: the scale is NaN then.
        (scale, if max > 0.0 { inverse.min(f32::MAX) } else { 0.0 })
    }
}

/// `n` columns of `k` activations, column after column.
///
/// The quantised form is held apart by kind, so that a kernel may load any width of any of them:
/// ```text
/// x[i] ~ d[i / 32] * q[i]        q in -127..=127 (never -128: sign tricks of AVX2 negate it)
/// s[j]  = d[j / 2] * (q[16 j] + .. + q[16 j + 15])     what a minimum or an offset is multiplied with
/// ```
/// Either form may be empty when no weight of the step needs it.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Length of a column.
    pub k: usize,
    /// Number of columns.
    pub n: usize,
    /// The exact values: `n * k`, or empty.
    pub f32: &'a [f32],
    /// Quantised values: `n * k`, or empty.
    pub q: &'a [i8],
    /// How the scales came to be.
    pub scales: Scales,
    /// Scales: `n * k / 32`, or empty.
    pub d: &'a [f32],
    /// Scaled sums: `n * k / 16`, or empty.
    pub s: &'a [f32],
}

impl<'a> Columns<'a> {
    /// Columns without a quantised form.
    pub fn from_f32(f32: &'a [f32], k: usize) -> Columns<'a> {
        Columns {
            k,
            n: f32.len().checked_div(k).unwrap_or(0),
            f32,
            q: &[],
            scales: Scales::Least,
            d: &[],
            s: &[],
        }
    }

    /// Column `c` alone.
    #[inline]
    pub fn column(&self, c: usize) -> Columns<'a> {
        self.range(c, c + 1)
    }

    /// Columns `from..to`. A form that is empty stays empty.
    #[inline]
    pub fn range(&self, from: usize, to: usize) -> Columns<'a> {
        fn part<T>(all: &[T], per_column: usize, from: usize, to: usize) -> &[T] {
            if all.is_empty() { all } else { &all[from * per_column..to * per_column] }
        }
        Columns {
            k: self.k,
            n: to - from,
            f32: part(self.f32, self.k, from, to),
            q: part(self.q, self.k, from, to),
            scales: self.scales,
            d: part(self.d, self.k / Q8_BLOCK, from, to),
            s: part(self.s, self.k / Q8_SUM, from, to),
        }
    }
}

/// Some rows of columns that are to be multiplied with, to write: either form, or both, as [`Columns`] has them.
pub struct ColumnsTileMut<'a> {
    /// The exact values, or none.
    pub f32: TileMut<'a>,
    /// Quantised values, or none; then there are no scales and sums either.
    pub q: TileMut<'a, i8>,
    /// How scales come to be.
    pub scales: Scales,
    /// Scales, one row for 32.
    pub d: TileMut<'a>,
    /// Scaled sums, one row for 16.
    pub s: TileMut<'a>,
}

impl ColumnsTileMut<'_> {
    /// Writes column `c` in every form.
    ///
    /// # Panics
    /// If there is no such column, or `values` are not as many as there are rows.
    pub fn write(&mut self, backend: Backend, c: usize, values: &[f32]) {
        if self.f32.cols() > 0 {
            self.f32.column(c).copy_from_slice(values);
        }
        if self.q.cols() > 0 {
            let (q, d, s) = (self.q.column(c), self.d.column(c), self.s.column(c));
            backend.quantize_q8(values, self.scales, &mut ColumnsMut { q, d, s });
        }
    }
}

// SAFETY: cuts start at whole blocks, and end there or with the column, so that a scale or a sum belongs to one of them;
// both methods only read the tiles themselves.
unsafe impl Rows for ColumnsTileMut<'_> {
    fn rows(&self) -> usize {
        self.f32.rows().max(self.q.rows())
    }

    unsafe fn cut(&self, rows: Range<usize>) -> Self {
        assert!(rows.start.is_multiple_of(Q8_BLOCK), "a tile is cut between blocks");
        let every = |len: usize| rows.start / len..rows.end.div_ceil(len);
        // SAFETY: promised by the caller; two ranges without a common row have no common block, as just checked.
        unsafe {
            ColumnsTileMut {
                f32: self.f32.cut(rows.clone()),
                q: self.q.cut(rows.clone()),
                scales: self.scales,
                d: self.d.cut(every(Q8_BLOCK)),
                s: self.s.cut(every(Q8_SUM)),
            }
        }
    }
}

/// Where one column's quantised form is written.
pub struct ColumnsMut<'a> {
    /// Quantised values: `k`.
    pub q: &'a mut [i8],
    /// Scales: `k / 32`.
    pub d: &'a mut [f32],
    /// Scaled sums: `k / 16`.
    pub s: &'a mut [f32],
}
