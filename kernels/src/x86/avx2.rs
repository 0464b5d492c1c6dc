//! AVX2 with FMA and F16C: most desktops and servers.

use crate::backend::Table;
use crate::scalar;

/// The kernels of AVX2.
pub const TABLE: Table = Table { name: "avx2", supported, ..scalar::TABLE };

fn supported() -> bool {
    has!("avx2", "fma", "f16c")
}
