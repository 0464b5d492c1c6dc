//! Columns of 8-bit activations as the kernels read them, with what a format adds for each group of them.

use super::chunk::{CHUNK, Term};
use crate::columns::Columns;

/// One column of activations.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    /// The values of each block: signed bytes.
    pub(crate) q: &'a [[u8; CHUNK]],
    /// The scale of each block.
    pub(crate) d: &'a [f32],
    /// The term of each group: the bits of a float or an integer, see [`Term`].
    pub(crate) terms: &'a [u32],
}

/// Some columns of activations, and what a format adds for each of their groups.
pub(crate) struct Activations<'a> {
    pub(crate) n: usize,
    /// Blocks of a column.
    pub(crate) blocks: usize,
    /// All columns, one after the other.
    all: Column<'a>,
}

impl<'a> Activations<'a> {
    /// Computes the terms of chunks of `groups` groups.
    ///
    /// # Safety
    /// The CPU must have AVX2.
    #[target_feature(enable = "avx2")]
    pub(crate) unsafe fn new(
        x: &Columns<'a>,
        term: Term,
        groups: usize,
        terms: &'a mut [u32],
    ) -> Activations<'a> {
        let sums = x.s.as_chunks::<2>().0;
        let terms = &mut terms[..x.d.len() * groups];
        match (term, groups) {
            (Term::Offset(0), _) => {}
            (Term::Minimum, 1) => terms.iter_mut().zip(sums).for_each(|(t, [a, b])| *t = (a + b).to_bits()),
            (Term::Minimum, _) => terms.iter_mut().zip(x.s).for_each(|(t, s)| *t = s.to_bits()),
            (Term::Offset(offset), 1) => {
                for ((term, [a, b]), d) in terms.iter_mut().zip(sums).zip(x.d) {
                    *term = round((a + b) / d).wrapping_mul(-offset) as u32;
                }
            }
            (Term::Offset(offset), _) => {
                for ((terms, s), d) in terms.as_chunks_mut::<2>().0.iter_mut().zip(sums).zip(x.d) {
                    *terms = s.map(|s| round(s / d).wrapping_mul(-offset) as u32);
                }
            }
        }
        // SAFETY: the same bytes, only their sign forgotten, so that four of them are loaded as one word.
        let q = unsafe { core::slice::from_raw_parts(x.q.as_ptr().cast(), x.q.len() / CHUNK) };
        Activations { n: x.n, blocks: x.k / CHUNK, all: Column { q, d: x.d, terms } }
    }

    /// `C` columns from `from` on.
    #[inline(always)]
    pub(crate) fn columns<const C: usize>(&self, from: usize) -> [Column<'_>; C] {
        let mut columns = [self.all; C];
        for (c, column) in columns.iter_mut().enumerate() {
            let groups = self.all.terms.len() / self.all.d.len();
            column.q = &self.all.q[(from + c) * self.blocks..][..self.blocks];
            column.d = &self.all.d[(from + c) * self.blocks..][..self.blocks];
            column.terms = &self.all.terms[(from + c) * self.blocks * groups..][..self.blocks * groups];
        }
        columns
    }
}

/// The nearest integer, for up to 2^22; any integer for what is none, as 0 / 0 of a column of zeroes.
#[inline(always)]
fn round(x: f32) -> i32 {
    // Adding 1.5 * 2^23 leaves the integer in the low bits of the mantissa.
    const SHIFT: f32 = 12_582_912.0;
    ((x + SHIFT).to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32)
}

/// The four activations of a step.
#[inline(always)]
pub(crate) fn word(q: &[u8; CHUNK], step: usize) -> i32 {
    i32::from_le_bytes(q.as_chunks::<4>().0[step])
}
