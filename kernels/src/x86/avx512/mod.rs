//! AVX-512 with VNNI: servers since Cascade Lake and Zen 4, laptops since Ice Lake.
//!
//! Most kernels on vectors are those of AVX2.

mod attention;
mod ceiling;
mod dot;
mod lanes;
mod registers;
mod vectors;

use core::arch::x86_64::{__m512, __m512i};

use crate::backend::{Features, Table};
use crate::columns::Columns;
use crate::tile::TileMut;
use crate::x86::avx2;
use crate::x86::floats::{self, Float, FloatDot};

/// What the kernels ask a CPU for.
pub(super) const FEATURES: Features = Features {
    own: features!("avx512f", "avx512bw", "avx512vl", "avx512vnni"),
    below: Some(&avx2::FEATURES),
};

/// The kernels of AVX-512.
pub const TABLE: Table = Table {
    name: "avx512",
    features: FEATURES,
    quantize_q8: vectors::quantize_q8,
    silu_mul: vectors::silu_mul,
    gelu_mul: vectors::gelu_mul,
    soft_cap: vectors::soft_cap,
    scan: vectors::scan,
    ceiling: ceiling::CEILING,
    ..avx2::TABLE
}
.with_quantized::<Avx512, 16>()
.with_floats::<Avx512, 16>()
.with_attention::<Avx512, 16>();

/// The tier: what is written once for all of them, compiled for its features.
struct Avx512;

impl FloatDot<16> for Avx512 {
    type V = __m512i;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn matmul<B: Float>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
        // SAFETY: the same promises.
        unsafe { floats::matmul::<Self, B, 16>(weights, x, out, scratch) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn many_tile<const C: usize>(
        panel: &[[__m512; floats::STRIPS]],
        x: &Columns<'_>,
        from: usize,
        out: &mut TileMut<'_>,
        r: usize,
        c: usize,
    ) {
        // SAFETY: the same promises.
        unsafe { floats::many_tile::<__m512i, 16, C>(panel, x, from, out, r, c) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn reduce_sums(sums: &[__m512], totals: &mut [f32]) {
        // SAFETY: the same promises.
        unsafe { floats::reduce_sums(sums, totals) }
    }
}
