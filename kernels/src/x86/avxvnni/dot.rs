//! Chunks times columns with `vpdpbusd`, which adds four products of an unsigned and a signed byte to 32 bits.
//! Weights that are signed are raised by 128, and 128 times the sum of the activations is taken off.

use core::arch::x86_64::*;

use crate::tile::TileMut;
use crate::x86::activations::{Activations, Column, word};
use crate::x86::chunk::*;
use crate::x86::matmul::{self, Dot};

/// The dot products of AVX-VNNI.
pub(super) struct AvxVnni;

impl Dot<8, 1> for AvxVnni {
    const NAME: &'static str = "avxvnni";
    type V = __m256i;
    const COLUMNS: usize = 4;
    const SIGNED_OFFSET: i32 = 128;

    #[inline]
    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    unsafe fn multiply<B: Unpack, const S: usize, const C: usize>(
        chunk: &Chunk<__m256i, 8, S>,
        columns: &[Column<'_>; C],
        b: usize,
        acc: &mut [[__m256; S]; C],
    ) {
        let steps = const { STEPS / B::GROUPS };
        for g in 0..B::GROUPS {
            for s in 0..S {
                let mut dots = [_mm256_setzero_si256(); C];
                if !matches!(B::TERM, Term::Minimum) {
                    for c in 0..C {
                        dots[c] = _mm256_set1_epi32(columns[c].terms[b * B::GROUPS + g] as i32);
                    }
                }
                for i in g * steps..(g + 1) * steps {
                    let mut w = chunk.w[i][s];
                    if B::BITS == 8 {
                        w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
                    }
                    for c in 0..C {
                        let x = _mm256_set1_epi32(word(&columns[c].q[b], i));
                        dots[c] = _mm256_dpbusd_avx_epi32(dots[c], w, x);
                    }
                }
                for c in 0..C {
                    let column = &columns[c];
                    let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dots[c]), _mm256_set1_ps(column.d[b]));
                    acc[c][s] = _mm256_fmadd_ps(scaled, chunk.d[g][s], acc[c][s]);
                    if let Term::Minimum = B::TERM {
                        let sum = _mm256_set1_ps(f32::from_bits(column.terms[b * B::GROUPS + g]));
                        acc[c][s] = _mm256_fmadd_ps(sum, chunk.m[g][s], acc[c][s]);
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    unsafe fn few<B: Unpack, const C: usize>(weights: &[B], x: &Activations<'_>, out: &mut TileMut<'_>) {
        // SAFETY: the same promises.
        unsafe { matmul::few::<Self, B, 8, 1, C>(weights, x, out) }
    }

    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    unsafe fn panel<B: Unpack>(weights: &[B], row: usize, panel: &mut [Chunk<Self::V, 8, 1>]) {
        // SAFETY: the same promises.
        unsafe { matmul::panel(weights, row, panel) }
    }

    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    unsafe fn tile<B: Unpack, const C: usize>(
        panel: &[Chunk<Self::V, 8, 1>],
        x: &Activations<'_>,
        out: &mut TileMut<'_>,
        row: usize,
        column: usize,
    ) {
        // SAFETY: the same promises.
        unsafe { matmul::tile::<Self, B, 8, 1, C>(panel, x, out, row, column) }
    }
}
