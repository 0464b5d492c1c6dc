//! Baseline NEON: every AArch64 CPU.

mod attention;
pub(super) mod ceiling;
mod curves;
mod engine;
mod floats;
mod vectors;

use core::arch::aarch64::*;

use crate::arm::narrow::{self, Dot};
use crate::arm::panel;
use crate::arm::product::{self, Product, Tier};
use crate::arm::unpack::Unpack;
use crate::attention::{KvFormat, KvKernels};
use crate::backend::{Features, Table};
use crate::blocks::*;
use crate::columns::Columns;
use crate::scalar;
use crate::tile::TileMut;

/// What the kernels ask a CPU for.
pub(super) const FEATURES: Features = Features { own: features!("neon"), below: None };

/// The kernels of baseline NEON.
pub const TABLE: Table = Table {
    name: "neon",
    features: FEATURES,
    scratch_bytes: panel::bytes,
    quantize_q8: vectors::quantize_q8,
    rms_norm: vectors::rms_norm,
    rope: vectors::rope,
    silu_mul: vectors::silu_mul,
    gelu_mul: curves::gelu_mul,
    soft_cap: curves::soft_cap,
    add: vectors::add,
    kv: [
        KvKernels { store: vectors::store_f16, ..scalar::TABLE.kv[KvFormat::F16 as usize] },
        KvKernels { store: vectors::store_q8_0, ..scalar::TABLE.kv[KvFormat::Q8_0 as usize] },
        KvKernels { store: vectors::store_q4_0, ..scalar::TABLE.kv[KvFormat::Q4_0 as usize] },
    ],
    attend_join: attention::attend_join,
    ceiling: ceiling::CEILING,
    // The gated delta rule and the scan, since what is compiled for any AArch64 CPU is compiled for NEON.
    ..scalar::TABLE
}
.with_quantized::<Smull>()
.with(Format::F32, floats::matmul::<BlockF32>)
.with(Format::F16, floats::matmul::<BlockF16>)
.with(Format::BF16, floats::matmul::<BlockBF16>)
.with_attention();

impl Tier for Smull {
    unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
        let product = const { &Product::new::<B, Smull>([Some(one::<B>), None, None]) };
        // SAFETY: the same promises; the tier is NEON itself.
        unsafe { product::multiply(product, weights, x, out, scratch) }
    }
}

/// The product with one column.
///
/// # Safety
/// The lengths must be those of [`crate::Backend::matmul`] for one column.
#[target_feature(enable = "neon")]
unsafe fn one<B: Unpack>(weights: &[u8], x: &Columns<'_>, terms: &[f32], out: &mut TileMut<'_>) {
    // SAFETY: the same promises.
    unsafe { narrow::matmul::<B, Smull, 1>(weights, x, terms, out) }
}

/// Eight products per instruction, in 16 bits, that are then added pair by pair to 32.
struct Smull;

impl Dot for Smull {
    #[inline(always)]
    unsafe fn dot16(sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: NEON is baseline.
        unsafe {
            let products = vmull_s8(vget_low_s8(w), vget_low_s8(x));
            vpadalq_s16(sums, vmlal_high_s8(products, w, x))
        }
    }

    #[inline(always)]
    unsafe fn dot32<const SMALL: bool>(sums: int32x4_t, w: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t {
        // SAFETY: NEON is baseline.
        unsafe {
            if !SMALL {
                return Self::dot16(Self::dot16(sums, w[0], x[0]), w[1], x[1]);
            }
            let products = vmull_s8(vget_low_s8(w[0]), vget_low_s8(x[0]));
            let products = vmlal_high_s8(products, w[0], x[0]);
            let products = vmlal_s8(products, vget_low_s8(w[1]), vget_low_s8(x[1]));
            vpadalq_s16(sums, vmlal_high_s8(products, w[1], x[1]))
        }
    }
}
