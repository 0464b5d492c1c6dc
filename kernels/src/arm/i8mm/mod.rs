//! NEON with the matrix product instructions of Armv8.6: servers since about 2020, phones since about 2022.

mod ceiling;
mod engine;

use crate::arm::dotprod;
use crate::arm::product::{self, Product, Tier};
use crate::arm::unpack::Unpack;
use crate::backend::{Features, Table};
use crate::columns::Columns;
use crate::tile::TileMut;

/// The kernels of NEON with matrix products. Few columns are multiplied by dot products, as there.
pub const TABLE: Table = Table {
    name: "i8mm",
    features: Features { own: features!("i8mm"), below: Some(&dotprod::FEATURES) },
    ceiling: ceiling::CEILING,
    ..dotprod::TABLE
}
.with_quantized::<Smmla>();

impl Tier for Smmla {
    unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
        let product = const { &Product::new::<B, Smmla>(dotprod::few::<B>()) };
        // SAFETY: the same promises.
        unsafe { product::multiply(product, weights, x, out, scratch) }
    }
}

/// Thirty-two products per instruction: of two rows with two columns, eight each.
struct Smmla;
