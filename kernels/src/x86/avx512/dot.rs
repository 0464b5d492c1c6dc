//! The dot products of AVX-512 with VNNI.

use core::arch::x86_64::*;

use super::Avx512;
use crate::tile::TileMut;
use crate::x86::activations::{Activations, Column};
use crate::x86::chunk::*;
use crate::x86::matmul::{self, Corner, Dot, Place, Strip, Tier, Whole, compile_for};
use crate::x86::vnni::{self, Vnni};

/// Strips of sixteen rows.
impl Dot<16> for Avx512 {
    type V = __m512i;
    const SIGNED_OFFSET: i32 = vnni::SIGNED_OFFSET;
    const SPLITS: bool = false;
    const BASES: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn dots<K: Kind, const S: usize, const C: usize>(
        chunks: [&Chunk<__m512i, 16>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[__m512i; S]; C],
    ) {
        // SAFETY: the same promises.
        unsafe { vnni::dots::<Self, K, 16, S, C>(chunks, columns, b, g, dots) }
    }
}

impl Tier<16> for Avx512 {
    type Few = Self;
    type Panels = Self;
    const FEW: usize = 8;
    const PANEL: usize = 2048;
    const COLUMNS: usize = 6;

    compile_for!("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c", 16, 2);
}

impl Vnni<16> for Avx512 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn dot(sums: __m512i, w: __m512i, x: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sums, w, x)
    }
}
