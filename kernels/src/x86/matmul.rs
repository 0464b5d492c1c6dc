//! The matrix product of every quantised format: how rows and columns are cut, for every tier of x86.

use core::arch::x86_64::*;
use core::ops::Range;

use super::activations::{Activations, Column};
use super::chunk::*;
use super::floats;
use super::lanes::Lanes;
use super::register::Floats;
use crate::backend::{FormatKernels, NARROW, Table};
use crate::blocks::*;
use crate::columns::{Columns, Q8_SUM};
use crate::tile::TileMut;

/// Columns of a group: for how many a panel is unpacked at once.
const GROUP: usize = 256;
/// From so many tiles on, the next panel is asked for while they are multiplied, which leaves memory idle; with fewer, while
/// a panel is unpacked, which takes as long.
const TILES: usize = 16;
/// Weights along `k` of a panel: it stays in the second cache, together with the activations of a group.
const PANEL: usize = 2048;

/// How a tier multiplies: with registers of `N` rows, and panels of `R` of them.
///
/// `few`, `panel` and `tile` are this file's functions of the same name, compiled for the tier's features.
pub(crate) trait Dot<const N: usize, const R: usize>: Sized {
    /// The name of the tier's backend.
    const NAME: &'static str;
    /// The tier's register.
    type V: Lanes<N>;
    /// Up to this many columns, at most 8, are multiplied straight with what was unpacked; for more, a panel pays. Half as
    /// many for formats with two scales per chunk, which unpack into more.
    const FEW: usize;
    /// Columns of a tile: what is multiplied at once with a panel, at most 6.
    const COLUMNS: usize;
    /// What the kernel adds to weights that are signed bytes, to have them unsigned.
    const SIGNED_OFFSET: i32;

    /// Adds the products of group `g` of a chunk with block `b` of each column to `dots`.
    ///
    /// # Safety
    /// The CPU must have the tier's features, and the columns a block `b`.
    unsafe fn dots<B: Unpack, const S: usize, const C: usize>(
        chunk: &Chunk<Self::V, N, S>,
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[Self::V; S]; C],
    );

    /// See [`few`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; there are as many rows as `out` has, each as long as a column, and `C` columns.
    unsafe fn few<B: Unpack, const C: usize>(rows: &Rows<'_, B>, x: &Activations<'_>, out: &mut TileMut<'_>);

    /// See [`panel`].
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    unsafe fn panel<B: Unpack>(
        rows: &Rows<'_, B>,
        row: usize,
        from: usize,
        panel: &mut [Chunk<Self::V, N, R>],
        asks: bool,
    );

    /// See [`tile`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; the columns have as many blocks from `block` on as the panel has chunks.
    unsafe fn tile<B: Unpack, const C: usize>(
        panel: &[Chunk<Self::V, N, R>],
        x: &Activations<'_>,
        place: Place,
        out: &mut TileMut<'_>,
    );
}

/// A tier's table: that of the tier below, with this one's products of every quantised format.
pub(crate) const fn table<T: Dot<N, R>, const N: usize, const R: usize>(
    supported: fn() -> bool,
    parent: Table,
) -> Table {
    Table { name: T::NAME, supported, scratch_bytes: scratch_bytes::<T, N, R>, ..parent }
        .with(Format::Q8_0, kernels::<T, BlockQ8_0, N, R>(&parent))
        .with(Format::Q4_0, kernels::<T, BlockQ4_0, N, R>(&parent))
        .with(Format::Q4_1, kernels::<T, BlockQ4_1, N, R>(&parent))
        .with(Format::Q5_0, kernels::<T, BlockQ5_0, N, R>(&parent))
        .with(Format::Q5_1, kernels::<T, BlockQ5_1, N, R>(&parent))
        .with(Format::Q2_K, kernels::<T, BlockQ2K, N, R>(&parent))
        .with(Format::Q3_K, kernels::<T, BlockQ3K, N, R>(&parent))
        .with(Format::Q4_K, kernels::<T, BlockQ4K, N, R>(&parent))
        .with(Format::Q5_K, kernels::<T, BlockQ5K, N, R>(&parent))
        .with(Format::Q6_K, kernels::<T, BlockQ6K, N, R>(&parent))
        .with(Format::IQ4_NL, kernels::<T, BlockIQ4NL, N, R>(&parent))
        .with(Format::IQ4_XS, kernels::<T, BlockIQ4XS, N, R>(&parent))
        .with(Format::MXFP4, kernels::<T, BlockMXFP4, N, R>(&parent))
}

const fn kernels<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>(parent: &Table) -> FormatKernels {
    let parent = parent.formats[B::FORMAT as usize];
    FormatKernels { origin: T::NAME, matmul: matmul::<T, B, N, R>, ..parent }
}

/// See [`crate::Backend::scratch_bytes`]: a panel, and the terms of a run of activations.
fn scratch_bytes<T: Dot<N, R>, const N: usize, const R: usize>(k: usize) -> usize {
    let values = usize::max(NARROW * k, GROUP * PANEL);
    let products = PANEL / CHUNK * size_of::<Chunk<T::V, N, R>>() + values / Q8_SUM * size_of::<u32>();
    products.max(floats::scratch_bytes::<N>())
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
pub(crate) unsafe fn matmul<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    if x.k == 0 {
        (0..x.n).for_each(|c| out.column(c).fill(0.0));
        return;
    }
    let rows = Rows { blocks: as_blocks::<B>(weights), len: x.k / B::LEN };
    let (panel, terms) = scratch.split_at_mut(PANEL / CHUNK * size_of::<Chunk<T::V, N, R>>());
    // SAFETY: any bits are values of both types.
    let (panel, terms) = unsafe { (panel.align_to_mut().1, terms.align_to_mut().1) };
    let term = term::<T, B, N, R>();
    // SAFETY: the CPU's features and the lengths are promised by the caller; every tier has those of AVX2. There is room
    // for the terms of a few columns, or of a group and a panel.
    unsafe {
        if x.n <= T::FEW / B::GROUPS {
            let x = &Activations::new(x, (0, x.k / CHUNK), term, B::GROUPS, terms);
            match x.n {
                1 => T::few::<B, 1>(&rows, x, out),
                2 => T::few::<B, 2>(&rows, x, out),
                3 if T::FEW / B::GROUPS > 2 => T::few::<B, 3>(&rows, x, out),
                4 if T::FEW / B::GROUPS > 3 => T::few::<B, 4>(&rows, x, out),
                5 if T::FEW / B::GROUPS > 4 => T::few::<B, 5>(&rows, x, out),
                6 if T::FEW / B::GROUPS > 5 => T::few::<B, 6>(&rows, x, out),
                7 if T::FEW / B::GROUPS > 6 => T::few::<B, 7>(&rows, x, out),
                8 if T::FEW / B::GROUPS > 7 => T::few::<B, 8>(&rows, x, out),
                _ => {}
            }
            return;
        }
        for c in (0..x.n).step_by(GROUP) {
            let (x, out) = (&x.range(c, x.n.min(c + GROUP)), &mut out.columns(c, x.n.min(c + GROUP)));
            // The terms of a narrow product are computed once, and those of a wide one panel by panel.
            let run = if x.n <= NARROW { x.k } else { PANEL };
            for from in (0..x.k).step_by(run) {
                let blocks = (from / CHUNK, x.k.min(from + run) / CHUNK);
                let x = &Activations::new(x, blocks, term, B::GROUPS, terms);
                many::<T, B, N, R>(&rows, x, blocks.0, out, panel);
            }
        }
    }
}

/// See [`crate::Backend::matmul`]: of one column.
///
/// # Safety
/// As [`matmul`].
pub(crate) unsafe fn alone<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    if x.k == 0 {
        out.column(0).fill(0.0);
        return;
    }
    let rows = Rows { blocks: as_blocks::<B>(weights), len: x.k / B::LEN };
    // SAFETY: any bits are integers, and there is room for the terms of a column; the CPU's features and the lengths are
    // promised by the caller.
    unsafe {
        let terms = scratch.align_to_mut().1;
        let x = Activations::new(x, (0, x.k / CHUNK), term::<T, B, N, R>(), B::GROUPS, terms);
        T::few::<B, 1>(&rows, &x, out);
    }
}

/// What a tier adds for a group of a format.
#[inline(always)]
fn term<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>() -> Term {
    match B::TERM {
        Term::Offset(offset) if B::BITS == 8 => Term::Offset(offset + T::SIGNED_OFFSET),
        term => term,
    }
}

/// Adds the product of a chunk with block `b` of each column to `acc`.
///
/// The sums of integers are exact, and every tier then does the same: for each group, `acc = (dot * d_x) * d_w + acc`, and
/// for formats with a minimum `acc = sum_x * m_w + acc`, both sums fused. So a result has the same bits on all of them,
/// however the work is cut.
///
/// # Safety
/// As [`Dot::dots`].
#[inline(always)]
unsafe fn multiply<
    T: Dot<N, R>,
    B: Unpack,
    const N: usize,
    const R: usize,
    const S: usize,
    const C: usize,
>(
    chunk: &Chunk<T::V, N, S>,
    columns: &[Column<'_>; C],
    b: usize,
    acc: &mut [[<T::V as Lanes<N>>::Floats; S]; C],
) {
    for g in 0..B::GROUPS {
        // SAFETY: the CPU's features, and that there is a block `b`, is promised by the caller.
        unsafe {
            let mut dots = [[T::V::splat(0); S]; C];
            if let Term::Offset(1..) = term::<T, B, N, R>() {
                for c in 0..C {
                    dots[c] = [T::V::splat(columns[c].offset(b, g, B::GROUPS)); S];
                }
            }
            T::dots::<B, S, C>(chunk, columns, b, g, &mut dots);
            for c in 0..C {
                let scale = Floats::splat(columns[c].scale(b));
                for s in 0..S {
                    let scaled = dots[c][s].to_floats().times(scale);
                    acc[c][s] = scaled.times_plus(chunk.d[g][s], acc[c][s]);
                    if let Term::Minimum = B::TERM {
                        let sum = <T::V as Lanes<N>>::Floats::splat(columns[c].sum(b, g, B::GROUPS));
                        acc[c][s] = sum.times_plus(chunk.m[g][s], acc[c][s]);
                    }
                }
            }
        }
    }
}

/// Multiplies a run of many columns: a panel of rows is unpacked into scratch once, and multiplied tile by tile.
unsafe fn many<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize>(
    rows: &Rows<'_, B>,
    x: &Activations<'_>,
    first: usize,
    out: &mut TileMut<'_>,
    panel: &mut [Chunk<T::V, N, R>],
) {
    for row in (0..out.rows()).step_by(N * R) {
        for block in (0..x.blocks).step_by(PANEL / CHUNK) {
            let panel = &mut panel[..usize::min(PANEL / CHUNK, x.blocks - block)];
            // Tiles of the same width, as far as that goes.
            let tiles = x.n.div_ceil(T::COLUMNS);
            // SAFETY: the CPU's features and the lengths are promised by the caller.
            unsafe {
                let from = (first + block) * CHUNK / B::LEN;
                T::panel(rows, row, from, panel, tiles < TILES);
                for t in 0..tiles {
                    let (column, to) = (x.n * t / tiles, x.n * (t + 1) / tiles);
                    if tiles >= TILES {
                        let next = |t: usize| row + N * R + N * R * t / tiles;
                        rows.ask_panel(next(t)..next(t + 1), from, panel.len() * CHUNK / B::LEN);
                    }
                    let place = Place { row, column, block, is_first: first + block == 0 };
                    if !place.is_first {
                        // Sums so far of many columns may lie in as few sets of a cache as columns share, hence far away.
                        for c in to..x.n.min(to + T::COLUMNS) {
                            prefetch::<_, _MM_HINT_T0>(out.column(c).as_ptr().wrapping_add(row), N * R);
                        }
                    }
                    match to - column {
                        1 => T::tile::<B, 1>(panel, x, place, out),
                        2 => T::tile::<B, 2>(panel, x, place, out),
                        3 => T::tile::<B, 3>(panel, x, place, out),
                        4 => T::tile::<B, 4>(panel, x, place, out),
                        5 => T::tile::<B, 5>(panel, x, place, out),
                        _ => T::tile::<B, 6>(panel, x, place, out),
                    }
                }
            }
        }
    }
}

/// Multiplies with `C` columns: each strip of rows is unpacked once, block by block, and used at once.
///
/// # Safety
/// As [`Dot::few`].
#[inline(always)]
pub(crate) unsafe fn few<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize, const C: usize>(
    all: &Rows<'_, B>,
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
) {
    for row in (0..out.rows()).step_by(N) {
        let rows: [&[B]; N] = all.strip(row);
        // SAFETY: the CPU's features are promised by the caller, and every row has that many blocks.
        unsafe {
            let columns = x.columns::<C>(0, 0);
            let acc = [[Floats::splat(0.0)]; C];
            let mut products = Products::<T, N, R, C> { columns, block: 0, acc, ahead: core::ptr::null() };
            for b in 0..all.len {
                products.ahead = all.at(row + N, N * b).cast();
                let at = if B::LEN == CHUNK { opaque(b) } else { b };
                B::unpack(rows.map(|row| row.get_unchecked(at)), &mut products);
                products.block += B::LEN / CHUNK;
            }
            put(&products.acc, out, row, 0);
        }
    }
}

/// Multiplies chunks with `C` columns as they are unpacked.
struct Products<'a, T: Dot<N, R>, const N: usize, const R: usize, const C: usize> {
    columns: [Column<'a>; C],
    /// The block of activations that the first chunk of the weights' block is multiplied with.
    block: usize,
    acc: [[<T::V as Lanes<N>>::Floats; 1]; C],
    /// What is asked for while a block is multiplied, a part with each of its chunks: what [`Rows::ask_far`] asks for at once,
    /// which of long blocks is more than can be on its way.
    ahead: *const u8,
}

impl<T: Dot<N, R>, const N: usize, const R: usize, const C: usize> Sink<T::V, N>
    for Products<'_, T, N, R, C>
{
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<T::V, N, 1>) {
        let part = const { N * size_of::<B>() / (B::LEN / CHUNK) };
        prefetch::<_, _MM_HINT_T0>(self.ahead.wrapping_add(i * part), part);
        // SAFETY: the CPU's features are promised by the caller; activations have a block for each chunk of the weights.
        unsafe { multiply::<T, B, N, R, 1, C>(&chunk, &self.columns, self.block + i, &mut self.acc) }
    }
}

/// Unpacks the rows from `row` on, and the blocks from block `from` on; `asks` for the next rows meanwhile.
///
/// # Safety
/// As [`Dot::panel`].
#[inline(always)]
pub(crate) unsafe fn panel<V: Lanes<N>, B: Unpack, const N: usize, const R: usize>(
    all: &Rows<'_, B>,
    row: usize,
    from: usize,
    panel: &mut [Chunk<V, N, R>],
    asks: bool,
) {
    for strip in 0..R {
        let row = row + strip * N;
        let rows: [&[B]; N] = all.strip(row);
        for (b, chunks) in panel.chunks_exact_mut(B::LEN / CHUNK).enumerate() {
            if asks {
                all.ask_far::<N>(row + N * R, from + b);
            }
            all.ask_near::<N>(row, from + b);
            // SAFETY: the CPU's features are promised by the caller, and every row has that many blocks.
            unsafe {
                let at = opaque(from + b);
                B::unpack(rows.map(|row| row.get_unchecked(at)), &mut Strip { chunks, strip });
            }
        }
    }
}

/// One strip of a panel.
struct Strip<'a, V: Lanes<N>, const N: usize, const R: usize> {
    chunks: &'a mut [Chunk<V, N, R>],
    strip: usize,
}

impl<V: Lanes<N>, const N: usize, const R: usize> Sink<V, N> for Strip<'_, V, N, R> {
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<V, N, 1>) {
        let place = &mut self.chunks[i];
        for step in 0..STEPS {
            place.w[step][self.strip] = chunk.w[step][0];
        }
        for g in 0..B::GROUPS {
            place.d[g][self.strip] = chunk.d[g][0];
            if let Term::Minimum = B::TERM {
                place.m[g][self.strip] = chunk.m[g][0];
            }
        }
    }
}

/// Where a tile lies: its first row and column, the block of activations that the panel starts with, and whether what is
/// in `out` is nothing yet, or the sum of the blocks before.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    row: usize,
    column: usize,
    block: usize,
    is_first: bool,
}

/// Adds the product of a panel and `C` columns to a tile.
///
/// # Safety
/// As [`Dot::tile`].
#[inline(always)]
pub(crate) unsafe fn tile<T: Dot<N, R>, B: Unpack, const N: usize, const R: usize, const C: usize>(
    panel: &[Chunk<T::V, N, R>],
    x: &Activations<'_>,
    place: Place,
    out: &mut TileMut<'_>,
) {
    // SAFETY: the CPU's features, and that there are those columns, and as many blocks as chunks, is promised by the caller.
    unsafe {
        let columns = x.columns::<C>(place.column, place.block);
        let mut acc = [[Floats::splat(0.0); R]; C];
        if !place.is_first {
            get(&mut acc, out, place.row, place.column);
        }
        for (b, chunk) in panel.iter().enumerate() {
            multiply::<T, B, N, R, R, C>(chunk, &columns, b, &mut acc);
        }
        put(&acc, out, place.row, place.column);
    }
}

/// Rows of a matrix, each of `len` blocks.
pub(crate) struct Rows<'a, B> {
    blocks: &'a [B],
    len: usize,
}

impl<'a, B> Rows<'a, B> {
    /// The strip that starts at row `from`; what lies behind the last row is filled up with it.
    #[inline(always)]
    fn strip<const N: usize>(&self, from: usize) -> [&'a [B]; N] {
        let last = self.blocks.len() - self.len;
        let mut rows = [self.blocks; N];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &self.blocks[((from + r) * self.len).min(last)..][..self.len];
        }
        rows
    }

    /// Where block `b` of a row lies, if there is such a row.
    #[inline(always)]
    fn at(&self, row: usize, b: usize) -> *const B {
        self.blocks.as_ptr().wrapping_add(row * self.len + b)
    }

    /// Asks for what lies `N * later` blocks behind row `row`: as much as is used of a strip with each block. Memory is far, and
    /// gives most to who reads it in its own order, across the rows of a strip, though they be another thread's.
    #[inline(always)]
    fn ask_far<const N: usize>(&self, row: usize, later: usize) {
        prefetch::<_, _MM_HINT_T0>(self.at(row, N * later), N);
    }

    /// Asks again for long blocks of a strip, shortly before they are used: those of a strip may be more than the first cache
    /// holds.
    #[inline(always)]
    fn ask_near<const N: usize>(&self, row: usize, b: usize) {
        if const { size_of::<B>() > 64 } && b + 2 < self.len {
            (row..row + N).for_each(|row| prefetch::<_, _MM_HINT_T0>(self.at(row, b + 2), 1));
        }
    }

    /// Asks for some rows of a panel, `n` blocks of each.
    #[inline(always)]
    fn ask_panel(&self, rows: Range<usize>, from: usize, n: usize) {
        rows.for_each(|row| prefetch::<_, _MM_HINT_T1>(self.at(row, from), n));
    }
}

/// Asks for some blocks, or bytes.
#[inline(always)]
pub(crate) fn prefetch<B, const HINT: i32>(blocks: *const B, n: usize) {
    for at in (0..n * size_of::<B>()).step_by(64) {
        // SAFETY: a prefetch of any address does nothing that can be seen.
        unsafe { _mm_prefetch::<HINT>(blocks.cast::<i8>().wrapping_add(at)) };
    }
}

/// The same number, of which the compiler knows nothing: seeing that it grows by one, it would keep a pointer to each row
/// of a strip, more than there are registers, and move all of them on with every block.
#[inline(always)]
fn opaque(mut index: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) index, options(pure, nomem, nostack, preserves_flags))
    };
    index
}

/// Writes one float per lane to the rows from `row` on, as far as there are rows, and the columns from `column` on.
///
/// # Safety
/// `V` must be nothing but floats, here and below.
#[inline(always)]
pub(crate) unsafe fn put<V: Copy, const S: usize, const C: usize>(
    acc: &[[V; S]; C],
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    for c in 0..C {
        let out = &mut out.column(column + c)[row..];
        if out.len() >= size_of::<[V; S]>() / 4 {
            // SAFETY: there is room for as many floats, and their place needs no alignment.
            unsafe { out.as_mut_ptr().cast::<[V; S]>().write_unaligned(acc[c]) };
        } else {
            // A copy: the accumulators themselves stay in registers, as nobody has their address.
            let floats = acc[c];
            // SAFETY: the caller promises that these are floats; there are more than are taken.
            unsafe { out.as_mut_ptr().copy_from_nonoverlapping((&raw const floats).cast(), out.len()) };
        }
    }
}

/// Reads what [`put`] wrote.
#[inline(always)]
pub(crate) unsafe fn get<V: Copy, const S: usize, const C: usize>(
    acc: &mut [[V; S]; C],
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    for c in 0..C {
        let out = &out.column(column + c)[row..];
        if out.len() >= size_of::<[V; S]>() / 4 {
            // SAFETY: there are as many floats, and their place needs no alignment.
            acc[c] = unsafe { out.as_ptr().cast::<[V; S]>().read_unaligned() };
        } else {
            let mut floats = acc[c];
            let to: *mut f32 = (&raw mut floats).cast();
            // SAFETY: the caller promises that these are floats; there are more than are read.
            unsafe { to.copy_from_nonoverlapping(out.as_ptr(), out.len()) };
            acc[c] = floats;
        }
    }
}
