//! The matrix product of every quantised format: how rows and columns are cut, for every tier of x86.
//!
//! ```text
//!                   32 of k   32 of k
//!          ┌ strip  | chunk | chunk | ..  |           | tile | tile | ..      tile: COLUMNS columns, whose sums
//! panel    ┤                              |   out:    |      |      |               are in registers
//!          └ strip  | chunk | chunk | ..  |           |      |      |
//!                   PANEL of k                        PANEL_COLUMNS
//!
//! many columns:   for each PANEL_COLUMNS of columns                  few columns:   for each strip of rows
//!                     for each PANEL of k                                               for each block of k
//!                         for each panel of rows                                            unpack it, and multiply at once
//!                             unpack it into scratch
//!                             for each tile: add the product
//! ```
//! A strip is as many rows as a register has lanes, `N`: a lane is a row. In the words of BLIS a tile is MR =
//! `N * STRIPS` by NR = `COLUMNS`, a panel is packed A with KC = `PANEL`, and NC is `PANEL_COLUMNS`. B, the activations,
//! is read as it lies. Between the two ways, up to [`NARROW`] columns take panels so short that the first cache holds
//! them.

mod few;
mod panel;
mod rows;
mod sums;

use super::activations::{Activations, Column, words_of};
use super::chunk::*;
use super::floats;
use super::lanes::Lanes;
use crate::backend::{NARROW, Table};
use crate::blocks::*;
use crate::columns::Columns;
use crate::tile::TileMut;
pub(crate) use few::{Corner, few};
pub(crate) use panel::{Place, panel, tile};
use rows::Bytes;
pub(crate) use rows::{Strip, Whole, prefetch};
pub(crate) use sums::{ask, get, put};

/// Columns that a panel is unpacked for at once.
const PANEL_COLUMNS: usize = 256;
/// From so many tiles on, the next panel is asked for while they are multiplied, which leaves memory idle, and so is where the next sums
/// go; with fewer, half of the panel while one is unpacked, which takes as long.
const TILES: usize = 16;
/// About the bytes of a panel for up to [`NARROW`] columns, the weights that it is unpacked from, and those asked for meanwhile,
/// which the first cache is to hold. Super-blocks may bring a quarter more: as whole blocks below that, their panels would be
/// so short that products are up to a tenth slower.
const NARROW_PANEL: usize = 40 << 10;

/// How chunks are multiplied, with registers of `N` rows.
pub(crate) trait Dot<const N: usize> {
    /// The tier's register.
    type V: Lanes<N>;
    /// Whether sums of products are of 16 bits, see [`Kind::SPLIT`].
    const SPLITS: bool;
    /// Whether sums begin with a base, where the scales of the activations are powers of two, for chunks of one group
    /// too: of these other formats have other scales, so that takes tiles of its own.
    const BASES: bool;
    /// What the kernel adds to weights that are signed bytes, to have them unsigned.
    const SIGNED_OFFSET: i32;

    /// Adds the products of group `g` of a chunk of each strip with block `b` of each column to `dots`.
    ///
    /// # Safety
    /// The CPU must have the tier's features, and the columns a block `b`.
    unsafe fn dots<K: Kind, const S: usize, const C: usize>(
        chunks: [&Chunk<Self::V, N>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[Self::V; S]; C],
    );

    /// See [`Sink::half`].
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    #[inline(always)]
    unsafe fn half<T>(rows: [&[T; 16]; N]) -> [Self::V; 4] {
        // SAFETY: the same promises.
        unsafe { Self::V::transpose(rows) }
    }

    /// See [`Sink::fifth_bits`].
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    #[inline(always)]
    unsafe fn fifth_bits(words: Self::V, i: usize) -> Self::V {
        // SAFETY: the same promises.
        unsafe { words.fifth_bits(i) }
    }
}

/// How a tier cuts rows and columns; it multiplies the chunks of panels as its [`Dot`] does.
///
/// `few`, `panel` and `tile` are this folder's functions of the same name, which [`compile_for!`] compiles for the tier's features.
pub(crate) trait Tier<const N: usize>: Dot<N> {
    /// Who multiplies chunks straight as they were unpacked.
    type Few: Dot<N, V = Self::V>;
    /// Columns of a common format that are multiplied straight, at most: 2, or 8 where registers are many.
    const FEW: usize;
    /// Whose panels the tier multiplies with: one of the same registers, which every CPU of this tier runs as well.
    type Panels: Tier<N, V = Self::V>;
    /// Weights along `k` of a panel: it stays in the cache, together with the activations of
    /// [`PANEL_COLUMNS`].
    const PANEL: usize;
    /// Strips of a panel.
    const STRIPS: usize;
    /// Columns of a tile, at most: 3, 4 or 6.
    const COLUMNS: usize;

    /// See [`few()`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; the rows of the strip are of `B` and each as long as a column, and there is room at
    /// the corner for a float of each row and column.
    unsafe fn few<B: Unpack, const C: usize>(
        strip: Whole,
        x: &Activations<'_>,
        ahead: *const u8,
        corner: Corner,
    );

    /// See [`panel()`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; the rows are of `B` and have as many blocks from block `from` on as the panel has
    /// room for, and the panel is aligned.
    unsafe fn panel<B: Unpack>(strip: &Strip, from: usize, panel: &mut [u8], ahead: *const u8);

    /// See [`tile`].
    ///
    /// # Safety
    /// The CPU must have the tier's features; the panel is of as many strips as a panel has, of a format of that kind,
    /// and the columns have as many blocks from `block` on as a strip has chunks.
    unsafe fn tile<K: Kind, const C: usize>(
        panel: &[u8],
        is_minimum: bool,
        x: &Activations<'_>,
        place: Place,
        out: &mut TileMut<'_>,
    );
}

/// Writes `few`, `panel` and `tile` of a [`Tier`] with registers of so many rows: what is inlined into a function must
/// not have more features than that, and these cannot be a parameter.
macro_rules! compile_for {
    ($features:literal, $rows:literal, $strips:literal) => {
        const STRIPS: usize = $strips;

        #[target_feature(enable = $features)]
        unsafe fn few<B: Unpack, const C: usize>(
            strip: Whole,
            x: &Activations<'_>,
            ahead: *const u8,
            corner: Corner,
        ) {
            // SAFETY: the same promises.
            unsafe { matmul::few::<Self::Few, B, $rows, C>(strip, x, ahead, corner) }
        }

        #[target_feature(enable = $features)]
        unsafe fn panel<B: Unpack>(strip: &Strip, from: usize, panel: &mut [u8], ahead: *const u8) {
            // SAFETY: the same promises.
            unsafe { matmul::panel::<Self::V, B, $rows>(strip, from, panel, ahead) }
        }

        #[target_feature(enable = $features)]
        unsafe fn tile<K: Kind, const C: usize>(
            panel: &[u8],
            is_minimum: bool,
            x: &Activations<'_>,
            place: Place,
            out: &mut TileMut<'_>,
        ) {
            // SAFETY: the same promises.
            unsafe { matmul::tile::<Self, K, $rows, $strips, C>(panel, is_minimum, x, place, out) }
        }
    };
}
pub(crate) use compile_for;

impl Table {
    /// The table with a tier's products of every quantised format.
    pub(in crate::x86) const fn with_quantized<T: Tier<N>, const N: usize>(self) -> Table {
        Table { scratch_bytes: scratch_bytes::<T, N>, ..self }
            .with_block::<T, BlockQ8_0, N>()
            .with_block::<T, BlockQ4_0, N>()
            .with_block::<T, BlockQ4_1, N>()
            .with_block::<T, BlockQ5_0, N>()
            .with_block::<T, BlockQ5_1, N>()
            .with_block::<T, BlockQ2K, N>()
            .with_block::<T, BlockQ3K, N>()
            .with_block::<T, BlockQ4K, N>()
            .with_block::<T, BlockQ5K, N>()
            .with_block::<T, BlockQ6K, N>()
            .with_block::<T, BlockIQ4NL, N>()
            .with_block::<T, BlockIQ4XS, N>()
            .with_block::<T, BlockMXFP4, N>()
    }

    const fn with_block<T: Tier<N>, B: Unpack, const N: usize>(self) -> Table {
        self.with(B::FORMAT, matmul::<T, B, N>)
    }
}

/// See [`crate::Backend::scratch_bytes`]: a panel, and the terms of a run of activations.
fn scratch_bytes<T: Tier<N>, const N: usize>(k: usize) -> usize {
    // Two groups with a base have the most words.
    let words = usize::max(NARROW * k, PANEL_COLUMNS * T::PANEL) / CHUNK * words_of(2, true);
    let panel = T::PANEL / CHUNK * T::STRIPS * size_of::<Chunk<T::V, N>>();
    usize::max(panel + words * size_of::<u32>(), floats::scratch_bytes::<N>())
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::matmul`] checks.
unsafe fn matmul<T: Tier<N>, B: Unpack, const N: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    // SAFETY: the same promises.
    unsafe { multiply(const { &Product::of::<T, B, N>() }, weights, x, out, scratch) }
}

/// A product of a strip with a few columns.
type Few = unsafe fn(Whole, &Activations<'_>, *const u8, Corner);
/// A product of a panel with the columns of a tile.
type Tile = unsafe fn(&[u8], bool, &Activations<'_>, Place, &mut TileMut<'_>);

/// How a tier multiplies with a format, by numbers and functions alone: what cuts rows and columns is compiled once.
struct Product {
    /// Of 1 column to 8, as far as there are such; fewer columns take the last one again.
    few: [Option<Few>; 8],
    panel: unsafe fn(&Strip, usize, &mut [u8], *const u8),
    /// Of 1 column to 6: a tile of fewer than it has takes the last one again.
    tiles: [Tile; 6],
    /// Whether the format's term is a minimum.
    is_minimum: bool,
    /// Strips of a panel.
    strips: usize,
    /// Columns of a tile at most.
    columns: usize,
    /// Rows of a strip.
    rows: usize,
    /// Weights along `k` of a panel.
    k: usize,
    /// Bytes of a chunk of a panel.
    chunk: usize,
    /// Weights and bytes of a block.
    block: (usize, usize),
    /// Groups of a chunk, and whether sums begin with a base.
    groups: (usize, bool),
    term: Term,
}

impl Product {
    const fn of<T: Tier<N>, B: Unpack, const N: usize>() -> Product {
        // The terms of the activations are the same for both.
        const { assert!(T::BASES == T::Few::BASES && T::SIGNED_OFFSET == T::Few::SIGNED_OFFSET) };
        Product {
            few: few_of::<T, B, N>(),
            panel: T::Panels::panel::<B>,
            tiles: match (B::SIGNED, <B as Kind>::GROUPS, T::SPLITS && B::SPLIT, sums::has_base::<T, B, N>())
            {
                (true, .., false) => tiles::<T, B, Of<true, 1, false, false>, N>(),
                (true, .., true) => tiles::<T, B, Of<true, 1, false, true>, N>(),
                (_, 1, false, false) => tiles::<T, B, Of<false, 1, false, false>, N>(),
                (_, 1, false, true) => tiles::<T, B, Of<false, 1, false, true>, N>(),
                (_, 1, true, false) => tiles::<T, B, Of<false, 1, true, false>, N>(),
                (_, 1, true, true) => tiles::<T, B, Of<false, 1, true, true>, N>(),
                (.., false, _) => tiles::<T, B, Of<false, 2, false, true>, N>(),
                (.., true, _) => tiles::<T, B, Of<false, 2, true, true>, N>(),
            },
            is_minimum: matches!(B::TERM, Term::Minimum),
            columns: T::COLUMNS,
            strips: T::STRIPS,
            rows: N,
            k: T::PANEL,
            chunk: size_of::<Chunk<T::V, N>>(),
            block: (B::LEN, size_of::<B>()),
            groups: (B::GROUPS, sums::has_base::<T, B, N>()),
            term: sums::term::<T, B, N>(),
        }
    }
}

/// The functions for few columns. What is not common is multiplied with a narrow panel from two columns on.
const fn few_of<T: Tier<N>, B: Unpack, const N: usize>() -> [Option<Few>; 8] {
    let mut few: [Option<Few>; 8] = [None; 8];
    few[0] = Some(T::few::<B, 1>);
    if B::COMMON {
        few[1] = Some(T::few::<B, 2>);
    }
    if B::COMMON && T::FEW == 8 {
        few[2] = Some(T::few::<B, 3>);
        few[3] = Some(T::few::<B, 4>);
        few[5] = Some(T::few::<B, 6>);
        few[7] = Some(T::few::<B, 8>);
    }
    few
}

/// The tiles of a kind: of 2 columns and 3, and of 4 and 6 where registers are many.
const fn tiles<T: Tier<N>, B: Unpack, K: Kind, const N: usize>() -> [Tile; 6] {
    match (T::COLUMNS == 6, B::TERM) {
        // What branches keeps the sums of so large a tile in memory.
        (true, Term::Minimum) => tiles_of::<T, With<K, true>, N>(),
        (true, Term::Offset(_)) => tiles_of::<T, With<K, false>, N>(),
        _ => tiles_of::<T, K, N>(),
    }
}

const fn tiles_of<T: Tier<N>, K: Kind, const N: usize>() -> [Tile; 6] {
    let [two, three]: [Tile; 2] = [T::tile::<K, 2>, T::tile::<K, 3>];
    if T::COLUMNS == 3 {
        return [two, two, three, three, three, three];
    }
    if T::COLUMNS == 4 {
        let four = T::tile::<K, 4>;
        return [two, two, three, four, four, four];
    }
    let [four, six]: [Tile; 2] = [T::tile::<K, 4>, T::tile::<K, 6>];
    [two, two, three, four, six, six]
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have what the product's functions use, and the lengths must be what [`crate::Backend::matmul`] checks.
unsafe fn multiply(
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
    let rows = Bytes { weights, stride: x.k / len * bytes };
    let (panel, terms) = scratch.split_at_mut(product.k / CHUNK * product.strips * product.chunk);
    // SAFETY: any bits are integers.
    let terms = unsafe { terms.align_to_mut().1 };
    // SAFETY: the CPU's features and the lengths are promised by the caller; every tier has those of AVX2. There is room
    // for the terms of a few columns, or of PANEL_COLUMNS and a panel: see scratch_bytes.
    unsafe {
        // The terms of a narrow product are computed once, and those of a wide one panel by panel.
        let (run, chunks) = if x.n <= NARROW {
            // Panels of about the same length, of whole blocks.
            let used = product.strips * (product.chunk + 2 * product.rows * bytes * CHUNK / len);
            let most = usize::min(NARROW_PANEL / used, product.k / CHUNK);
            let panels = (x.k / CHUNK).div_ceil(most);
            (x.k, (x.k / len).div_ceil(panels) * len / CHUNK)
        } else {
            (product.k, product.k / CHUNK)
        };
        let panel = &mut panel[..chunks * product.strips * product.chunk];
        for c in (0..x.n).step_by(PANEL_COLUMNS) {
            let (x, out) =
                (&x.range(c, x.n.min(c + PANEL_COLUMNS)), &mut out.columns(c, x.n.min(c + PANEL_COLUMNS)));
            for from in (0..x.k).step_by(run) {
                let blocks = (from / CHUNK, x.k.min(from + run) / CHUNK);
                let activations = &Activations::new(x, blocks, product.term, product.groups, terms);
                let few = (x.n..9).find_map(|c| Some((product.few[c - 1]?, product.rows, c)));
                if let Some(few) = few
                    && run == x.k
                    && out.rows() >= product.rows
                {
                    narrow(few, &rows, activations, out);
                } else {
                    many(product, &rows, activations, blocks.0, out, panel);
                }
            }
        }
    }
}

/// Multiplies with a few columns, strip by strip, of so many rows and columns.
///
/// # Safety
/// As [`multiply`], with a function for `x.n` columns or more, and at least `height` rows.
unsafe fn narrow(
    (few, height, columns): (Few, usize, usize),
    rows: &Bytes<'_>,
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
) {
    let mut edge = [0.0; 16 * 8];
    let last = out.rows() - height;
    for row in (0..out.rows()).step_by(height) {
        // The last strip has some rows again, which come out as they were.
        let row = row.min(last);
        let strip = Whole { start: rows.at(row), stride: rows.stride };
        let stride = out.stride();
        let start = out.as_mut_ptr().wrapping_add(row);
        // SAFETY: the CPU's features and the lengths are promised by the caller. Of every column the tile has the rows of the
        // strip, as `last` sees to; the edge has room for 16 rows of 8 columns, and a strip has no more.
        unsafe {
            // The strip behind the next: the next one of eight rows is too near.
            let ahead = rows.at(row + 2 * height);
            if columns == x.n {
                few(strip, x, ahead, Corner { start, stride });
            } else {
                few(strip, x, ahead, Corner { start: edge.as_mut_ptr(), stride: height });
                for (c, edge) in edge.chunks_exact(height).enumerate().take(x.n) {
                    out.column(c)[row..][..height].copy_from_slice(edge);
                }
            }
        }
    }
}

/// Multiplies a run of many columns: a panel of rows is unpacked into scratch once, and multiplied tile by tile.
///
/// # Safety
/// As [`multiply`]; the panel is aligned, and room for some chunks of every strip.
unsafe fn many(
    product: &Product,
    rows: &Bytes<'_>,
    x: &Activations<'_>,
    first: usize,
    out: &mut TileMut<'_>,
    panel: &mut [u8],
) {
    let (len, bytes) = product.block;
    let most = panel.len() / (product.strips * product.chunk);
    let height = product.strips * product.rows;
    let tiles = x.n.div_ceil(product.columns);
    // Tiles of about the same width.
    let (width, wider) = (x.n / tiles, x.n % tiles);
    let in_block = len / CHUNK;
    let mut strips = [Strip::NONE; 2];
    let strips = &mut strips[..product.strips];
    for row in (0..out.rows()).step_by(height) {
        for (s, strip) in strips.iter_mut().enumerate() {
            rows.strip(row + s * product.rows, product.rows, strip);
        }
        let (mut block, mut from) = (0, first / in_block);
        while block < x.blocks {
            let chunks = most.min(x.blocks - block);
            let blocks = chunks / in_block;
            let size = chunks * product.chunk;
            // As much as is used of the next rows, in the order of memory: half of it while strips are unpacked, the
            // rest with the first tile.
            let next = rows.at(row + height).wrapping_add(from * height * bytes);
            let half = blocks * product.rows * bytes / 2;
            for (s, strip) in strips.iter().enumerate() {
                let ahead = if tiles < TILES { next.wrapping_add(s * half) } else { core::ptr::null() };
                // SAFETY: the CPU's features and the lengths are promised by the caller, who has the scratch aligned.
                unsafe { (product.panel)(strip, from, &mut panel[s * size..][..size], ahead) };
            }
            let mut column = 0;
            for t in 0..tiles {
                if tiles >= TILES {
                    let next = |t: usize| row + height + height * t / tiles;
                    rows.ask_panel(next(t)..next(t + 1), from * bytes, blocks * bytes);
                }
                // Of those that there are; only the last may take a column again.
                let width = width + usize::from(t < wider);
                let width = usize::min(if width == 5 { 6 } else { width }, x.n - column);
                let part = if t == 0 && tiles < TILES { height * bytes / in_block / 2 } else { 0 };
                let ahead = (next.wrapping_add(product.strips * half), part);
                let place = Place { row, column, block, is_first: first + block == 0, ahead };
                column += width;
                if tiles >= TILES {
                    ask(out, row..row + height, column, product.columns);
                }
                // SAFETY: as above.
                unsafe {
                    (product.tiles[width - 1])(
                        &panel[..product.strips * size],
                        product.is_minimum,
                        x,
                        place,
                        out,
                    );
                }
            }
            block += chunks;
            from += blocks;
        }
    }
}
