//! NEON with the dot product instructions of Armv8.2: phones since about 2018.

use crate::arm::neon;
use crate::backend::Table;

/// The kernels of NEON with dot products.
pub const TABLE: Table = Table { name: "dotprod", supported, ..neon::TABLE };

fn supported() -> bool {
    has!("neon", "dotprod")
}
