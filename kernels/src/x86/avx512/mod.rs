//! AVX-512 with VNNI: servers since Cascade Lake and Zen 4, laptops since Ice Lake.
//!
//! Products of floats and the kernels on vectors are those of AVX2.

mod attention;
mod dot;
mod lanes;

use crate::backend::{FormatKernels, Table};
use crate::blocks::*;
use crate::x86::avx2;
use crate::x86::chunk::Unpack;
use crate::x86::matmul;
use dot::Avx512;

/// The kernels of AVX-512.
pub const TABLE: Table = Table {
    name: "avx512",
    supported,
    scratch_bytes: matmul::scratch_bytes::<Avx512, 16, 2>,
    attend_f16: attention::attend_f16,
    ..avx2::TABLE
}
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

const fn quantized<B: Unpack>() -> FormatKernels {
    let parent = avx2::TABLE.formats[B::FORMAT as usize];
    FormatKernels { origin: "avx512", matmul: matmul::matmul::<Avx512, B, 16, 2>, ..parent }
}

fn supported() -> bool {
    (avx2::TABLE.supported)() && has!("avx512f", "avx512bw", "avx512vl", "avx512vnni")
}
