//! Chunks times columns with `vpdpbusd`, which adds four products of an unsigned and a signed byte to 32 bits.
//! Weights that are signed are raised by 128, and 128 times the sum of the activations is taken off.

use core::arch::x86_64::*;

use crate::tile::TileMut;
use crate::x86::activations::{Activations, Column};
use crate::x86::chunk::*;
use crate::x86::matmul::{self, Bytes, Cut, Dot, Place};

/// The dot products of AVX-512 with VNNI.
pub(super) struct Avx512;

impl Dot<16> for Avx512 {
    const NAME: &'static str = "avx512";
    type V = __m512i;
    const FEW: usize = 8;
    const CUTS: [Cut; 2] = [Cut { strips: 1, columns: 4 }, Cut { strips: 2, columns: 6 }];
    const SIGNED_OFFSET: i32 = 128;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn dots<B: Unpack, const S: usize, const C: usize>(
        chunks: [&Chunk<__m512i, 16>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[__m512i; S]; C],
    ) {
        let steps = const { STEPS / B::GROUPS };
        for i in g * steps..(g + 1) * steps {
            let mut w = chunks.map(|chunk| chunk.w[i]);
            if B::BITS == 8 {
                for s in 0..S {
                    w[s] = _mm512_xor_si512(w[s], _mm512_set1_epi8(-128));
                }
            }
            for c in 0..C {
                // SAFETY: there is a block `b`, promises the caller.
                let x = _mm512_set1_epi32(unsafe { columns[c].step(b, i) });
                for s in 0..S {
                    dots[c][s] = _mm512_dpbusd_epi32(dots[c][s], w[s], x);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn few<B: Unpack, const C: usize>(rows: &Bytes<'_>, x: &Activations<'_>, out: &mut TileMut<'_>) {
        // SAFETY: the same promises.
        unsafe { matmul::few::<Self, B, 16, C>(rows, x, out) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn panel<B: Unpack>(
        rows: &Bytes<'_>,
        row: usize,
        from: usize,
        panel: &mut [u8],
        ahead: *const u8,
    ) {
        // SAFETY: the same promises.
        unsafe { matmul::panel::<Self::V, B, 16>(rows, row, from, panel, ahead) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn tile<B: Unpack, const S: usize, const C: usize>(
        panel: &[u8],
        x: &Activations<'_>,
        place: Place,
        out: &mut TileMut<'_>,
    ) {
        // SAFETY: the same promises.
        unsafe { matmul::tile::<Self, B, 16, S, C>(panel, x, place, out) }
    }
}

/// The same with half a register: strips of eight rows.
pub(super) struct Half;

impl Dot<8> for Half {
    const NAME: &'static str = "avx512";
    type V = __m256i;
    const FEW: usize = 4;
    const CUTS: [Cut; 2] = [Cut { strips: 1, columns: 4 }; 2];
    const SIGNED_OFFSET: i32 = 128;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn dots<B: Unpack, const S: usize, const C: usize>(
        chunks: [&Chunk<__m256i, 8>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[__m256i; S]; C],
    ) {
        let steps = const { STEPS / B::GROUPS };
        for i in g * steps..(g + 1) * steps {
            let mut w = chunks.map(|chunk| chunk.w[i]);
            if B::BITS == 8 {
                for s in 0..S {
                    w[s] = _mm256_xor_si256(w[s], _mm256_set1_epi8(-128));
                }
            }
            for c in 0..C {
                // SAFETY: there is a block `b`, promises the caller.
                let x = _mm256_set1_epi32(unsafe { columns[c].step(b, i) });
                for s in 0..S {
                    dots[c][s] = _mm256_dpbusd_epi32(dots[c][s], w[s], x);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn few<B: Unpack, const C: usize>(rows: &Bytes<'_>, x: &Activations<'_>, out: &mut TileMut<'_>) {
        // SAFETY: the same promises.
        unsafe { matmul::few::<Self, B, 8, C>(rows, x, out) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn panel<B: Unpack>(
        rows: &Bytes<'_>,
        row: usize,
        from: usize,
        panel: &mut [u8],
        ahead: *const u8,
    ) {
        // SAFETY: the same promises.
        unsafe { matmul::panel::<Self::V, B, 8>(rows, row, from, panel, ahead) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn tile<B: Unpack, const S: usize, const C: usize>(
        panel: &[u8],
        x: &Activations<'_>,
        place: Place,
        out: &mut TileMut<'_>,
    ) {
        // SAFETY: the same promises.
        unsafe { matmul::tile::<Self, B, 8, S, C>(panel, x, place, out) }
    }
}
