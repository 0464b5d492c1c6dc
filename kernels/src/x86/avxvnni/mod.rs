//! AVX2 with the dot products of VNNI: laptops since Alder Lake, desktops since Zen 5.
//!
//! Products of floats, attention and the kernels on vectors are those of AVX2.

mod ceiling;
mod dot;

use crate::backend::{Features, Table};
use crate::x86::avx2;

/// The kernels of AVX-VNNI.
pub const TABLE: Table = Table {
    name: "avxvnni",
    features: Features { own: features!("avxvnni"), below: Some(&avx2::FEATURES) },
    ceiling: ceiling::CEILING,
    ..avx2::TABLE
}
.with_quantized::<AvxVnni, 8>();

/// The tier: what is written once for all of them, compiled for its features.
struct AvxVnni;
