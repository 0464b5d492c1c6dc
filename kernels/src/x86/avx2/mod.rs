//! AVX2 with FMA and F16C: most desktops and servers.

pub(super) mod attention;
mod dot;
mod floats;
mod lanes;
pub(super) mod registers;
mod vectors;

use crate::backend::{FormatKernels, Table};
use crate::blocks::*;
use crate::scalar;
use crate::x86::chunk::Unpack;
use crate::x86::matmul;
use dot::Avx2;
use floats::Float;

/// The kernels of AVX2.
pub const TABLE: Table = Table {
    name: "avx2",
    supported,
    scratch_bytes: matmul::scratch_bytes::<Avx2, 8, 1>,
    quantize_q8: vectors::quantize_q8,
    rms_norm: vectors::rms_norm,
    rope: vectors::rope,
    silu_mul: vectors::silu_mul,
    add: vectors::add,
    to_f16: vectors::to_f16,
    attend_f16: attention::attend_f16,
    ..scalar::TABLE
}
.with(Format::F32, floats::<BlockF32>())
.with(Format::F16, floats::<BlockF16>())
.with(Format::BF16, floats::<BlockBF16>())
.with(Format::Q8_0, quantized::<BlockQ8_0>())
.with(Format::Q4_0, quantized::<BlockQ4_0>())
.with(Format::Q4_1, quantized::<BlockQ4_1>())
.with(Format::Q5_0, quantized::<BlockQ5_0>())
.with(Format::Q5_1, quantized::<BlockQ5_1>())
.with(Format::Q2_K, quantized::<BlockQ2K>())
.with(Format::Q3_K, quantized::<BlockQ3K>())
.with(Format::Q4_K, quantized::<BlockQ4K>())
.with(Format::Q5_K, quantized::<BlockQ5K>())
.with(Format::Q6_K, quantized::<BlockQ6K>())
.with(Format::IQ4_NL, quantized::<BlockIQ4NL>())
.with(Format::IQ4_XS, quantized::<BlockIQ4XS>());

const fn floats<B: Float>() -> FormatKernels {
    FormatKernels { origin: "avx2", matmul: floats::matmul::<B>, ..scalar::TABLE.formats[B::FORMAT as usize] }
}

const fn quantized<B: Unpack>() -> FormatKernels {
    FormatKernels {
        origin: "avx2",
        matmul: matmul::matmul::<Avx2, B, 8, 1>,
        ..scalar::TABLE.formats[B::FORMAT as usize]
    }
}

fn supported() -> bool {
    has!("avx2", "fma", "f16c")
}
