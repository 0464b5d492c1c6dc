//! Baseline NEON: every AArch64 CPU.

use crate::backend::Table;
use crate::scalar;

/// The kernels of baseline NEON.
pub const TABLE: Table = Table { name: "neon", supported, ..scalar::TABLE };

fn supported() -> bool {
    has!("neon")
}
