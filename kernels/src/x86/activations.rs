//! Columns of 8-bit activations as the kernels read them, with what a format adds for each group of them.
//!
//! # Scales that are powers of two
//! The sum of products of a group is an integer `i`, of less than 2^22, and what is wanted is the float `i * d`. Where
//! the scale `d` is a power of two ([`crate::Scales::Powers`]), neither a conversion nor a multiplication is needed.
//! With the bits of the float `1.5 * 2^23 * d`, one more of them is `d` more of it:
//! ```text
//!             | sign | exponent | mantissa
//! 1.5 2^23 d  | 0    | 23 + d's | 100 0000 0000 0000 0000 0000      the base
//! + i         | 0    | 23 + d's | 100 0000 0000 0000 0000 0000 + i  what sums of integers come to that begin with the base
//! ```
//! and the base taken off leaves `i * d`, exactly. Where dot products share the CPU's ports with conversions and
//! multiplications, that is a tenth of a tile.

use super::chunk::{CHUNK, Term};
use crate::columns::Columns;
use crate::math::{INTEGERS, nearest};

/// One column of activations, or a run of it along `k`.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    /// The values of each block: signed bytes.
    q: &'a [[u8; CHUNK]],
    /// The scale of each block, or its base.
    d: &'a [f32],
    /// The term of each group: the bits of a float or an integer, which has the base in it. See [`Term`].
    terms: &'a [u32],
}

impl Column<'_> {
    /// Four activations of block `b`: those of a step.
    ///
    /// # Safety
    /// There must be such a block.
    #[inline(always)]
    pub(crate) unsafe fn step(&self, b: usize, step: usize) -> i32 {
        // SAFETY: promised by the caller.
        let block = unsafe { self.q.get_unchecked(b) };
        i32::from_le_bytes(block.as_chunks::<4>().0[step])
    }

    /// Sixteen activations of block `b`: half `h` of them.
    ///
    /// # Safety
    /// There must be such a block.
    #[inline(always)]
    pub(crate) unsafe fn half(&self, b: usize, h: usize) -> &[u8; 16] {
        // SAFETY: promised by the caller.
        let block = unsafe { self.q.get_unchecked(b) };
        &block.as_chunks::<16>().0[h]
    }

    /// The scale of block `b`, or its base.
    ///
    /// # Safety
    /// There must be such a block.
    #[inline(always)]
    pub(crate) unsafe fn scale(&self, b: usize) -> f32 {
        // SAFETY: promised by the caller.
        unsafe { *self.d.get_unchecked(b) }
    }

    /// The term of group `g` of block `b`, of `groups` of them: an integer.
    ///
    /// # Safety
    /// There must be such a block, and `groups` terms of each.
    #[inline(always)]
    pub(crate) unsafe fn offset(&self, b: usize, g: usize, groups: usize) -> i32 {
        // SAFETY: promised by the caller.
        unsafe { *self.terms.get_unchecked(b * groups + g) as i32 }
    }

    /// The term of group `g` of block `b`, of `groups` of them: a float.
    ///
    /// # Safety
    /// There must be such a block, and `groups` terms of each.
    #[inline(always)]
    pub(crate) unsafe fn sum(&self, b: usize, g: usize, groups: usize) -> f32 {
        // SAFETY: promised by the caller.
        unsafe { f32::from_bits(*self.terms.get_unchecked(b * groups + g)) }
    }
}

/// A run along `k` of some columns of activations, and what a format adds for each of their groups.
pub(crate) struct Activations<'a> {
    pub(crate) n: usize,
    /// Blocks of the run.
    pub(crate) blocks: usize,
    /// Blocks of a whole column.
    stride: usize,
    /// Blocks from a column's scale or base to the next one's.
    d_stride: usize,
    groups: usize,
    /// All columns, one after the other, from the first block of the run on; terms and bases are of the run only.
    all: Column<'a>,
}

impl<'a> Activations<'a> {
    /// Computes the terms of blocks `from..to` of each column, for chunks of `groups` groups, and their bases if they
    /// are wanted. For both there are [`words_of`] a block.
    ///
    /// # Safety
    /// The CPU must have AVX2.
    #[target_feature(enable = "avx2")]
    pub(crate) unsafe fn new(
        x: &Columns<'a>,
        (from, to): (usize, usize),
        term: Term,
        (groups, has_bases): (usize, bool),
        words: &'a mut [u32],
    ) -> Activations<'a> {
        let (stride, blocks) = (x.k / CHUNK, to - from);
        let words = &mut words[..x.n * blocks * words_of(groups, has_bases)];
        let (terms, bases) = words.split_at_mut(x.n * blocks * groups);
        // SAFETY: any bits are floats.
        let bases: &mut [f32] = unsafe { bases.align_to_mut().1 };
        // Whole columns are one long run: loops over short ones would be nothing but beginnings and ends.
        let len = if blocks == stride { x.n * blocks } else { blocks };
        for (c, terms) in terms.chunks_exact_mut(len * groups).enumerate() {
            let run = c * stride + from..c * stride + from + len;
            let (sums, d) = (&x.s.as_chunks::<2>().0[run.clone()], &x.d[run]);
            if has_bases {
                let bases = &mut bases[c * blocks..][..len];
                bases.iter_mut().zip(d).for_each(|(base, d)| *base = INTEGERS * d);
            }
            match (term, groups) {
                (Term::Minimum, 1) => {
                    terms.iter_mut().zip(sums).for_each(|(term, [a, b])| *term = (a + b).to_bits());
                }
                (Term::Minimum, _) => {
                    terms.iter_mut().zip(sums.as_flattened()).for_each(|(term, s)| *term = s.to_bits());
                }
                // What is taken off the base is taken off the integer in it.
                (Term::Offset(offset), 1) if has_bases => {
                    for ((term, [a, b]), base) in terms.iter_mut().zip(sums).zip(&bases[c * blocks..]) {
                        *term = (base - offset as f32 * (a + b)).to_bits();
                    }
                }
                (Term::Offset(offset), _) if has_bases => {
                    let terms = terms.as_chunks_mut::<2>().0.iter_mut();
                    for ((terms, s), base) in terms.zip(sums).zip(&bases[c * blocks..]) {
                        *terms = s.map(|s| (base - offset as f32 * s).to_bits());
                    }
                }
                (Term::Offset(0), _) => {}
                // Of a column of zeroes this is 0 / 0, and any integer does.
                (Term::Offset(offset), 1) => {
                    for ((term, [a, b]), d) in terms.iter_mut().zip(sums).zip(d) {
                        *term = nearest((a + b) / d).wrapping_mul(-offset) as u32;
                    }
                }
                (Term::Offset(offset), _) => {
                    for ((terms, s), d) in terms.as_chunks_mut::<2>().0.iter_mut().zip(sums).zip(d) {
                        *terms = s.map(|s| nearest(s / d).wrapping_mul(-offset) as u32);
                    }
                }
            }
        }
        // SAFETY: the same bytes, only their sign forgotten, so that four of them are loaded as one word.
        let q: &[[u8; CHUNK]] =
            unsafe { core::slice::from_raw_parts(x.q.as_ptr().cast(), x.q.len() / CHUNK) };
        let (d, d_stride) = if has_bases { (&*bases, blocks) } else { (&x.d[from..], stride) };
        Activations { n: x.n, blocks, stride, d_stride, groups, all: Column { q: &q[from..], d, terms } }
    }

    /// `C` columns from column `c` and block `b` on; behind the last column it is taken again.
    ///
    /// # Safety
    /// There must be that block.
    #[inline(always)]
    pub(crate) unsafe fn columns<const C: usize>(&self, c: usize, b: usize) -> [Column<'a>; C] {
        let mut columns = [self.all; C];
        let blocks = self.blocks - b;
        for (i, column) in columns.iter_mut().enumerate() {
            let c = (c + i).min(self.n - 1);
            let (q, d, term) =
                (c * self.stride + b, c * self.d_stride + b, (c * self.blocks + b) * self.groups);
            // SAFETY: there is that column, and each has that many blocks.
            unsafe {
                column.q = self.all.q.get_unchecked(q..q + blocks);
                column.d = self.all.d.get_unchecked(d..d + blocks);
                column.terms = self.all.terms.get_unchecked(term..term + blocks * self.groups);
            }
        }
        columns
    }
}

/// Words that are computed of a block with so many groups.
pub(crate) const fn words_of(groups: usize, has_bases: bool) -> usize {
    groups + has_bases as usize
}
