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
/// Weights along `k` of a panel for up to [`NARROW`] columns: it stays in the first cache, and is used up there.
const NARROW_PANEL: usize = 512;

/// How a tier multiplies, with registers of `N` rows.
///
/// `few`, `panel` and `tile` are this file's functions of the same name, compiled for the tier's features.
pub(crate) trait Dot<const N: usize>: Sized {
    /// The name of the tier's backend.
    const NAME: &'static str;
    /// The tier's register.
    type V: Lanes<N>;
    /// Columns of a common format that are multiplied straight with what was unpacked, at most: 4 or 8.
    const FEW: usize;
    /// How up to 4 columns are multiplied with a panel, and how more are.
    const CUTS: [Cut; 2];
    /// What the kernel adds to weights that are signed bytes, to have them unsigned.
    const SIGNED_OFFSET: i32;

    /// Adds the products of group `g` of a chunk of each strip with block `b` of each column to `dots`.
    ///
    /// # Safety
    /// The CPU must have the tier's features, and the columns a block `b`.
    unsafe fn dots<B: Unpack, const S: usize, const C: usize>(
        chunks: [&Chunk<Self::V, N>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[Self::V; S]; C],
    );

    /// See [`few`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; there are as many rows of `B` as `out` has, each as long as a column.
    unsafe fn few<B: Unpack, const C: usize>(rows: &Bytes<'_>, x: &Activations<'_>, out: &mut TileMut<'_>);

    /// See [`panel`].
    ///
    /// # Safety
    /// The CPU must have the tier's features, the rows be of `B`, and the panel be aligned.
    unsafe fn panel<B: Unpack>(rows: &Bytes<'_>, row: usize, from: usize, panel: &mut [u8], ahead: *const u8);

    /// See [`tile`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; the panel is of `S` strips of `B`, and the columns have as many blocks from
    /// `block` on as a strip has chunks.
    unsafe fn tile<B: Unpack, const S: usize, const C: usize>(
        panel: &[u8],
        x: &Activations<'_>,
        place: Place,
        out: &mut TileMut<'_>,
    );
}

/// A tier's table: that of the tier below, with this one's products of every quantised format.
pub(crate) const fn table<T: Dot<N>, const N: usize>(supported: fn() -> bool, parent: Table) -> Table {
    Table { name: T::NAME, supported, scratch_bytes: scratch_bytes::<T, N>, ..parent }
        .with(Format::Q8_0, kernels::<T, BlockQ8_0, N>(&parent))
        .with(Format::Q4_0, kernels::<T, BlockQ4_0, N>(&parent))
        .with(Format::Q4_1, kernels::<T, BlockQ4_1, N>(&parent))
        .with(Format::Q5_0, kernels::<T, BlockQ5_0, N>(&parent))
        .with(Format::Q5_1, kernels::<T, BlockQ5_1, N>(&parent))
        .with(Format::Q2_K, kernels::<T, BlockQ2K, N>(&parent))
        .with(Format::Q3_K, kernels::<T, BlockQ3K, N>(&parent))
        .with(Format::Q4_K, kernels::<T, BlockQ4K, N>(&parent))
        .with(Format::Q5_K, kernels::<T, BlockQ5K, N>(&parent))
        .with(Format::Q6_K, kernels::<T, BlockQ6K, N>(&parent))
        .with(Format::IQ4_NL, kernels::<T, BlockIQ4NL, N>(&parent))
        .with(Format::IQ4_XS, kernels::<T, BlockIQ4XS, N>(&parent))
        .with(Format::MXFP4, kernels::<T, BlockMXFP4, N>(&parent))
}

const fn kernels<T: Dot<N>, B: Unpack, const N: usize>(parent: &Table) -> FormatKernels {
    let parent = parent.formats[B::FORMAT as usize];
    FormatKernels { origin: T::NAME, matmul: matmul::<T, B, N>, ..parent }
}

/// See [`crate::Backend::scratch_bytes`]: a panel, and the terms of a run of activations.
fn scratch_bytes<T: Dot<N>, const N: usize>(k: usize) -> usize {
    let values = usize::max(NARROW * k, GROUP * PANEL);
    let products =
        PANEL / CHUNK * T::CUTS[1].strips * size_of::<Chunk<T::V, N>>() + values / Q8_SUM * size_of::<u32>();
    products.max(floats::scratch_bytes::<N>())
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
unsafe fn matmul<T: Dot<N>, B: Unpack, const N: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    // SAFETY: the same promises.
    unsafe { multiply(const { &Product::of::<T, B, N>() }, weights, x, out, scratch) }
}

/// A product with a few columns.
type Few = unsafe fn(&Bytes<'_>, &Activations<'_>, &mut TileMut<'_>);
/// A product of a panel with the columns of a tile.
type Tile = unsafe fn(&[u8], &Activations<'_>, Place, &mut TileMut<'_>);

/// How rows and columns are cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Strips of a panel: 1 or 2.
    pub(crate) strips: usize,
    /// Columns of a tile at most: 4 of one strip, 6 of two.
    pub(crate) columns: usize,
}

/// How a tier multiplies with a format, by numbers and functions alone: what cuts rows and columns is compiled once.
pub(crate) struct Product {
    /// Of 1, 2, 4 and 8 columns, if there are such.
    few: [Option<Few>; 4],
    /// Of one column, where a row is long.
    long: Few,
    panel: unsafe fn(&Bytes<'_>, usize, usize, &mut [u8], *const u8),
    /// How few columns are cut, as many as one tile has; and how more are.
    cuts: [Cut; 2],
    /// The tiles of each cut, of 2, 4 and 6 columns. A tile of fewer takes the last one again.
    tiles: [[Tile; 3]; 2],
    /// Rows of a strip.
    rows: usize,
    /// Bytes of a chunk of a panel.
    chunk: usize,
    /// Weights and bytes of a block.
    block: (usize, usize),
    groups: usize,
    term: Term,
}

impl Product {
    pub(crate) const fn of<T: Dot<N>, B: Unpack, const N: usize>() -> Product {
        Product {
            few: few_of::<T, B, N>(),
            long: T::few::<B, 1>,
            panel: T::panel::<B>,
            cuts: T::CUTS,
            tiles: [tiles::<T, B, N>(T::CUTS[0]), tiles::<T, B, N>(T::CUTS[1])],
            rows: N,
            chunk: size_of::<Chunk<T::V, N>>(),
            block: (B::LEN, size_of::<B>()),
            groups: B::GROUPS,
            term: term::<T, B, N>(),
        }
    }

    /// With another kernel for one column of long rows.
    pub(crate) const fn with_long(mut self, long: Few) -> Product {
        self.long = long;
        self
    }
}

/// The functions for few columns. What is not common is multiplied as a narrow panel from two columns on, which takes a tenth
/// to a fifth more time, and as many functions less.
const fn few_of<T: Dot<N>, B: Unpack, const N: usize>() -> [Option<Few>; 4] {
    match (B::COMMON, T::FEW) {
        (false, _) => [Some(T::few::<B, 1>), None, None, None],
        (true, ..8) => [Some(T::few::<B, 1>), Some(T::few::<B, 2>), Some(T::few::<B, 4>), None],
        (true, _) => [Some(T::few::<B, 1>), Some(T::few::<B, 2>), Some(T::few::<B, 4>), Some(T::few::<B, 8>)],
    }
}

/// The tiles of a cut; one that is too wide for it is a narrower one.
const fn tiles<T: Dot<N>, B: Unpack, const N: usize>(cut: Cut) -> [Tile; 3] {
    match cut.strips {
        1 => [T::tile::<B, 1, 2>, T::tile::<B, 1, 4>, T::tile::<B, 1, 4>],
        _ => [T::tile::<B, 2, 2>, T::tile::<B, 2, 4>, T::tile::<B, 2, 6>],
    }
}

/// A row of more bytes is long.
const LONG: usize = 1536;

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
    if x.k == 0 || x.n == 0 {
        (0..x.n).for_each(|c| out.column(c).fill(0.0));
        return;
    }
    let (len, bytes) = product.block;
    let rows = Bytes { weights, len: x.k / len };
    let (panel, terms) = scratch.split_at_mut(PANEL / CHUNK * product.cuts[1].strips * product.chunk);
    // SAFETY: any bits are integers.
    let terms = unsafe { terms.align_to_mut().1 };
    // SAFETY: the CPU's features and the lengths are promised by the caller; every tier has those of AVX2. There is room
    // for the terms of a few columns, or of a group and a panel.
    unsafe {
        // Of a width that is no power of two, the last column is taken again.
        let width = x.n.next_power_of_two().ilog2() as usize;
        if let Some(&Some(few)) = product.few.get(width) {
            let few = if x.n == 1 && rows.len * bytes > LONG { product.long } else { few };
            let x = &Activations::new(x, (0, x.k / CHUNK), product.term, product.groups, terms);
            return few(&rows, x, out);
        }
        // The terms of a narrow product are computed once, and those of a wide one panel by panel.
        let (run, chunks) = if x.n <= NARROW { (x.k, NARROW_PANEL / CHUNK) } else { (PANEL, PANEL / CHUNK) };
        let cut = usize::from(x.n > product.cuts[0].columns);
        let panel = &mut panel[..chunks * product.cuts[cut].strips * product.chunk];
        for c in (0..x.n).step_by(GROUP) {
            let (x, out) = (&x.range(c, x.n.min(c + GROUP)), &mut out.columns(c, x.n.min(c + GROUP)));
            for from in (0..x.k).step_by(run) {
                let blocks = (from / CHUNK, x.k.min(from + run) / CHUNK);
                let x = &Activations::new(x, blocks, product.term, product.groups, terms);
                many(product, cut, &rows, x, blocks.0, out, panel);
            }
        }
    }
}

/// What a tier adds for a group of a format.
const fn term<T: Dot<N>, B: Unpack, const N: usize>() -> Term {
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
unsafe fn add<T: Dot<N>, B: Unpack, const N: usize, const S: usize, const C: usize>(
    chunks: [&Chunk<T::V, N>; S],
    columns: &[Column<'_>; C],
    b: usize,
    acc: &mut [[<T::V as Lanes<N>>::Floats; S]; C],
) {
    for g in 0..B::GROUPS {
        // SAFETY: the CPU's features, and that there is a block `b`, is promised by the caller.
        unsafe {
            let mut dots = [[T::V::splat(0); S]; C];
            if let Term::Offset(1..) = const { term::<T, B, N>() } {
                for c in 0..C {
                    dots[c] = [T::V::splat(columns[c].offset(b, g, B::GROUPS)); S];
                }
            }
            T::dots::<B, S, C>(chunks, columns, b, g, &mut dots);
            for c in 0..C {
                let scale = Floats::splat(columns[c].scale(b));
                for s in 0..S {
                    let scaled = dots[c][s].to_floats().times(scale);
                    acc[c][s] = scaled.times_plus(chunks[s].d[g], acc[c][s]);
                    if let Term::Minimum = B::TERM {
                        let sum = <T::V as Lanes<N>>::Floats::splat(columns[c].sum(b, g, B::GROUPS));
                        acc[c][s] = sum.times_plus(chunks[s].m[g], acc[c][s]);
                    }
                }
            }
        }
    }
}

/// Multiplies a run of many columns: a panel of rows is unpacked into scratch once, and multiplied tile by tile.
unsafe fn many(
    product: &Product,
    cut: usize,
    rows: &Bytes<'_>,
    x: &Activations<'_>,
    first: usize,
    out: &mut TileMut<'_>,
    panel: &mut [u8],
) {
    let (len, bytes) = product.block;
    let Cut { strips, columns } = product.cuts[cut];
    let chunks = panel.len() / (strips * product.chunk);
    let height = strips * product.rows;
    let tiles = x.n.div_ceil(columns);
    for row in (0..out.rows()).step_by(height) {
        for block in (0..x.blocks).step_by(chunks) {
            let chunks = chunks.min(x.blocks - block);
            let panel = &mut panel[..chunks * strips * product.chunk];
            let from = (first + block) * CHUNK / len;
            for (s, panel) in panel.chunks_exact_mut(chunks * product.chunk).enumerate() {
                let row = row + s * product.rows;
                // As much as is used of the strip, in the order of memory.
                let next = (row + height) * rows.len + from * product.rows;
                let ahead = if tiles < TILES {
                    rows.weights.as_ptr().wrapping_add(next * bytes)
                } else {
                    core::ptr::null()
                };
                // SAFETY: the CPU's features and the lengths are promised by the caller, who has the scratch aligned.
                unsafe { (product.panel)(rows, row, from, panel, ahead) };
            }
            let mut column = 0;
            for t in 0..tiles {
                if tiles >= TILES {
                    let next = |t: usize| row + height + height * t / tiles;
                    rows.ask_panel(next(t)..next(t + 1), from * bytes, chunks * CHUNK / len * bytes, bytes);
                }
                // Tiles of about the same width, as far as that goes.
                let width = (x.n - column).div_ceil(tiles - t).next_multiple_of(2);
                let place = Place { row, column, block, is_first: first + block == 0 };
                column += width;
                if !place.is_first {
                    // Sums so far of many columns may lie in as few sets of a cache as columns share, hence far away.
                    for c in column..x.n.min(column + columns) {
                        prefetch::<_, _MM_HINT_T0>(out.column(c).as_ptr().wrapping_add(row), height);
                    }
                }
                // SAFETY: as above.
                unsafe { (product.tiles[cut][width / 2 - 1])(panel, x, place, out) };
            }
        }
    }
}

/// Multiplies with up to `C` columns: each strip of rows is unpacked once, block by block, and used at once.
///
/// # Safety
/// As [`Dot::few`].
#[inline(always)]
pub(crate) unsafe fn few<T: Dot<N>, B: Unpack, const N: usize, const C: usize>(
    all: &Bytes<'_>,
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
) {
    let all = all.rows::<B>();
    for row in (0..out.rows()).step_by(N) {
        let rows: [&[B]; N] = all.strip(row);
        // SAFETY: the CPU's features are promised by the caller, and every row has that many blocks.
        unsafe {
            let columns = x.columns::<C>(0, 0);
            let acc = [[Floats::splat(0.0)]; C];
            let mut products = Products::<T, N, C> { columns, block: 0, acc, ahead: core::ptr::null() };
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
struct Products<'a, T: Dot<N>, const N: usize, const C: usize> {
    columns: [Column<'a>; C],
    /// The block of activations that the first chunk of the weights' block is multiplied with.
    block: usize,
    acc: [[<T::V as Lanes<N>>::Floats; 1]; C],
    /// What is asked for while a block is multiplied, a part with each of its chunks, as all at once is more than can be on its
    /// way: as much as is used of a strip. Memory is far, and gives most to who reads it in its own order, across the rows of a
    /// strip, though they be another thread's.
    ahead: *const u8,
}

impl<T: Dot<N>, const N: usize, const C: usize> Sink<T::V, N> for Products<'_, T, N, C> {
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<T::V, N>) {
        let part = const { N * size_of::<B>() / (B::LEN / CHUNK) };
        prefetch::<_, _MM_HINT_T0>(self.ahead.wrapping_add(i * part), part);
        // SAFETY: the CPU's features are promised by the caller; activations have a block for each chunk of the weights.
        unsafe { add::<T, B, N, 1, C>([&chunk], &self.columns, self.block + i, &mut self.acc) }
    }
}

/// Unpacks the rows of the strip from `row` on, and the blocks from block `from` on, until the panel is full; asks meanwhile for
/// as many bytes from `ahead` on, unless that is null.
///
/// # Safety
/// As [`Dot::panel`].
#[inline(always)]
pub(crate) unsafe fn panel<V: Lanes<N>, B: Unpack, const N: usize>(
    all: &Bytes<'_>,
    row: usize,
    from: usize,
    panel: &mut [u8],
    ahead: *const u8,
) {
    let all = all.rows::<B>();
    // SAFETY: any bits are a chunk.
    let panel: &mut [Chunk<V, N>] = unsafe { panel.align_to_mut().1 };
    let rows: [&[B]; N] = all.strip(row);
    let panel_start = panel.as_ptr().cast();
    for (b, chunks) in panel.chunks_exact_mut(B::LEN / CHUNK).enumerate() {
        // Else something is asked for that is there.
        let mut strip = Strip { chunks, ahead: panel_start };
        if ahead.is_null() {
            all.ask_near::<N>(row, from + b);
        } else {
            strip.ahead = ahead.wrapping_add(b * N * size_of::<B>());
        }
        // SAFETY: the CPU's features are promised by the caller, and every row has that many blocks.
        unsafe {
            let at = opaque(from + b);
            B::unpack(rows.map(|row| row.get_unchecked(at)), &mut strip);
        }
    }
}

/// One strip of a panel.
struct Strip<'a, V: Lanes<N>, const N: usize> {
    chunks: &'a mut [Chunk<V, N>],
    /// What is asked for: as [`Products`] does.
    ahead: *const u8,
}

impl<V: Lanes<N>, const N: usize> Sink<V, N> for Strip<'_, V, N> {
    #[inline(always)]
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<V, N>) {
        let part = const { N * size_of::<B>() / (B::LEN / CHUNK) };
        prefetch::<_, _MM_HINT_T0>(self.ahead.wrapping_add(i * part), part);
        let place = &mut self.chunks[i];
        place.w = chunk.w;
        for g in 0..B::GROUPS {
            place.d[g] = chunk.d[g];
            if let Term::Minimum = B::TERM {
                place.m[g] = chunk.m[g];
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

/// Adds the product of a panel and `C` columns, or as many as there are, to a tile.
///
/// # Safety
/// As [`Dot::tile`].
#[inline(always)]
pub(crate) unsafe fn tile<T: Dot<N>, B: Unpack, const N: usize, const S: usize, const C: usize>(
    panel: &[u8],
    x: &Activations<'_>,
    place: Place,
    out: &mut TileMut<'_>,
) {
    // SAFETY: the CPU's features, and that there are those columns, and as many blocks as chunks, is promised by the caller;
    // any bits are a chunk.
    unsafe {
        let panel: &[Chunk<T::V, N>] = panel.align_to().1;
        let columns = x.columns::<C>(place.column, place.block);
        let mut acc = [[Floats::splat(0.0); S]; C];
        if !place.is_first {
            get(&mut acc, out, place.row, place.column);
        }
        let chunks = panel.len() / S;
        for b in 0..chunks {
            let strips = core::array::from_fn(|s| panel.get_unchecked(s * chunks + b));
            add::<T, B, N, S, C>(strips, &columns, b, &mut acc);
        }
        put(&acc, out, place.row, place.column);
    }
}

/// Rows of a matrix, each of `len` blocks, as bytes.
pub(crate) struct Bytes<'a> {
    weights: &'a [u8],
    len: usize,
}

impl<'a> Bytes<'a> {
    #[inline(always)]
    fn rows<B: Block>(&self) -> Rows<'a, B> {
        Rows { blocks: as_blocks(self.weights), len: self.len }
    }

    /// Asks for `n` bytes of some rows of a panel, blocks of `bytes` each, from byte `from` on.
    fn ask_panel(&self, rows: Range<usize>, from: usize, n: usize, bytes: usize) {
        let row = |row: usize| self.weights.as_ptr().wrapping_add(row * self.len * bytes + from);
        rows.for_each(|r| prefetch::<_, _MM_HINT_T1>(row(r), n));
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

    /// Asks again for long blocks of a strip, shortly before they are used: those of a strip may be more than the first cache
    /// holds.
    #[inline(always)]
    fn ask_near<const N: usize>(&self, row: usize, b: usize) {
        if const { size_of::<B>() > 64 } && b + 2 < self.len {
            (row..row + N).for_each(|row| prefetch::<_, _MM_HINT_T0>(self.at(row, b + 2), 1));
        }
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

/// Writes one float per lane to the rows from `row` on and the columns from `column` on, as far as there are any.
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
        if column + c == out.cols() {
            break;
        }
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
        if column + c == out.cols() {
            break;
        }
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
