//! AVX2 with the dot products of VNNI: laptops since Alder Lake, desktops since Zen 5.
//!
//! Products of floats, attention and the kernels on vectors are those of AVX2.

mod ceiling;
mod dot;

use crate::backend::Table;
use crate::x86::{avx2, matmul};
use dot::AvxVnni;

/// The kernels of AVX-VNNI.
pub const TABLE: Table =
    matmul::table::<AvxVnni, 8>(supported, Table { ceiling: ceiling::CEILING, ..avx2::TABLE });

fn supported() -> bool {
    (avx2::TABLE.supported)() && has!("avxvnni")
}
