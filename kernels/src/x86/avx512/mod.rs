//! AVX-512 with VNNI: servers since Cascade Lake and Zen 4, laptops since Ice Lake.
//!
//! Products of floats and the kernels on vectors are those of AVX2.

mod attention;
mod ceiling;
mod dot;
mod lanes;

use crate::backend::Table;
use crate::x86::{avx2, matmul};
use dot::Avx512;

/// The kernels of AVX-512.
pub const TABLE: Table = matmul::table::<Avx512, 16, 2>(
    supported,
    Table { attend_f16: attention::attend_f16, ceiling: ceiling::CEILING, ..avx2::TABLE },
);

fn supported() -> bool {
    (avx2::TABLE.supported)() && has!("avx512f", "avx512bw", "avx512vl", "avx512vnni")
}
