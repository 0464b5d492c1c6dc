//! AVX-512 with dot products of bfloat16: servers since Cooper Lake, and everything since Zen 4.
//!
//! Only products with weights of bfloat16 differ from AVX-512's: activations are rounded to bfloat16 too, to 8 bits each, which
//! is finer than the blocks of 8 bits that share a scale, what all quantised formats multiply with.

mod product;

use crate::backend::{Features, Table};
use crate::blocks::Format;
use crate::x86::avx512;

/// The kernels of AVX-512 with bfloat16.
pub const TABLE: Table = Table {
    name: "avx512bf16",
    features: Features { own: features!("avx512bf16"), below: Some(&avx512::FEATURES) },
    scratch_bytes,
    ..avx512::TABLE
}
.with(Format::BF16, product::matmul);

fn scratch_bytes(k: usize) -> usize {
    product::scratch_bytes(k).max((avx512::TABLE.scratch_bytes)(k))
}
