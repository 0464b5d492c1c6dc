//! The matrix products of the formats that are floats, for registers of any width.
//!
//! Few columns: a lane of a sum is `k` modulo the lanes of a register; the lanes are added up last, and then what is
//! left of a row behind its last whole register. So every number of columns up to [`NARROW`] gives the same bits.
//! Many columns: the rows of a panel are turned into floats, transposed and kept, and a lane is a row.

use core::arch::x86_64::_MM_HINT_T1;
use core::ops::Range;

use super::lanes::Lanes;
use super::matmul::{ask, get, prefetch, put};
use super::register::Floats;
use crate::backend::{NARROW, Table};
use crate::blocks::{BlockBF16, BlockF16, BlockF32, Format, as_blocks};
use crate::columns::Columns;
use crate::dequantize::Weights;
use crate::tile::TileMut;

/// Registers of rows of a panel.
pub(crate) const STRIPS: usize = 2;
/// Weights along `k` of a panel: it stays in the first cache, beside the activations it is multiplied with.
const PANEL: usize = 256;

/// Bytes of a panel.
pub(crate) const fn scratch_bytes<const N: usize>() -> usize {
    PANEL * STRIPS * N * size_of::<f32>()
}

/// A block of one float.
pub(crate) trait Float: Weights {
    /// Loads the first `N` weights, which must be as many.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    unsafe fn load<V: Lanes<N>, const N: usize>(weights: &[Self]) -> V::Floats;

    /// Sixteen bytes of each row as floats, transposed: a register holds one weight of each row.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    unsafe fn transpose<V: Lanes<N>, const N: usize>(rows: [&[u8; 16]; N], out: &mut [V::Floats]);
}

impl Float for BlockF32 {
    #[inline(always)]
    unsafe fn load<V: Lanes<N>, const N: usize>(weights: &[Self]) -> V::Floats {
        // SAFETY: there are N floats, and the CPU's features are promised by the caller, here and below.
        unsafe { Floats::words(&*weights.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn transpose<V: Lanes<N>, const N: usize>(rows: [&[u8; 16]; N], out: &mut [V::Floats]) {
        // SAFETY: as above.
        unsafe {
            let words = V::transpose(rows);
            for i in 0..4 {
                out[i] = words[i].as_floats();
            }
        }
    }
}

impl Float for BlockF16 {
    #[inline(always)]
    unsafe fn load<V: Lanes<N>, const N: usize>(weights: &[Self]) -> V::Floats {
        // SAFETY: as above.
        unsafe { Floats::halves(&*weights.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn transpose<V: Lanes<N>, const N: usize>(rows: [&[u8; 16]; N], out: &mut [V::Floats]) {
        // SAFETY: as above.
        unsafe {
            let words = V::transpose(rows);
            for i in 0..4 {
                out[2 * i] = words[i].halves();
                out[2 * i + 1] = words[i].shr(16, 0xffff).halves();
            }
        }
    }
}

impl Float for BlockBF16 {
    #[inline(always)]
    unsafe fn load<V: Lanes<N>, const N: usize>(weights: &[Self]) -> V::Floats {
        // SAFETY: as above.
        unsafe { Floats::upper_halves(&*weights.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn transpose<V: Lanes<N>, const N: usize>(rows: [&[u8; 16]; N], out: &mut [V::Floats]) {
        // SAFETY: as above.
        unsafe {
            let words = V::transpose(rows);
            for i in 0..4 {
                out[2 * i] = words[i].shl(16, 0xffff_0000).as_floats();
                out[2 * i + 1] = words[i].shr(0, 0xffff_0000).as_floats();
            }
        }
    }
}

/// How a tier multiplies with weights that are floats: the functions of the same name here, compiled for its features.
pub(crate) trait FloatDot<const N: usize> {
    /// The tier's register.
    type V: Lanes<N>;

    /// See [`matmul`].
    ///
    /// # Safety
    /// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
    unsafe fn matmul<B: Float>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]);

    /// See [`many_tile`].
    ///
    /// # Safety
    /// The CPU must have the tier's features, and the columns a value for each `k` of the panel.
    unsafe fn many_tile<const C: usize>(
        panel: &[[<Self::V as Lanes<N>>::Floats; STRIPS]],
        x: &Columns<'_>,
        from: usize,
        out: &mut TileMut<'_>,
        r: usize,
        c: usize,
    );

    /// The sum of the lanes of each register.
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    unsafe fn reduce_sums(sums: &[<Self::V as Lanes<N>>::Floats], totals: &mut [f32]);
}

impl Table {
    /// The table with a tier's products of the formats that are floats.
    pub(in crate::x86) const fn with_floats<T: FloatDot<N>, const N: usize>(self) -> Table {
        self.with(Format::F32, T::matmul::<BlockF32>)
            .with(Format::F16, T::matmul::<BlockF16>)
            .with(Format::BF16, T::matmul::<BlockBF16>)
    }
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the features of the tier, and the lengths must be what [`crate::Backend::matmul`] checks.
#[inline(always)]
pub(crate) unsafe fn matmul<T: FloatDot<N>, B: Float, const N: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    let weights = as_blocks::<B>(weights);
    // SAFETY: the CPU's features are promised by the caller; any bits are floats.
    unsafe {
        if x.n > NARROW && x.k > 0 {
            return many::<T, B, N>(weights, x, out, scratch.align_to_mut().1);
        }
        // The sums of four rows, the rows and a column fit into the 32 registers of sixteen floats; those of three rows into the
        // 16 of eight.
        match x.n {
            // Long rows leave more of the first cache to those that are on their way.
            1 if N == 16 && size_of::<B>() == size_of::<f32>() => few::<T, B, N, 2, 1>(weights, x, out),
            1 => few::<T, B, N, 4, 1>(weights, x, out),
            2 => few::<T, B, N, 4, 2>(weights, x, out),
            _ if N == 8 => few::<T, B, N, 3, 4>(weights, x, out),
            _ => few::<T, B, N, 4, 6>(weights, x, out),
        }
    }
}

/// Multiplies with few columns: `R` rows at once, as they lie, with tiles of `MOST` columns at most.
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
#[inline(always)]
unsafe fn few<T: FloatDot<N>, B: Float, const N: usize, const R: usize, const MOST: usize>(
    weights: &[B],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
) {
    let tiles = x.n.div_ceil(MOST);
    for r in (0..out.rows()).step_by(R) {
        for t in 0..tiles {
            let (c, to) = (x.n * t / tiles, x.n * (t + 1) / tiles);
            // SAFETY: the CPU's features are promised by the caller; there are the rows and columns.
            unsafe {
                match to - c {
                    _ if MOST == 1 => few_tile::<T, B, N, R, 1>(weights, x, out, r, c..to),
                    _ if MOST == 2 => few_tile::<T, B, N, R, 2>(weights, x, out, r, c..to),
                    2 | 3 if MOST == 4 => few_tile::<T, B, N, R, 3>(weights, x, out, r, c..to),
                    3 | 4 => few_tile::<T, B, N, R, 4>(weights, x, out, r, c..to),
                    5 | 6 if MOST > 4 => few_tile::<T, B, N, R, 6>(weights, x, out, r, c..to),
                    _ => unreachable!("several tiles have two columns at least"),
                }
            }
        }
    }
}

/// Multiplies the `R` rows from `r` on with up to `C` columns; what lies behind the last row or column is filled up with it.
/// Meanwhile the next rows are asked for, in the order of memory: into the second cache.
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks; there must be
/// the row `r` and the columns `c`.
#[inline(always)]
unsafe fn few_tile<T: FloatDot<N>, B: Float, const N: usize, const R: usize, const C: usize>(
    weights: &[B],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    r: usize,
    c: Range<usize>,
) {
    let last = out.rows() - 1;
    let rows: [&[B]; R] = core::array::from_fn(|i| &weights[(r + i).min(last) * x.k..][..x.k]);
    let columns: [&[f32]; C] = core::array::from_fn(|j| &x.f32[(c.start + j).min(c.end - 1) * x.k..][..x.k]);
    let whole = x.k / N * N;
    // SAFETY: the CPU's features are promised by the caller; a row and a column have N values from a step on.
    unsafe {
        let next = weights.as_ptr().wrapping_add((r + R) * x.k);
        let mut sums = [[<T::V as Lanes<N>>::Floats::splat(0.0); R]; C];
        for k in (0..whole).step_by(N) {
            if c.start == 0 {
                prefetch::<_, _MM_HINT_T1>(next.wrapping_add(R * k), R * N);
            }
            let mut w = [<T::V as Lanes<N>>::Floats::splat(0.0); R];
            for i in 0..R {
                w[i] = B::load::<T::V, N>(rows[i].get_unchecked(k..k + N));
            }
            for j in 0..C {
                let column: <T::V as Lanes<N>>::Floats = Floats::load(&*columns[j].as_ptr().add(k).cast());
                for i in 0..R {
                    sums[j][i] = w[i].mul_add(column, sums[j][i]);
                }
            }
        }
        // Copies: the sums themselves, and where rows and columns lie, stay in registers, as nobody has their address.
        let (sums, rows, columns) = (sums, rows, columns);
        let mut totals = [[0.0; R]; C];
        T::reduce_sums(sums.as_flattened(), totals.as_flattened_mut());
        write_sums(&rows, &columns, whole, totals.as_flattened(), out, r, c);
    }
}

/// Writes the sums of some rows from `r` on and of columns `c`, each with what is left of them from `whole` on; rows are as many
/// for each column, and those that the tile does not have are left out. Compiled once for a format.
#[inline(never)]
fn write_sums<B: Float>(
    rows: &[&[B]],
    columns: &[&[f32]],
    whole: usize,
    sums: &[f32],
    out: &mut TileMut<'_>,
    r: usize,
    c: Range<usize>,
) {
    for ((c, column), sums) in c.zip(columns).zip(sums.chunks_exact(rows.len())) {
        for ((out, row), sum) in out.column(c)[r..].iter_mut().zip(rows).zip(sums) {
            *out = *sum;
            for (w, x) in row[whole..].iter().zip(&column[whole..]) {
                let mut value = [0.0];
                w.write(&mut value);
                *out += value[0] * x;
            }
        }
    }
}

/// The sum of the lanes of each register.
///
/// # Safety
/// As [`FloatDot::reduce_sums`].
#[inline(always)]
pub(crate) unsafe fn reduce_sums<F: Floats<N>, const N: usize>(sums: &[F], totals: &mut [f32]) {
    for (sum, total) in sums.iter().zip(totals) {
        // SAFETY: the CPU's features are promised by the caller.
        *total = unsafe { sum.reduce_sum() };
    }
}

/// Multiplies with many columns: a panel of rows is turned into floats once, and multiplied tile by tile.
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
#[inline(always)]
unsafe fn many<T: FloatDot<N>, B: Float, const N: usize>(
    weights: &[B],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    panel: &mut [[<T::V as Lanes<N>>::Floats; STRIPS]],
) {
    let tiles = x.n.div_ceil(6);
    for from in (0..x.k).step_by(PANEL) {
        let panel = &mut panel[..usize::min(PANEL, x.k - from)];
        for r in (0..out.rows()).step_by(STRIPS * N) {
            // SAFETY: the CPU's features are promised by the caller; there are the rows and columns.
            unsafe {
                unpack::<T::V, B, N>(weights, x.k, r, from, panel);
                let mut c = 0;
                for t in 0..tiles {
                    // Of about the same width; only the last may take a column again.
                    let width = (x.n - c).div_ceil(tiles - t).next_multiple_of(2);
                    ask(out, r..r + STRIPS * N, c + width, 6);
                    match width {
                        2 => T::many_tile::<2>(panel, x, from, out, r, c),
                        4 => T::many_tile::<4>(panel, x, from, out, r, c),
                        _ => T::many_tile::<6>(panel, x, from, out, r, c),
                    }
                    c += width;
                }
            }
        }
    }
}

/// Turns weights from `from` on of the rows from `r` on into floats, one register of rows for each `k` and strip; what
/// lies behind the last row is filled up with it.
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
unsafe fn unpack<V: Lanes<N>, B: Float, const N: usize>(
    weights: &[B],
    k: usize,
    r: usize,
    from: usize,
    panel: &mut [[V::Floats; STRIPS]],
) {
    let (step, last) = (const { 16 / size_of::<B>() }, weights.len() / k - 1);
    for strip in 0..STRIPS {
        let rows: [&[B]; N] = core::array::from_fn(|i| {
            let row = (r + strip * N + i).min(last);
            &weights[row * k + from..][..panel.len()]
        });
        let whole = panel.len() / step * step;
        for at in (0..whole).step_by(step) {
            // SAFETY: the CPU's features are promised by the caller; a row has 16 bytes from a step on.
            unsafe {
                let mut floats = [V::Floats::splat(0.0); 8];
                B::transpose::<V, N>(rows.map(|row| &*row.as_ptr().add(at).cast()), &mut floats);
                for i in 0..step {
                    panel[at + i][strip] = floats[i];
                }
            }
        }
        for at in whole..panel.len() {
            let mut floats = [0.0; N];
            for (float, row) in floats.iter_mut().zip(rows) {
                row[at].write(core::slice::from_mut(float));
            }
            // SAFETY: as above.
            panel[at][strip] = unsafe { Floats::load(&floats) };
        }
    }
}

/// Adds the product of a panel and `C` columns from `c` on to a tile; behind the last column it is taken again.
///
/// # Safety
/// As [`FloatDot::many_tile`].
#[inline(always)]
pub(crate) unsafe fn many_tile<V: Lanes<N>, const N: usize, const C: usize>(
    panel: &[[V::Floats; STRIPS]],
    x: &Columns<'_>,
    from: usize,
    out: &mut TileMut<'_>,
    r: usize,
    c: usize,
) {
    let columns: [&[f32]; C] =
        core::array::from_fn(|j| &x.f32[(c + j).min(x.n - 1) * x.k + from..][..panel.len()]);
    // SAFETY: the CPU's features are promised by the caller; a column has a value for each `k` of the panel; registers
    // of floats are nothing but floats.
    unsafe {
        let mut acc = [[V::Floats::splat(0.0); STRIPS]; C];
        if from > 0 {
            get(&mut acc, out, r, c);
        }
        for (k, w) in panel.iter().enumerate() {
            for j in 0..C {
                let x = V::Floats::splat(*columns[j].get_unchecked(k));
                for s in 0..STRIPS {
                    acc[j][s] = w[s].mul_add(x, acc[j][s]);
                }
            }
        }
        put(&acc, out, r, c);
    }
}
