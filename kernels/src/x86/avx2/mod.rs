//! AVX2 with FMA and F16C: most desktops and servers.

pub(crate) mod attention;
pub(super) mod ceiling;
pub(super) mod dot;
mod lanes;
pub(super) mod registers;
pub(crate) mod vectors;

use core::arch::x86_64::{__m256, __m256i};

use crate::attention::{KvFormat, KvKernels};
use crate::backend::{FormatKernels, Table};
use crate::blocks::{BlockBF16, BlockF16, BlockF32, Format};
use crate::columns::Columns;
use crate::scalar;
use crate::tile::TileMut;
use crate::x86::floats::{self, Float};
use crate::x86::{attention as attend, matmul};
use dot::Avx2;

/// The kernels of AVX2.
pub const TABLE: Table = attend::table::<attention::Avx2, 8>(matmul::table::<Avx2, 8>(
    supported,
    Table {
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
    },
))
.with(Format::F32, floats_of::<BlockF32>())
.with(Format::F16, floats_of::<BlockF16>())
.with(Format::BF16, floats_of::<BlockBF16>());

/// The products of floats of this tier.
struct Tier;

impl floats::Tier<8> for Tier {
    type V = __m256i;

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
    unsafe fn totals(sums: &[__m256], totals: &mut [f32]) {
        // SAFETY: the same promises.
        unsafe { floats::totals(sums, totals) }
    }
}

const fn floats_of<B: Float>() -> FormatKernels {
    FormatKernels {
        origin: "avx2",
        matmul: multiply_floats::<B>,
        ..scalar::TABLE.formats[B::FORMAT as usize]
    }
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the features, and the lengths must be what [`crate::Backend::matmul`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_floats<B: Float>(
    weights: &[u8],
    x: &Columns<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut [u8],
) {
    // SAFETY: the same promises.
    unsafe { floats::matmul::<Tier, B, 8>(weights, x, out, scratch) }
}

fn supported() -> bool {
    has!("avx2", "fma", "f16c")
}
