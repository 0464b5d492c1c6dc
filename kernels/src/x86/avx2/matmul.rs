//! The matrix product of every format of 8-bit activations.

use core::arch::x86_64::*;

use super::chunk::*;
use crate::blocks::as_blocks;
use crate::columns::{Columns, Q8_SUM};
use crate::tile::TileMut;

/// Columns of a tile: what is multiplied at once with a panel.
const TILE: usize = 4;
/// Columns of a group: for how many the terms are held, and a panel is unpacked.
const GROUP: usize = 128;
/// Strips of a panel.
const PANEL: usize = 1;

/// See [`crate::Backend::scratch_bytes`]: a panel, and the terms of a group of columns.
pub(super) fn scratch_bytes(k: usize) -> usize {
    k / CHUNK * size_of::<Chunk<PANEL>>() + GROUP * (k / Q8_SUM) * size_of::<u32>()
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have AVX2, FMA and F16C, and the lengths must be what [`crate::Backend::matmul`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul<B: Unpack>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    if x.k == 0 {
        (0..x.n).for_each(|c| out.column(c).fill(0.0));
        return;
    }
    let weights = as_blocks::<B>(weights);
    let (panel, terms) = scratch.split_at_mut(x.k / CHUNK * size_of::<Chunk<PANEL>>());
    // SAFETY: any bits are values of both types.
    let (panel, terms) = unsafe { (panel.align_to_mut().1, terms.align_to_mut().1) };
    for c in (0..x.n).step_by(GROUP) {
        let to = x.n.min(c + GROUP);
        let x = &Activations::new::<B>(&x.range(c, to), terms);
        let out = &mut out.columns(c, to);
        // SAFETY: the CPU's features and the lengths are promised by the caller.
        unsafe {
            match x.n {
                1 => few::<B, 1>(weights, x, out),
                2 => few::<B, 2>(weights, x, out),
                3 => few::<B, 3>(weights, x, out),
                _ => many::<B>(weights, x, out, panel),
            }
        }
    }
}

/// Multiplies with few columns: each strip of rows is unpacked once, chunk by chunk, and never stored.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn few<B: Unpack, const C: usize>(weights: &[B], x: &Activations<'_>, out: &mut TileMut<'_>) {
    let row_blocks = x.blocks * CHUNK / B::LEN;
    let columns = x.columns::<C>(0);
    let mut chunks = [Chunk::<1>::zero(); 8];
    let chunks = &mut chunks[..B::LEN / CHUNK];
    for from in (0..out.rows()).step_by(STRIP) {
        let rows = strip(weights, row_blocks, from);
        let mut acc = [[_mm256_setzero_ps()]; C];
        for b in 0..row_blocks {
            // SAFETY: every row has row_blocks blocks, and the caller promises the CPU's features.
            unsafe {
                prefetch(rows[0].as_ptr().wrapping_add(STRIP * (row_blocks + b)));
                B::unpack(rows.map(|row| row.get_unchecked(b)), chunks, 0);
            }
            for (i, chunk) in chunks.iter().enumerate() {
                multiply::<B, 1, C>(chunk, &columns, b * (B::LEN / CHUNK) + i, &mut acc);
            }
        }
        write(&acc, out, from, 0);
    }
}

/// Multiplies with many columns: a panel of rows is unpacked into scratch once, and multiplied tile by tile.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn many<B: Unpack>(
    weights: &[B],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
    panel: &mut [Chunk<PANEL>],
) {
    let row_blocks = x.blocks * CHUNK / B::LEN;
    for from in (0..out.rows()).step_by(PANEL * STRIP) {
        for s in 0..PANEL {
            let rows = strip(weights, row_blocks, from + s * STRIP);
            for (b, chunks) in panel.chunks_exact_mut(B::LEN / CHUNK).enumerate() {
                // SAFETY: every row has row_blocks blocks, and the caller promises the CPU's features.
                unsafe { B::unpack(rows.map(|row| row.get_unchecked(b)), chunks, s) };
            }
        }
        for c in (0..x.n).step_by(TILE) {
            match x.n - c {
                1 => tile::<B, 1>(panel, x, out, from, c),
                2 => tile::<B, 2>(panel, x, out, from, c),
                3 => tile::<B, 3>(panel, x, out, from, c),
                _ => tile::<B, TILE>(panel, x, out, from, c),
            }
        }
    }
}

/// One panel times a tile of columns.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<B: Unpack, const C: usize>(
    panel: &[Chunk<PANEL>],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    let columns = x.columns::<C>(column);
    let mut acc = [[_mm256_setzero_ps(); PANEL]; C];
    for (b, chunk) in panel.iter().enumerate() {
        multiply::<B, PANEL, C>(chunk, &columns, b, &mut acc);
    }
    write(&acc, out, row, column);
}

/// Adds the product of a chunk with block `b` of each column. The whole arithmetic of a product is this function's.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<B: Unpack, const S: usize, const C: usize>(
    chunk: &Chunk<S>,
    columns: &[Column<'_>; C],
    b: usize,
    acc: &mut [[__m256; S]; C],
) {
    let steps = const { STEPS / B::GROUPS };
    for g in 0..B::GROUPS {
        for s in 0..S {
            for c in 0..C {
                let column = &columns[c];
                let mut dot = _mm256_setzero_si256();
                for run in (0..steps).step_by(const { run_of(B::BITS, B::GROUPS) }) {
                    let mut sums = _mm256_setzero_si256();
                    for i in run..run + const { run_of(B::BITS, B::GROUPS) } {
                        let i = g * steps + i;
                        let x = _mm256_set1_epi32(word(&column.q[b], i));
                        let w = chunk.w[i][s];
                        let products = if B::BITS == 8 {
                            _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                        } else {
                            _mm256_maddubs_epi16(w, x)
                        };
                        sums = _mm256_add_epi16(sums, products);
                    }
                    dot = _mm256_add_epi32(dot, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
                }
                let d = _mm256_set1_ps(columns[c].d[b]);
                if let Term::Offset(1..) = B::TERM {
                    dot = _mm256_add_epi32(dot, _mm256_set1_epi32(column.terms[b * B::GROUPS + g] as i32));
                }
                let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), d);
                acc[c][s] = _mm256_fmadd_ps(scaled, chunk.d[g][s], acc[c][s]);
                if let Term::Minimum = B::TERM {
                    let sum = _mm256_set1_ps(f32::from_bits(columns[c].terms[b * B::GROUPS + g]));
                    acc[c][s] = _mm256_fmadd_ps(sum, chunk.m[g][s], acc[c][s]);
                }
            }
        }
    }
}

/// The four activations of a step.
#[inline(always)]
fn word(q: &[u8; CHUNK], step: usize) -> i32 {
    i32::from_le_bytes(q.as_chunks::<4>().0[step])
}

/// How many steps' products add up in 16 bits: a step adds two products of at most `2^bits - 1` and 127.
const fn run_of(bits: u32, groups: usize) -> usize {
    let run = i16::MAX as usize / (((1 << bits) - 1) * 127 * 2);
    // A power of two, to divide the steps of a group.
    match run {
        0..2 => 1,
        2..4 => 2,
        4..8 => 4,
        _ => STEPS / groups,
    }
}

/// One column of activations.
#[derive(Clone, Copy)]
struct Column<'a> {
    q: &'a [[u8; CHUNK]],
    d: &'a [f32],
    terms: &'a [u32],
}

/// Some columns of activations, and what a format adds for each of their groups.
struct Activations<'a> {
    n: usize,
    /// Blocks of a column.
    blocks: usize,
    /// All columns, one after the other.
    all: Column<'a>,
}

impl<'a> Activations<'a> {
    /// Computes the terms.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new<B: Unpack>(x: &Columns<'a>, terms: &'a mut [u32]) -> Activations<'a> {
        let sums = x.s.as_chunks::<2>().0;
        let terms = &mut terms[..x.d.len() * B::GROUPS];
        match (B::TERM, B::GROUPS) {
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
    fn columns<const C: usize>(&self, from: usize) -> [Column<'_>; C] {
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

/// The rows of the strip that starts at row `from`; what lies behind the last row is filled up with it.
#[inline(always)]
fn strip<B>(weights: &[B], row_blocks: usize, from: usize) -> [&[B]; STRIP] {
    let last = weights.len() - row_blocks;
    let row = |r: usize| &weights[((from + r) * row_blocks).min(last)..][..row_blocks];
    [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]
}

/// Writes the sums of some strips to the rows from `row` on and the columns from `column` on, as far as there are rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn write<const S: usize, const C: usize>(
    acc: &[[__m256; S]; C],
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    for (c, acc) in acc.iter().enumerate() {
        let out = &mut out.column(column + c)[row..];
        for (out, acc) in out.chunks_mut(STRIP).zip(acc) {
            let mut values = [0.0; STRIP];
            // SAFETY: the array has eight values.
            unsafe { _mm256_storeu_ps(values.as_mut_ptr(), *acc) };
            out.copy_from_slice(&values[..out.len()]);
        }
    }
}

/// Asks for the eight blocks at `next`.
#[inline(always)]
fn prefetch<B>(next: *const B) {
    for at in (0..STRIP * size_of::<B>()).step_by(64) {
        // SAFETY: a prefetch of any address does nothing that can be seen.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(next.cast::<i8>().wrapping_add(at)) };
    }
}
