//! NEON with the matrix product instructions of Armv8.6: servers since about 2020, phones since about 2022.

mod ceiling;
mod wide;

use crate::arm::dotprod;
use crate::arm::dotprod::one::Quad;
use crate::arm::product::{self, Product};
use crate::arm::unpack::Unpack;
use crate::backend::{FormatKernels, Table};
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

/// The kernels of a format whose product with one column is chosen by hand.
const fn single<B: Quad>() -> FormatKernels {
    FormatKernels { matmul: matmul_single::<B>, ..quantized::<B>() }
}

/// See [`crate::Backend::matmul`].
unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    let product = const { &Product::new::<B, Smmla>(dotprod::few::<B>()) };
    // SAFETY: the caller checked the lengths, and the CPU has the tier's instructions.
    unsafe { product::multiply(product, weights, x, out, scratch) }
}

/// The same, for formats that `one` reads.
unsafe fn matmul_single<B: Quad>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    let product = const { &Product::new::<B, Smmla>(dotprod::few_single::<B>()) };
    // SAFETY: the caller checked the lengths, and the CPU has the tier's instructions.
    unsafe { product::multiply(product, weights, x, out, scratch) }
}

/// Thirty-two products per instruction: of two rows with two columns, eight each.
struct Smmla;
