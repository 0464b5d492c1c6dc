//! Chunks times columns with `vpmaddubsw`, which adds two products of an unsigned and a signed byte to 16 bits, and
//! saturates: as many steps are added up in 16 bits as surely fit, before the sums are widened.

use core::arch::x86_64::*;

use super::activations::{Activations, Column, word};
use super::chunk::*;
use super::matmul::{Dot, prefetch, strip, write};
use crate::tile::TileMut;

/// The dot products of AVX2.
pub(super) struct Avx2;

impl Dot<1> for Avx2 {
    const COLUMNS: usize = 4;
    const SIGNED_OFFSET: i32 = 0;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn few<B: Unpack>(weights: &[B], x: &Activations<'_>, out: &mut TileMut<'_>) {
        match x.n {
            1 => few::<B, 1>(weights, x, out),
            2 => few::<B, 2>(weights, x, out),
            _ => few::<B, 3>(weights, x, out),
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile<B: Unpack>(
        panel: &[Chunk<1>],
        x: &Activations<'_>,
        out: &mut TileMut<'_>,
        row: usize,
        column: usize,
    ) {
        match x.n - column {
            1 => tile::<B, 1>(panel, x, out, row, column),
            2 => tile::<B, 2>(panel, x, out, row, column),
            3 => tile::<B, 3>(panel, x, out, row, column),
            _ => tile::<B, 4>(panel, x, out, row, column),
        }
    }
}

/// Multiplies with `C` columns: each strip of rows is unpacked once, block by block, and never stored.
#[target_feature(enable = "avx2,fma,f16c")]
fn few<B: Unpack, const C: usize>(weights: &[B], x: &Activations<'_>, out: &mut TileMut<'_>) {
    let row_blocks = x.blocks * CHUNK / B::LEN;
    let columns = x.columns::<C>(0);
    let mut chunks = [Chunk::<1>::zero(); 8];
    let chunks = &mut chunks[..B::LEN / CHUNK];
    for from in (0..out.rows()).step_by(STRIP) {
        let rows = strip(weights, row_blocks, from);
        let mut acc = [[_mm256_setzero_ps()]; C];
        for b in 0..row_blocks {
            prefetch(rows[0], b);
            // SAFETY: every row has row_blocks blocks, and this function the features that unpacking asks for.
            unsafe { B::unpack(rows.map(|row| row.get_unchecked(b)), chunks, 0) };
            for (i, chunk) in chunks.iter().enumerate() {
                multiply::<B, C>(chunk, &columns, b * (B::LEN / CHUNK) + i, &mut acc);
            }
        }
        write(&acc, out, from, 0);
    }
}

/// Multiplies a panel with `C` columns.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<B: Unpack, const C: usize>(
    panel: &[Chunk<1>],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    let columns = x.columns::<C>(column);
    let mut acc = [[_mm256_setzero_ps()]; C];
    for (b, chunk) in panel.iter().enumerate() {
        multiply::<B, C>(chunk, &columns, b, &mut acc);
    }
    write(&acc, out, row, column);
}

/// Adds the product of a chunk with block `b` of each column.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<B: Unpack, const C: usize>(
    chunk: &Chunk<1>,
    columns: &[Column<'_>; C],
    b: usize,
    acc: &mut [[__m256; 1]; C],
) {
    let steps = const { STEPS / B::GROUPS };
    let run = const { run_of(B::BITS, B::GROUPS) };
    for g in 0..B::GROUPS {
        for (column, [acc]) in columns.iter().zip(&mut *acc) {
            let mut dot = _mm256_setzero_si256();
            for from in (g * steps..(g + 1) * steps).step_by(run) {
                let mut sums = _mm256_setzero_si256();
                for i in from..from + run {
                    let ([w], x) = (chunk.w[i], _mm256_set1_epi32(word(&column.q[b], i)));
                    let products = if B::BITS == 8 {
                        // |w| (x sign(w)): 128 for -128 is an unsigned byte, and x is never -128.
                        _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                    } else {
                        _mm256_maddubs_epi16(w, x)
                    };
                    sums = _mm256_add_epi16(sums, products);
                }
                dot = _mm256_add_epi32(dot, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
            }
            if let Term::Offset(1..) = B::TERM {
                dot = _mm256_add_epi32(dot, _mm256_set1_epi32(column.terms[b * B::GROUPS + g] as i32));
            }
            let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(column.d[b]));
            *acc = _mm256_fmadd_ps(scaled, chunk.d[g][0], *acc);
            if let Term::Minimum = B::TERM {
                let sum = _mm256_set1_ps(f32::from_bits(column.terms[b * B::GROUPS + g]));
                *acc = _mm256_fmadd_ps(sum, chunk.m[g][0], *acc);
            }
        }
    }
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
