//! AVX2 with FMA and F16C: most desktops and servers.
//!
//! How a product runs. Blocks of eight rows are unpacked into `chunk::Chunk`s, where a SIMD lane is a row, so that
//! a sum over `k` never crosses lanes (`small`, `large`: one function per format). One micro-kernel multiplies
//! chunks of any format with columns (`matmul`): straight from registers for a few columns, else from a panel of
//! rows in the thread's scratch, unpacked once for all columns.
//!
//! Invariant: the sums inside a block are integers, hence exact, and the scaled sums of the blocks are added in order
//! of `k` by the same operations. So every element of a product has the same bits for any number of columns, any range
//! of rows and every tier of x86.

pub(super) mod activations;
pub(super) mod attention;
pub(super) mod chunk;
mod dot;
mod floats;
mod large;
pub(super) mod matmul;
pub(super) mod registers;
mod small;
mod vectors;

use crate::backend::{FormatKernels, Table};
use crate::blocks::*;
use crate::scalar;
use chunk::Unpack;
use dot::Avx2;
use floats::Float;

/// The kernels of AVX2.
pub const TABLE: Table = Table {
    name: "avx2",
    supported,
    scratch_bytes: matmul::scratch_bytes::<1>,
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
        matmul: matmul::matmul::<Avx2, B, 1>,
        ..scalar::TABLE.formats[B::FORMAT as usize]
    }
}

fn supported() -> bool {
    has!("avx2", "fma", "f16c")
}
