//! The matrix product of every quantised format: how columns are cut, for every tier of Arm.
//! Invariant: an output is made by the same operations in the same order, whatever the number of rows and columns. Group by
//! group, the minimum of each of its parts times the column's sum is added, and then the product of each part: a whole
//! number, of which an offset's share is taken first, times the scale of the weights, times the column's.

use crate::arm::panel::{self, Engine, Panels};
use crate::arm::unpack::Unpack;
use crate::backend::Table;
use crate::blocks::*;
use crate::columns::{Columns, Q8_BLOCK};
use crate::math::nearest;
use crate::tile::TileMut;

/// How a tier multiplies with the formats that [`Unpack`] reads.
pub(crate) trait Tier: Engine {
    /// See [`crate::Backend::matmul`].
    ///
    /// # Safety
    /// The CPU must have the tier's instructions, and the lengths must be what [`crate::Backend::matmul`] checks.
    unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]);
}

impl Table {
    /// The table with a tier's products of every quantised format.
    pub(in crate::arm) const fn with_quantized<T: Tier>(self) -> Table {
        self.with_block::<T, BlockQ8_0>()
            .with_block::<T, BlockQ4_0>()
            .with_block::<T, BlockQ4_1>()
            .with_block::<T, BlockQ5_0>()
            .with_block::<T, BlockQ5_1>()
            .with_block::<T, BlockQ2K>()
            .with_block::<T, BlockQ3K>()
            .with_block::<T, BlockQ4K>()
            .with_block::<T, BlockQ5K>()
            .with_block::<T, BlockQ6K>()
            .with_block::<T, BlockIQ4NL>()
            .with_block::<T, BlockIQ4XS>()
            .with_block::<T, BlockMXFP4>()
    }

    const fn with_block<T: Tier, B: Unpack>(self) -> Table {
        self.with(B::FORMAT, T::matmul::<B>)
    }
}

/// A product with few columns: of weights and columns, with the terms of each column, see [`Term`].
pub(crate) type Few = unsafe fn(&[u8], &Columns<'_>, &[f32], &mut TileMut<'_>);

/// What a group of a column is multiplied with beside weights: a float for the group, or for each of its halves.
#[derive(Clone, Copy)]
enum Term {
    /// Of weights that are their scale times a number.
    Nothing,
    /// The sum, with the column's scale, for minima.
    Scaled,
    /// The sum of the bytes, a whole number, for offsets.
    Whole,
}

/// How a tier multiplies with a format, by numbers and functions alone: what cuts columns is compiled once.
pub(crate) struct Product {
    /// Of 1 column, of 2 and of 3, where there is such a function.
    few: [Option<Few>; 3],
    panels: Panels,
    term: Term,
    /// Terms of a group.
    parts: usize,
}

impl Product {
    pub(crate) const fn new<B: Unpack, E: Engine>(few: [Option<Few>; 3]) -> Product {
        let term = match (B::MINIMA, B::OFFSET) {
            (true, _) => Term::Scaled,
            (false, 0) => Term::Nothing,
            (false, _) => Term::Whole,
        };
        Product { few, panels: Panels::new::<B, E>(), term, parts: B::SCALES }
    }
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have what the product's functions use, and the lengths must be what [`crate::Backend::matmul`] checks.
pub(crate) unsafe fn multiply(
    product: &Product,
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    let of = |columns: usize| product.few.get(columns.wrapping_sub(1)).copied().flatten();
    // Two columns that have no function of their own take less one by one than in a panel.
    let step = if x.n == 2 && of(2).is_none() { 1 } else { x.n };
    // SAFETY: any bits are floats; scratch has room for the terms of three columns; the rest is the caller's promise.
    unsafe {
        let Some(few) = of(step) else {
            return panel::matmul(&product.panels, weights, x, out, scratch);
        };
        let terms = &mut scratch.align_to_mut().1[..x.k / Q8_BLOCK * product.parts * step];
        for c in (0..x.n).step_by(step) {
            let x = x.range(c, c + step);
            write_terms(&x, product.term, product.parts, terms);
            few(weights, &x, terms, &mut out.columns(c, c + step));
        }
    }
}

/// Writes the terms of some columns, column by column.
fn write_terms(x: &Columns<'_>, term: Term, parts: usize, terms: &mut [f32]) {
    // Of a column of zeroes this is of 0 / 0, and any number does.
    let whole = |x: f32| nearest(x) as f32;
    let (sums, _) = x.s.as_chunks::<2>();
    match (term, parts) {
        (Term::Nothing, _) => {}
        (Term::Scaled, 1) => terms.iter_mut().zip(sums).for_each(|(term, [a, b])| *term = a + b),
        (Term::Scaled, _) => terms.copy_from_slice(x.s),
        (Term::Whole, 1) => {
            terms.iter_mut().zip(sums).zip(x.d).for_each(|((term, [a, b]), d)| *term = whole((a + b) / d));
        }
        (Term::Whole, _) => {
            let (terms, _) = terms.as_chunks_mut::<2>();
            terms.iter_mut().zip(sums).zip(x.d).for_each(|((terms, s), d)| *terms = s.map(|s| whole(s / d)));
        }
    }
}
