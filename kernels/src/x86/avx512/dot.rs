//! Chunks times columns with `vpdpbusd`, which adds four products of an unsigned and a signed byte to 32 bits.
//! Weights that are signed are raised by 128, and 128 times the sum of the activations is taken off.

use core::arch::x86_64::*;

use crate::tile::TileMut;
use crate::x86::avx2::activations::{Activations, Column, word};
use crate::x86::avx2::chunk::*;
use crate::x86::avx2::matmul::{Dot, prefetch, strip, write};

/// Strips of a panel: two registers of 16 rows.
pub(super) const STRIPS: usize = 4;

/// The dot products of AVX-512.
pub(super) struct Avx512;

impl Dot<STRIPS> for Avx512 {
    const COLUMNS: usize = 6;
    const SIGNED_OFFSET: i32 = 128;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn few<B: Unpack>(weights: &[B], x: &Activations<'_>, out: &mut TileMut<'_>) {
        match x.n {
            1 => few::<B, 1>(weights, x, out),
            2 => few::<B, 2>(weights, x, out),
            _ => few::<B, 3>(weights, x, out),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn tile<B: Unpack>(
        panel: &[Chunk<STRIPS>],
        x: &Activations<'_>,
        out: &mut TileMut<'_>,
        row: usize,
        column: usize,
    ) {
        match x.n - column {
            1 => tile::<B, 1>(panel, x, out, row, column),
            2 => tile::<B, 2>(panel, x, out, row, column),
            3 => tile::<B, 3>(panel, x, out, row, column),
            4 => tile::<B, 4>(panel, x, out, row, column),
            5 => tile::<B, 5>(panel, x, out, row, column),
            _ => tile::<B, 6>(panel, x, out, row, column),
        }
    }
}

/// Multiplies a panel with `C` columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tile<B: Unpack, const C: usize>(
    panel: &[Chunk<STRIPS>],
    x: &Activations<'_>,
    out: &mut TileMut<'_>,
    row: usize,
    column: usize,
) {
    let columns = x.columns::<C>(column);
    let mut acc = [[_mm512_setzero_ps(); 2]; C];
    for (b, chunk) in panel.iter().enumerate() {
        multiply::<B, C>(chunk, &columns, b, &mut acc);
    }
    write(&acc, out, row, column);
}

/// Adds the product of a chunk of 32 rows with block `b` of each column.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn multiply<B: Unpack, const C: usize>(
    chunk: &Chunk<STRIPS>,
    columns: &[Column<'_>; C],
    b: usize,
    acc: &mut [[__m512; 2]; C],
) {
    let steps = const { STEPS / B::GROUPS };
    for g in 0..B::GROUPS {
        let mut dots = [[_mm512_setzero_si512(); 2]; C];
        for c in 0..C {
            if !matches!(B::TERM, Term::Minimum) {
                dots[c] = [_mm512_set1_epi32(columns[c].terms[b * B::GROUPS + g] as i32); 2];
            }
        }
        for i in g * steps..(g + 1) * steps {
            let [low, high] = integers(&chunk.w[i]);
            let [low, high] = if B::BITS == 8 { [raise(low), raise(high)] } else { [low, high] };
            for c in 0..C {
                let x = _mm512_set1_epi32(word(&columns[c].q[b], i));
                dots[c] = [_mm512_dpbusd_epi32(dots[c][0], low, x), _mm512_dpbusd_epi32(dots[c][1], high, x)];
            }
        }
        let (d, m) = (floats(&chunk.d[g]), floats(&chunk.m[g]));
        for c in 0..C {
            let column = &columns[c];
            for half in 0..2 {
                let dot = _mm512_cvtepi32_ps(dots[c][half]);
                let scaled = _mm512_mul_ps(dot, _mm512_set1_ps(column.d[b]));
                acc[c][half] = _mm512_fmadd_ps(scaled, d[half], acc[c][half]);
                if let Term::Minimum = B::TERM {
                    let sum = _mm512_set1_ps(f32::from_bits(column.terms[b * B::GROUPS + g]));
                    acc[c][half] = _mm512_fmadd_ps(sum, m[half], acc[c][half]);
                }
            }
        }
    }
}

/// Multiplies with `C` columns: each strip of rows is unpacked once, block by block, and never stored.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
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
                multiply_strip::<B, C>(chunk, &columns, b * (B::LEN / CHUNK) + i, &mut acc);
            }
        }
        write(&acc, out, from, 0);
    }
}

/// Adds the product of a chunk of eight rows with block `b` of each column.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn multiply_strip<B: Unpack, const C: usize>(
    chunk: &Chunk<1>,
    columns: &[Column<'_>; C],
    b: usize,
    acc: &mut [[__m256; 1]; C],
) {
    let steps = const { STEPS / B::GROUPS };
    for g in 0..B::GROUPS {
        for (column, [acc]) in columns.iter().zip(&mut *acc) {
            // Two sums, since each waits for its last addition.
            let mut dots = [_mm256_setzero_si256(); 2];
            if !matches!(B::TERM, Term::Minimum) {
                dots[0] = _mm256_set1_epi32(column.terms[b * B::GROUPS + g] as i32);
            }
            for i in g * steps..(g + 1) * steps {
                let ([w], x) = (chunk.w[i], _mm256_set1_epi32(word(&column.q[b], i)));
                let w = if B::BITS == 8 { _mm256_xor_si256(w, _mm256_set1_epi8(-128)) } else { w };
                dots[i % 2] = _mm256_dpbusd_epi32(dots[i % 2], w, x);
            }
            let dot = _mm256_cvtepi32_ps(_mm256_add_epi32(dots[0], dots[1]));
            let scaled = _mm256_mul_ps(dot, _mm256_set1_ps(column.d[b]));
            *acc = _mm256_fmadd_ps(scaled, chunk.d[g][0], *acc);
            if let Term::Minimum = B::TERM {
                let sum = _mm256_set1_ps(f32::from_bits(column.terms[b * B::GROUPS + g]));
                *acc = _mm256_fmadd_ps(sum, chunk.m[g][0], *acc);
            }
        }
    }
}

/// A signed byte raised by 128.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn raise(w: __m512i) -> __m512i {
    _mm512_xor_si512(w, _mm512_set1_epi8(-128))
}

/// Four strips of weights as two registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn integers(strips: &[__m256i; STRIPS]) -> [__m512i; 2] {
    let start = strips.as_ptr().cast::<__m512i>();
    // SAFETY: four registers of 32 bytes are two of 64.
    unsafe { [_mm512_loadu_si512(start), _mm512_loadu_si512(start.add(1))] }
}

/// Four strips of floats as two registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn floats(strips: &[__m256; STRIPS]) -> [__m512; 2] {
    let start = strips.as_ptr().cast::<f32>();
    // SAFETY: four registers of 8 floats are two of 16.
    unsafe { [_mm512_loadu_ps(start), _mm512_loadu_ps(start.add(16))] }
}
