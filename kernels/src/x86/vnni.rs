//! Chunks times columns with `vpdpbusd`, for the tiers that have it in one of its encodings.

use super::activations::Column;
use super::chunk::*;
use super::lanes::Lanes;
use super::matmul::Dot;

/// What weights that are signed are raised by; as many times the sum of the activations is taken off.
pub(super) const SIGNED_OFFSET: i32 = 128;

/// A tier with `vpdpbusd`.
pub(super) trait Vnni<const N: usize>: Dot<N> {
    /// Adds four products of an unsigned byte of `w` and a signed one of `x` to each lane.
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    unsafe fn dot(sums: Self::V, w: Self::V, x: Self::V) -> Self::V;
}

/// See [`Dot::dots`].
///
/// # Safety
/// As [`Dot::dots`].
#[inline(always)]
pub(super) unsafe fn dots<T: Vnni<N>, K: Kind, const N: usize, const S: usize, const C: usize>(
    chunks: [&Chunk<T::V, N>; S],
    columns: &[Column<'_>; C],
    b: usize,
    g: usize,
    dots: &mut [[T::V; S]; C],
) {
    let steps = const { STEPS / K::GROUPS };
    for i in g * steps..(g + 1) * steps {
        // SAFETY: the CPU's features, and that there is a block `b`, is promised by the caller.
        unsafe {
            let mut w = chunks.map(|chunk| chunk.w[i]);
            if K::SIGNED {
                for s in 0..S {
                    w[s] = w[s].sub_bytes(SIGNED_OFFSET as i8);
                }
            }
            for c in 0..C {
                let x = T::V::splat(columns[c].step(b, i));
                for s in 0..S {
                    dots[c][s] = T::dot(dots[c][s], w[s], x);
                }
            }
        }
    }
}
