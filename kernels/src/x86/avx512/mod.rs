//! AVX-512 with VNNI: servers since Cascade Lake and Zen 4, laptops since Ice Lake.
//!
//! Most kernels on vectors are those of AVX2.

mod attention;
mod ceiling;
mod dot;
mod lanes;
mod registers;
mod vectors;

use core::arch::x86_64::__m512i;

use crate::backend::{FormatKernels, Table};
use crate::blocks::{BlockBF16, BlockF16, BlockF32, BlockQ4K, BlockQ5K, BlockQ6K, Format};
use crate::columns::Columns;
use crate::tile::TileMut;
use crate::x86::chunk::Unpack;
use crate::x86::floats::Float;
use crate::x86::{attention as attend, avx2, matmul};
use dot::Avx512;

/// The kernels of AVX-512.
pub const TABLE: Table = attend::table::<attention::Avx512, 16>(matmul::table::<Avx512, 16, 2>(
    supported,
    Table { silu_mul: vectors::silu_mul, ceiling: ceiling::CEILING, ..avx2::TABLE },
))
.with(Format::F32, floats::<BlockF32>())
.with(Format::F16, floats::<BlockF16>())
.with(Format::BF16, floats::<BlockBF16>())
.with(Format::Q4_K, streamed::<BlockQ4K>())
.with(Format::Q5_K, streamed::<BlockQ5K>())
.with(Format::Q6_K, streamed::<BlockQ6K>());

/// A format of long blocks, whose single column is AVX2's: a strip of sixteen rows reads from so many places at once that
/// memory falls behind, one of eight does not. The bits are the same, as on every tier.
const fn streamed<B: Unpack>() -> FormatKernels {
    FormatKernels {
        origin: "avx512",
        alone: Some("avx2"),
        matmul: multiply_streamed::<B>,
        ..avx2::TABLE.formats[B::FORMAT as usize]
    }
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the features, and the lengths must be what [`crate::Backend::matmul`] checks.
unsafe fn multiply_streamed<B: Unpack>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    let alone = avx2::TABLE.formats[B::FORMAT as usize].matmul;
    // SAFETY: the same promises; a CPU of this tier has AVX2, whose scratch is a part of this tier's.
    unsafe {
        match x.n {
            1 => alone(weights, x, out, scratch),
            _ => matmul::matmul::<Avx512, B, 16, 2>(weights, x, out, scratch),
        }
    }
}

const fn floats<B: Float>() -> FormatKernels {
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
    unsafe { crate::x86::floats::matmul::<__m512i, B, 16>(weights, x, out, scratch) }
}

fn supported() -> bool {
    (avx2::TABLE.supported)() && has!("avx512f", "avx512bw", "avx512vl", "avx512vnni")
}
