//! Baseline NEON: every AArch64 CPU.

mod attention;
pub(super) mod ceiling;
mod curves;
mod floats;
mod vectors;
mod wide;

use core::arch::aarch64::*;

use crate::arm::narrow::{self, Dot};
use crate::arm::neon::floats::Float;
use crate::arm::panel;
use crate::arm::product::{self, Product};
use crate::arm::unpack::Unpack;
use crate::attention::{KvFormat, KvKernels};
use crate::backend::{FormatKernels, Table};
use crate::blocks::*;
use crate::columns::Columns;
use crate::scalar;
use crate::tile::TileMut;

/// The kernels of baseline NEON.
pub const TABLE: Table = attention::table(Table {
    name: "neon",
    supported,
    formats: scalar::TABLE.formats,
    scratch_bytes: panel::bytes,
    quantize_q8: vectors::quantize_q8,
    rms_norm: vectors::rms_norm,
    rope: vectors::rope,
    silu_mul: vectors::silu_mul,
    gelu_mul: curves::gelu_mul,
    soft_cap: curves::soft_cap,
    add: vectors::add,
    // Compiled for any AArch64 CPU, they are compiled for NEON.
    delta_rule: scalar::TABLE.delta_rule,
    scan: scalar::TABLE.scan,
    kv: [
        KvKernels { store: vectors::store_f16, ..scalar::TABLE.kv[KvFormat::F16 as usize] },
        KvKernels { store: vectors::store_q8_0, ..scalar::TABLE.kv[KvFormat::Q8_0 as usize] },
        KvKernels { store: vectors::store_q4_0, ..scalar::TABLE.kv[KvFormat::Q4_0 as usize] },
    ],
    attend_join: attention::attend_join,
    attend_scratch: scalar::TABLE.attend_scratch,
    ceiling: ceiling::CEILING,
})
.with(Format::F32, floats::<BlockF32>())
.with(Format::F16, floats::<BlockF16>())
.with(Format::BF16, floats::<BlockBF16>())
.with(Format::Q8_0, quantized::<BlockQ8_0>())
.with(Format::Q4_0, quantized::<BlockQ4_0>())
.with(Format::Q4_1, quantized::<BlockQ4_1>())
.with(Format::Q5_0, quantized::<BlockQ5_0>())
.with(Format::Q5_1, quantized::<BlockQ5_1>())
.with(Format::Q2_K, quantized::<BlockQ2K>())
.with(Format::Q3_K, quantized::<BlockQ3K>())
.with(Format::Q4_K, quantized::<BlockQ4K>())
.with(Format::Q5_K, quantized::<BlockQ5K>())
.with(Format::Q6_K, quantized::<BlockQ6K>())
.with(Format::IQ4_NL, quantized::<BlockIQ4NL>())
.with(Format::IQ4_XS, quantized::<BlockIQ4XS>())
.with(Format::MXFP4, quantized::<BlockMXFP4>());

fn supported() -> bool {
    has!("neon")
}

const fn floats<B: Float>() -> FormatKernels {
    FormatKernels { origin: "neon", matmul: floats::matmul::<B>, ..scalar::TABLE.formats[B::FORMAT as usize] }
}

const fn quantized<B: Unpack>() -> FormatKernels {
    FormatKernels { origin: "neon", matmul: matmul::<B>, ..scalar::TABLE.formats[B::FORMAT as usize] }
}

/// See [`crate::Backend::matmul`].
unsafe fn matmul<B: Unpack>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    let product = const { &Product::new::<B, Smull>([Some(one::<B>), None, None]) };
    // SAFETY: the caller checked the lengths; the tier is NEON itself.
    unsafe { product::multiply(product, weights, x, out, scratch) }
}

/// The product with one column.
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
