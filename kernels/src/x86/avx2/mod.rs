//! AVX2 with FMA and F16C: most desktops and servers.

pub(crate) mod attention;
pub(super) mod ceiling;
mod dot;
mod lanes;
mod pairs;
pub(super) mod registers;
pub(crate) mod vectors;

use core::arch::x86_64::{__m256, __m256i};

use crate::attention::{KvFormat, KvKernels};
use crate::backend::{Features, Table};
use crate::columns::Columns;
use crate::scalar;
use crate::tile::TileMut;
use crate::x86::floats::{self, Float, FloatDot};

/// What the kernels ask a CPU for.
pub(super) const FEATURES: Features = Features { own: features!("avx2", "fma", "f16c"), below: None };

/// The kernels of AVX2.
pub const TABLE: Table = Table {
    name: "avx2",
    features: FEATURES,
    quantize_q8: vectors::quantize_q8,
    rms_norm: vectors::rms_norm,
    rope: vectors::rope,
    silu_mul: vectors::silu_mul,
    gelu_mul: vectors::gelu_mul,
    soft_cap: vectors::soft_cap,
    add: vectors::add,
    delta_rule: vectors::delta_rule,
    scan: vectors::scan,
    kv: [
        KvKernels { store: vectors::store_f16, ..scalar::TABLE.kv[KvFormat::F16 as usize] },
        KvKernels { store: vectors::store_q8_0, ..scalar::TABLE.kv[KvFormat::Q8_0 as usize] },
        KvKernels { store: vectors::store_q4_0, ..scalar::TABLE.kv[KvFormat::Q4_0 as usize] },
    ],
    attend_join: attention::attend_join,
    ceiling: ceiling::CEILING,
    ..scalar::TABLE
}
.with_quantized::<Avx2, 8>()
.with_floats::<Avx2, 8>()
.with_attention::<Avx2, 8>();

/// The tier: what is written once for all of them, compiled for its features.
pub(in crate::x86) struct Avx2;

impl FloatDot<8> for Avx2 {
    type V = __m256i;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn matmul<B: Float>(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
        // SAFETY: the same promises.
        unsafe { floats::matmul::<Self, B, 8>(weights, x, out, scratch) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn many_tile<const C: usize>(
        panel: &[[__m256; floats::STRIPS]],
        x: &Columns<'_>,
        from: usize,
        out: &mut TileMut<'_>,
        r: usize,
        c: usize,
    ) {
        // SAFETY: the same promises.
        unsafe { floats::many_tile::<__m256i, 8, C>(panel, x, from, out, r, c) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn reduce_sums(sums: &[__m256], totals: &mut [f32]) {
        // SAFETY: the same promises.
        unsafe { floats::reduce_sums(sums, totals) }
    }
}
