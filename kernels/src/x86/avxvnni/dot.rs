//! The dot products of AVX-VNNI.

use core::arch::x86_64::*;

use super::AvxVnni;
use crate::tile::TileMut;
use crate::x86::activations::{Activations, Column};
use crate::x86::avx2::Avx2;
use crate::x86::chunk::*;
use crate::x86::matmul::{self, Corner, Dot, Place, Strip, Tier, Whole, compile_for};
use crate::x86::vnni::{self, Vnni};

/// Strips of eight rows.
impl Dot<8> for AvxVnni {
    type V = __m256i;
    const SIGNED_OFFSET: i32 = vnni::SIGNED_OFFSET;
    const SPLITS: bool = false;
    const BASES: bool = false;

    #[inline]
    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    unsafe fn dots<K: Kind, const S: usize, const C: usize>(
        chunks: [&Chunk<__m256i, 8>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[__m256i; S]; C],
    ) {
        // SAFETY: the same promises.
        unsafe { vnni::dots::<Self, K, 8, S, C>(chunks, columns, b, g, dots) }
    }
}

impl Tier<8> for AvxVnni {
    type Few = Self;
    type Panels = Avx2;
    const FEW: usize = 2;
    const PANEL: usize = 1024;
    const COLUMNS: usize = 3;

    compile_for!("avxvnni,avx2,fma,f16c", 8, 2);
}

impl Vnni<8> for AvxVnni {
    #[inline]
    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    unsafe fn dot(sums: __m256i, w: __m256i, x: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sums, w, x)
    }
}
