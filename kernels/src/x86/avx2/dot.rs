//! Chunks times columns with `vpmaddubsw`, which adds two products of an unsigned and a signed byte to 16 bits, and
//! saturates: as many steps are added up in 16 bits as surely fit, before the sums are widened.

use core::arch::x86_64::*;

use super::Avx2;
use super::pairs::Pairs;
use crate::tile::TileMut;
use crate::x86::activations::{Activations, Column};
use crate::x86::chunk::*;
use crate::x86::matmul::{self, Corner, Dot, Place, Strip, Tier, Whole, compile_for};

/// Strips of eight rows.
impl Dot<8> for Avx2 {
    type V = __m256i;
    const SIGNED_OFFSET: i32 = 0;
    const SPLITS: bool = true;
    const BASES: bool = false;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn dots<K: Kind, const S: usize, const C: usize>(
        chunks: [&Chunk<__m256i, 8>; S],
        columns: &[Column<'_>; C],
        b: usize,
        g: usize,
        dots: &mut [[__m256i; S]; C],
    ) {
        let steps = const { STEPS / K::GROUPS };
        let mut sums = [[_mm256_setzero_si256(); S]; C];
        for i in 0..steps {
            let step = g * steps + i;
            for c in 0..C {
                // SAFETY: there is a block `b`, promises the caller.
                let x = _mm256_set1_epi32(unsafe { columns[c].step(b, step) });
                for s in 0..S {
                    let w = chunks[s].w[step];
                    let products = if K::SIGNED {
                        // |w| (x sign(w)): 128 for -128 is an unsigned byte, and x is never -128.
                        _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                    } else {
                        _mm256_maddubs_epi16(w, x)
                    };
                    sums[c][s] = _mm256_add_epi16(sums[c][s], products);
                }
            }
            if K::SIGNED || i == steps - 1 || K::SPLIT && i == steps / 2 - 1 {
                for c in 0..C {
                    for s in 0..S {
                        let wide = _mm256_madd_epi16(sums[c][s], _mm256_set1_epi16(1));
                        dots[c][s] = _mm256_add_epi32(dots[c][s], wide);
                        sums[c][s] = _mm256_setzero_si256();
                    }
                }
            }
        }
    }
}

impl Tier<8> for Avx2 {
    type Few = Pairs;
    type Panels = Self;
    const FEW: usize = 2;
    const PANEL: usize = 2048;
    const COLUMNS: usize = 4;

    compile_for!("avx2,fma,f16c", 8, 1);
}
