//! The matrix product of every quantised format: how rows and columns are cut, for every tier of x86.

mod few;
mod panel;
mod rows;
mod sums;

use core::arch::x86_64::_MM_HINT_T0;

use super::activations::{Activations, Column};
use super::chunk::*;
use super::floats;
use super::lanes::Lanes;
use crate::backend::{FormatKernels, NARROW, Table};
use crate::blocks::*;
use crate::columns::{Columns, Q8_SUM};
use crate::tile::TileMut;
pub(crate) use few::few;
pub(crate) use panel::{Place, panel, tile};
pub(crate) use rows::{Bytes, prefetch};
pub(crate) use sums::{get, put};

/// Columns of a group: for how many a panel is unpacked at once.
const GROUP: usize = 256;
/// From so many tiles on, the next panel is asked for while they are multiplied, which leaves memory idle; with fewer, while
/// a panel is unpacked, which takes as long.
const TILES: usize = 16;
/// Weights along `k` of a panel: it stays in the second cache, together with the activations of a group.
const PANEL: usize = 2048;
/// Bytes of a panel for up to [`NARROW`] columns, at most: it stays in the first cache, and is used up there.
const NARROW_PANEL: usize = 30 << 10;

/// How a tier multiplies, with registers of `N` rows.
///
/// `few`, `panel` and `tile` are this folder's functions of the same name, which [`compile_for!`] compiles for the tier's features.
pub(crate) trait Dot<const N: usize>: Sized {
    /// The name of the tier's backend.
    const NAME: &'static str;
    /// The tier's register.
    type V: Lanes<N>;
    /// Whose panels the tier multiplies with: one of the same registers, which every CPU of this tier runs as well.
    type Panels: Dot<N, V = Self::V>;
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

    /// See [`few()`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; there are as many rows of `B` as `out` has, each as long as a column.
    unsafe fn few<B: Unpack, const C: usize>(rows: &Bytes<'_>, x: &Activations<'_>, out: &mut TileMut<'_>);

    /// See [`panel()`].
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

/// Writes `few`, `panel` and `tile` of a [`Dot`] with registers of so many rows: what is inlined into a function must not have more
/// features than that, and these cannot be a parameter.
macro_rules! compile_for {
    ($features:literal, $rows:literal) => {
        #[target_feature(enable = $features)]
        unsafe fn few<B: Unpack, const C: usize>(
            rows: &Bytes<'_>,
            x: &Activations<'_>,
            out: &mut TileMut<'_>,
        ) {
            // SAFETY: the same promises.
            unsafe { matmul::few::<Self, B, $rows, C>(rows, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn panel<B: Unpack>(
            rows: &Bytes<'_>,
            row: usize,
            from: usize,
            panel: &mut [u8],
            ahead: *const u8,
        ) {
            // SAFETY: the same promises.
            unsafe { matmul::panel::<Self::V, B, $rows>(rows, row, from, panel, ahead) }
        }

        #[target_feature(enable = $features)]
        unsafe fn tile<B: Unpack, const S: usize, const C: usize>(
            panel: &[u8],
            x: &Activations<'_>,
            place: Place,
            out: &mut TileMut<'_>,
        ) {
            // SAFETY: the same promises.
            unsafe { matmul::tile::<Self, B, $rows, S, C>(panel, x, place, out) }
        }
    };
}
pub(crate) use compile_for;

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
    /// Of 1 column to 8, as far as there are such; fewer columns take the last one again.
    few: [Option<Few>; 8],
    /// Of one column, where a row is long.
    long: Few,
    panel: unsafe fn(&Bytes<'_>, usize, usize, &mut [u8], *const u8),
    /// How few columns are cut, as many as one tile has; and how more are.
    cuts: [Cut; 2],
    /// The tiles of each cut, of 1 column to 6: a tile of fewer than it has takes the last one again.
    tiles: [[Tile; 6]; 2],
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
            panel: T::Panels::panel::<B>,
            cuts: T::CUTS,
            tiles: [tiles::<T, B, N>(T::CUTS[0]), tiles::<T, B, N>(T::CUTS[1])],
            rows: N,
            chunk: size_of::<Chunk<T::V, N>>(),
            block: (B::LEN, size_of::<B>()),
            groups: B::GROUPS,
            term: sums::term::<T, B, N>(),
        }
    }

    /// With another kernel for one column of long rows.
    #[cfg(feature = "avx512")]
    pub(crate) const fn with_long(mut self, long: Few) -> Product {
        self.long = long;
        self
    }
}

/// The functions for few columns. What is not common is multiplied as a narrow panel from two columns on, which takes a tenth
/// to a third more time, and as many functions less.
const fn few_of<T: Dot<N>, B: Unpack, const N: usize>() -> [Option<Few>; 8] {
    let mut few: [Option<Few>; 8] = [None; 8];
    few[0] = Some(T::few::<B, 1>);
    if B::COMMON {
        few[1] = Some(T::few::<B, 2>);
        few[2] = Some(T::few::<B, 3>);
        few[3] = Some(T::few::<B, 4>);
    }
    if B::COMMON && T::FEW == 8 {
        few[5] = Some(T::few::<B, 6>);
        few[7] = Some(T::few::<B, 8>);
    }
    few
}

/// The tiles of a cut: of 2, 3 and 4 columns, or of two strips and 2, 4 and 6.
const fn tiles<T: Dot<N>, B: Unpack, const N: usize>(cut: Cut) -> [Tile; 6] {
    let [two, some, many]: [Tile; 3] = match cut.strips {
        1 => [T::tile::<B, 1, 2>, T::tile::<B, 1, 3>, T::tile::<B, 1, 4>],
        _ => [T::tile::<B, 2, 2>, T::tile::<B, 2, 4>, T::tile::<B, 2, 6>],
    };
    match cut.strips {
        1 => [two, two, some, many, many, many],
        _ => [two, two, some, some, many, many],
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
        if let Some(&few) = product.few.iter().skip(x.n - 1).flatten().next() {
            let few = if x.n == 1 && rows.len * bytes > LONG { product.long } else { few };
            let x = &Activations::new(x, (0, x.k / CHUNK), product.term, product.groups, terms);
            return few(&rows, x, out);
        }
        let cut = usize::from(x.n > product.cuts[0].columns);
        let bytes = product.cuts[cut].strips * product.chunk;
        // The terms of a narrow product are computed once, and those of a wide one panel by panel.
        let (run, chunks) = if x.n <= NARROW {
            // Panels of about the same length, of whole blocks.
            let panels = (x.k / CHUNK).div_ceil(usize::min(NARROW_PANEL / bytes, PANEL / CHUNK));
            (x.k, rows.len.div_ceil(panels) * len / CHUNK)
        } else {
            (PANEL, PANEL / CHUNK)
        };
        let panel = &mut panel[..chunks * bytes];
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
                // Tiles of about the same width, of those that there are; only the last may take a column again.
                let width = (x.n - column).div_ceil(tiles - t).next_multiple_of(strips);
                let place = Place { row, column, block, is_first: first + block == 0 };
                column += width;
                if !place.is_first {
                    // Sums so far of many columns may lie in as few sets of a cache as columns share, hence far away.
                    for c in column..x.n.min(column + columns) {
                        prefetch::<_, _MM_HINT_T0>(out.column(c).as_ptr().wrapping_add(row), height);
                    }
                }
                // SAFETY: as above.
                unsafe { (product.tiles[cut][width - 1])(panel, x, place, out) };
            }
        }
    }
}
