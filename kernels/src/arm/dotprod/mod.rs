//! NEON with the dot product instructions of Armv8.2: phones since about 2018.

mod ceiling;
pub(super) mod one;
mod wide;

use core::arch::aarch64::*;

use crate::arm::insn::sdot;
use crate::arm::narrow::{self, Dot};
use crate::arm::neon;
use crate::arm::product::{self, Few, Product};
use crate::arm::unpack::Unpack;
use crate::backend::{FormatKernels, Table};
use crate::blocks::*;
use crate::columns::Columns;
use crate::scalar;
use crate::tile::TileMut;
use one::Quad;

/// The kernels of NEON with dot products.
pub const TABLE: Table = Table { name: "dotprod", supported, ceiling: ceiling::CEILING, ..neon::TABLE }
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
    has!("neon", "dotprod")
}

const fn quantized<B: Unpack>() -> FormatKernels {
    FormatKernels { origin: "dotprod", matmul: matmul::<B>, ..scalar::TABLE.formats[B::FORMAT as usize] }
}

/// The kernels of a format with blocks of 32 that `one` reads.
const fn single<B: Quad>() -> FormatKernels {
    FormatKernels { matmul: matmul_single::<B>, ..quantized::<B>() }
}

/// See [`crate::Backend::matmul`].
unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    let product = const { &Product::new::<B, Sdot>(few::<B>()) };
    // SAFETY: the caller checked the lengths, and the CPU has the tier's instructions.
    unsafe { product::multiply(product, weights, x, out, scratch) }
}

/// The same, for formats that `one` reads.
unsafe fn matmul_single<B: Quad>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    let product = const { &Product::new::<B, Sdot>(few_single::<B>()) };
    // SAFETY: the caller checked the lengths, and the CPU has the tier's instructions.
    unsafe { product::multiply(product, weights, x, out, scratch) }
}

/// The products with up to three columns.
pub(super) const fn few<B: Unpack>() -> [Option<Few>; 3] {
    if B::COMMON {
        [Some(narrow::<B, 1>), Some(narrow::<B, 2>), Some(narrow::<B, 3>)]
    } else {
        [Some(narrow::<B, 1>), None, None]
    }
}

/// The same, for formats that `one` reads.
pub(super) const fn few_single<B: Quad>() -> [Option<Few>; 3] {
    let [_, two, three] = few::<B>();
    [Some(one::matmul::<B>), two, three]
}

/// The product with `C` columns.
#[target_feature(enable = "neon,dotprod")]
unsafe fn narrow<B: Unpack, const C: usize>(
    weights: &[u8],
    x: &Columns<'_>,
    terms: &[f32],
    out: &mut TileMut<'_>,
) {
    // SAFETY: the caller checked the lengths, and this function has the tier's instructions.
    unsafe { narrow::matmul::<B, Sdot, C>(weights, x, terms, out) }
}

/// Sixteen products per instruction.
pub(crate) struct Sdot;

impl Dot for Sdot {
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn dot16(sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        sdot(sums, w, x)
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn dot32<const SMALL: bool>(sums: int32x4_t, w: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t {
        sdot(sdot(sums, w[0], x[0]), w[1], x[1])
    }
}
