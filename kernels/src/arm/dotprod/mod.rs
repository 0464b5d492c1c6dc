//! NEON with the dot product instructions of Armv8.2: phones since about 2018.

mod ceiling;
mod engine;
mod one;

use core::arch::aarch64::*;

use crate::arm::insn::sdot;
use crate::arm::narrow::{self, Dot};
use crate::arm::neon;
use crate::arm::product::{self, Few, Product, Tier};
use crate::arm::unpack::Unpack;
use crate::backend::{Features, Table};
use crate::columns::Columns;
use crate::tile::TileMut;

/// What the kernels ask a CPU for.
pub(super) const FEATURES: Features = Features { own: features!("dotprod"), below: Some(&neon::FEATURES) };

/// The kernels of NEON with dot products.
pub const TABLE: Table =
    Table { name: "dotprod", features: FEATURES, ceiling: ceiling::CEILING, ..neon::TABLE }
        .with_quantized::<Sdot>();

impl Tier for Sdot {
    unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
        let product = const { &Product::new::<B, Sdot>(few::<B>()) };
        // SAFETY: the same promises.
        unsafe { product::multiply(product, weights, x, out, scratch) }
    }
}

/// The products with up to three columns.
pub(super) const fn few<B: Unpack>() -> [Option<Few>; 3] {
    let one = match one::product_of(B::FORMAT) {
        None => narrow::<B, 1>,
        Some(one) => one,
    };
    if B::COMMON { [Some(one), Some(narrow::<B, 2>), Some(narrow::<B, 3>)] } else { [Some(one), None, None] }
}

/// The product with `C` columns.
///
/// # Safety
/// The CPU must have dot products, and the lengths must be those of [`crate::Backend::matmul`] for `C` columns.
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
