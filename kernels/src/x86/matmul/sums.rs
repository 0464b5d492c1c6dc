//! The sums of a tile: how products are added to them, and how they get into the output and out of it again.

use core::arch::asm;
use core::ops::Range;

use super::Dot;
use crate::tile::TileMut;
use crate::x86::activations::Column;
use crate::x86::chunk::*;
use crate::x86::lanes::Lanes;
use crate::x86::register::Floats;

/// What a tier adds for a group of a format.
pub(super) const fn term<T: Dot<N>, B: Unpack, const N: usize>() -> Term {
    match B::TERM {
        Term::Offset(offset) if B::BITS == 8 => Term::Offset(offset + T::SIGNED_OFFSET),
        term => term,
    }
}

/// Whether a tier has sums of a kind begin with the base of [`crate::x86::activations`].
pub(super) const fn has_base<T: Dot<N>, K: Kind, const N: usize>() -> bool {
    K::POWERS && (T::BASES || K::GROUPS == 2)
}

/// Adds the product of a chunk with block `b` of each column to `acc`.
///
/// The sums of integers are exact, and every tier then does the same: for each group, `acc = (dot * d_x) * d_w + acc`, and
/// for formats with a minimum `acc = sum_x * m_w + acc`, both sums fused. So a result has the same bits on all of them,
/// however the work is cut. Where `d_x` is a power of two, `dot * d_x` is exact, and comes without a conversion and a product:
/// see [`crate::x86::activations`].
///
/// # Safety
/// As [`Dot::dots`].
#[inline(always)]
pub(super) unsafe fn add<T: Dot<N>, K: Kind, const N: usize, const S: usize, const C: usize>(
    chunks: [&Chunk<T::V, N>; S],
    is_minimum: bool,
    columns: &[Column<'_>; C],
    b: usize,
    acc: &mut [[<T::V as Lanes<N>>::Floats; S]; C],
) {
    let has_base = const { has_base::<T, K, N>() };
    let has_minimum = !K::SIGNED && is_minimum;
    let has_offset = has_base || if K::SIGNED { T::SIGNED_OFFSET != 0 } else { !is_minimum };
    for g in 0..K::GROUPS {
        // SAFETY: the CPU's features, and that there is a block `b`, is promised by the caller.
        unsafe {
            let mut dots = [[T::V::splat(0); S]; C];
            // Where dots add to their sums, offsets are what these begin with; where sums are of 16 bits, they cost
            // least at the end.
            let offset = |column: &Column<'_>| {
                let base = has_base && has_minimum;
                T::V::splat(if base {
                    column.scale(b).to_bits() as i32
                } else {
                    column.offset(b, g, K::GROUPS)
                })
            };
            if !T::SPLITS && has_offset {
                for c in 0..C {
                    dots[c] = [offset(&columns[c]); S];
                }
            }
            T::dots::<K, S, C>(chunks, columns, b, g, &mut dots);
            if T::SPLITS && has_offset {
                for c in 0..C {
                    let offset = offset(&columns[c]);
                    dots[c] = dots[c].map(|dot| dot.add(offset));
                }
            }
            for c in 0..C {
                let scale = Floats::splat(columns[c].scale(b));
                for s in 0..S {
                    let scaled = if has_base {
                        dots[c][s].as_floats().sub(scale)
                    } else {
                        dots[c][s].to_floats().mul(scale)
                    };
                    acc[c][s] = scaled.mul_add(chunks[s].d[g], acc[c][s]);
                    if has_minimum {
                        let sum = <T::V as Lanes<N>>::Floats::splat(columns[c].sum(b, g, K::GROUPS));
                        acc[c][s] = sum.mul_add(chunks[s].m[g], acc[c][s]);
                    }
                }
            }
        }
    }
}

/// Asks for some rows of the next `n` columns, as far as there are any, to be written soon.
///
/// Columns are as far apart as a matrix has rows, and may share few sets of a cache, so their lines are seldom near; and a store waits for its
/// line as a load does, which the stores behind it wait for. `prefetchw` does nothing on a CPU without it.
#[inline(always)]
pub(crate) fn ask(out: &mut TileMut<'_>, rows: Range<usize>, column: usize, n: usize) {
    for c in column..out.cols().min(column + n) {
        let start = out.column(c).as_ptr();
        for row in (rows.start..rows.end.min(out.rows())).step_by(64 / size_of::<f32>()) {
            let line = start.wrapping_add(row);
            // SAFETY: a prefetch of any address does nothing that can be seen.
            unsafe { asm!("prefetchw [{0}]", in(reg) line, options(nostack, preserves_flags, readonly)) };
        }
    }
}

/// Writes one float per lane to the rows from `row` on and the columns from `column` on, as far as there are any.
///
/// # Safety
/// `V` must be nothing but floats.
#[inline(always)]
pub(crate) unsafe fn put<V: Copy, const S: usize, const C: usize>(
    acc: &[[V; S]; C],
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    const { assert!(size_of::<V>().is_multiple_of(size_of::<f32>())) };
    if is_inside(out, row, size_of::<[V; S]>() / 4, column, C) {
        for c in 0..C {
            // SAFETY: as was just checked, the column has as many rows; their place needs no alignment.
            unsafe { corner(out, row, column + c).cast::<[V; S]>().write_unaligned(acc[c]) };
        }
    } else {
        // A copy: the accumulators themselves stay in registers, as nobody has their address.
        let floats = *acc;
        // SAFETY: the caller promises that these are floats.
        let floats = unsafe { core::slice::from_raw_parts((&raw const floats).cast(), size_of_val(acc) / 4) };
        put_part(floats, size_of::<[V; S]>() / 4, out, row, column);
    }
}

/// Reads what [`put`] wrote; the rest is left as it is.
///
/// # Safety
/// `V` must be nothing but floats.
#[inline(always)]
pub(crate) unsafe fn get<V: Copy, const S: usize, const C: usize>(
    acc: &mut [[V; S]; C],
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    if is_inside(out, row, size_of::<[V; S]>() / 4, column, C) {
        for c in 0..C {
            // SAFETY: as was just checked, the column has as many rows; their place needs no alignment.
            acc[c] = unsafe { corner(out, row, column + c).cast::<[V; S]>().read_unaligned() };
        }
    } else {
        let mut floats = *acc;
        let len = size_of_val(acc) / 4;
        // SAFETY: the caller promises that these are floats.
        let part = unsafe { core::slice::from_raw_parts_mut((&raw mut floats).cast(), len) };
        get_part(part, size_of::<[V; S]>() / 4, out, row, column);
        *acc = floats;
    }
}

/// Whether a tile is as large as so many rows and columns behind `row` and `column`.
#[inline(always)]
fn is_inside(out: &TileMut<'_>, row: usize, rows: usize, column: usize, columns: usize) -> bool {
    row + rows <= out.rows() && column + columns <= out.cols()
}

/// Where a row of a column lies.
///
/// # Safety
/// There must be both.
#[inline(always)]
unsafe fn corner(out: &mut TileMut<'_>, row: usize, column: usize) -> *mut f32 {
    let at = column * out.stride() + row;
    // SAFETY: promised by the caller.
    unsafe { out.as_mut_ptr().add(at) }
}

/// Writes columns of so many rows as far as the tile has them: what is at its edges, compiled once.
#[inline(never)]
fn put_part(floats: &[f32], rows: usize, out: &mut TileMut<'_>, row: usize, column: usize) {
    for (c, floats) in (column..out.cols()).zip(floats.chunks_exact(rows)) {
        out.column(c)[row..].iter_mut().zip(floats).for_each(|(out, float)| *out = *float);
    }
}

/// Reads what [`put_part`] wrote.
#[inline(never)]
fn get_part(floats: &mut [f32], rows: usize, out: &mut TileMut<'_>, row: usize, column: usize) {
    for (c, floats) in (column..out.cols()).zip(floats.chunks_exact_mut(rows)) {
        out.column(c)[row..].iter().zip(floats).for_each(|(out, float)| *float = *out);
    }
}
