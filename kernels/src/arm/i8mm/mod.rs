//! NEON with the matrix product instructions of Armv8.6: servers since about 2020, phones since about 2022.

mod ceiling;
mod wide;

use crate::arm::dotprod;
use crate::arm::dotprod::Sdot;
use crate::arm::dotprod::one::{self, Quad};
use crate::arm::unpack::Unpack;
use crate::arm::{narrow, panel};
use crate::backend::{FormatKernels, NARROW, Table};
use crate::blocks::*;
use crate::columns::Columns;
use crate::scalar;
use crate::tile::TileMut;

/// The kernels of NEON with matrix products. Few columns are multiplied by dot products, as there.
pub const TABLE: Table = Table { name: "i8mm", supported, ceiling: ceiling::CEILING, ..dotprod::TABLE }
    .with(Format::Q8_0, single::<BlockQ8_0>())
    .with(Format::Q4_0, single::<BlockQ4_0>())
    .with(Format::Q4_1, single::<BlockQ4_1>())
    .with(Format::Q5_0, single::<BlockQ5_0>())
    .with(Format::Q5_1, single::<BlockQ5_1>())
    .with(Format::Q2_K, quantized::<BlockQ2K>())
    .with(Format::Q3_K, quantized::<BlockQ3K>())
    .with(Format::Q4_K, quantized::<BlockQ4K>())
    .with(Format::Q5_K, quantized::<BlockQ5K>())
    .with(Format::Q6_K, quantized::<BlockQ6K>())
    .with(Format::IQ4_NL, quantized::<BlockIQ4NL>())
    .with(Format::IQ4_XS, quantized::<BlockIQ4XS>())
    .with(Format::MXFP4, quantized::<BlockMXFP4>());

fn supported() -> bool {
    has!("neon", "dotprod", "i8mm")
}

const fn quantized<B: Unpack>() -> FormatKernels {
    FormatKernels { origin: "i8mm", matmul: matmul::<B>, ..scalar::TABLE.formats[B::FORMAT as usize] }
}

/// The kernels of a format whose product with one column is that of dot products.
const fn single<B: Quad>() -> FormatKernels {
    FormatKernels { matmul: matmul_single::<B>, ..quantized::<B>() }
}

#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn matmul_single<B: Quad>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    // SAFETY: the caller checked the lengths, and this function has the tier's instructions.
    unsafe {
        if x.n == 1 {
            one::matmul::<B>(weights, x, out);
        } else {
            matmul::<B>(weights, x, out, scratch);
        }
    }
}

#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    // SAFETY: the caller checked the lengths, and this function has the tier's instructions.
    unsafe {
        if x.n <= NARROW {
            narrow::matmul::<B, Sdot>(weights, x, out);
        } else {
            panel::matmul::<B, Smmla>(weights, x, out, scratch);
        }
    }
}

/// Thirty-two products per instruction: of two rows with two columns, eight each.
struct Smmla;
