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

use crate::backend::{FormatKernels, Table};
use crate::blocks::*;
use crate::columns::Columns;
use crate::tile::TileMut;
use crate::x86::floats::{self, Float};
use crate::x86::{attention as attend, avx2, matmul};
use dot::Avx512;

/// The kernels of AVX-512.
pub const TABLE: Table = attend::table::<attention::Avx512, 16>(matmul::table::<Avx512, 16>(
    supported,
    Table {
        quantize_q8: vectors::quantize_q8,
        silu_mul: vectors::silu_mul,
        gelu_mul: vectors::gelu_mul,
        soft_cap: vectors::soft_cap,
        scan: vectors::scan,
        ceiling: ceiling::CEILING,
        ..avx2::TABLE
    },
))
.with(Format::F32, floats_of::<BlockF32>())
.with(Format::F16, floats_of::<BlockF16>())
.with(Format::BF16, floats_of::<BlockBF16>());

/// The products of floats of this tier.
struct Tier;

impl floats::Tier<16> for Tier {
    type V = __m512i;

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
    unsafe fn totals(sums: &[__m512], totals: &mut [f32]) {
        // SAFETY: the same promises.
        unsafe { floats::totals(sums, totals) }
    }
}

const fn floats_of<B: Float>() -> FormatKernels {
    FormatKernels {
        origin: "avx512",
        matmul: multiply_floats::<B>,
        ..avx2::TABLE.formats[B::FORMAT as usize]
    }
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the features, and the lengths must be what [`crate::Backend::matmul`] checks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn multiply_floats<B: Float>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    // SAFETY: the same promises.
    unsafe { floats::matmul::<Tier, B, 16>(weights, x, out, scratch) }
}

fn supported() -> bool {
    (avx2::TABLE.supported)() && has!("avx512f", "avx512bw", "avx512vl", "avx512vnni")
}
