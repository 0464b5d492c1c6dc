//! Keys and values as they are kept, turned into registers of floats. Every format's values are exact as floats, so
//! that a kernel may turn them when it likes.

use crate::attention::KvKernels;
use crate::blocks::{Block, BlockQ4_0, BlockQ8_0, F16};
use crate::x86::attention::all_wide;
use crate::x86::avx2::attention::attend_odd;
use crate::x86::avx2::{self, Avx2};
use crate::x86::register::Floats;
use crate::{KvFormat, scalar};

/// A block of keys or values that is `PARTS` registers of `N` floats.
///
/// # Safety
/// The type must have alignment 1 and no padding, and every bit pattern must be a valid value.
pub(crate) unsafe trait Cached<const N: usize>: Copy {
    /// The format.
    const FORMAT: KvFormat;
    /// Registers of a block, at most 4.
    const PARTS: usize;
    /// What attends from heads that are not whole blocks.
    const ODD: KvKernels;

    /// Part `part` of the block's values.
    ///
    /// # Safety
    /// The CPU must have the features of `F`.
    unsafe fn load<F: Floats<N>>(&self, part: usize) -> F;

    /// Writes the values of the bytes that are left behind the last block of a head.
    fn write_rest(_bytes: &[u8], _out: &mut [f32]) {}
}

/// Sees bytes as blocks; those of an incomplete last block are left out.
#[inline(always)]
pub(crate) fn as_blocks<C: Cached<N>, const N: usize>(bytes: &[u8]) -> &[C] {
    const { assert!(align_of::<C>() == 1) };
    // SAFETY: Cached promises alignment 1 and that any bytes are valid; the length is rounded down to whole blocks.
    unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<C>()) }
}

// SAFETY: bytes only.
unsafe impl Cached<8> for [F16; 8] {
    const FORMAT: KvFormat = KvFormat::F16;
    const PARTS: usize = 1;
    const ODD: KvKernels = KvKernels {
        attend: attend_odd,
        attend_wide: all_wide::<Avx2, Self, 8>,
        ..scalar::TABLE.kv[KvFormat::F16 as usize]
    };

    #[inline(always)]
    unsafe fn load<F: Floats<8>>(&self, _part: usize) -> F {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe { F::halves(self) }
    }

    fn write_rest(bytes: &[u8], out: &mut [f32]) {
        for (half, out) in bytes.as_chunks().0.iter().zip(out) {
            *out = F16(*half).to_f32();
        }
    }
}

// SAFETY: bytes only.
unsafe impl Cached<16> for [F16; 16] {
    const FORMAT: KvFormat = KvFormat::F16;
    const PARTS: usize = 1;
    const ODD: KvKernels = avx2::TABLE.kv[KvFormat::F16 as usize];

    #[inline(always)]
    unsafe fn load<F: Floats<16>>(&self, _part: usize) -> F {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe { F::halves(self) }
    }
}

// SAFETY: repr(C) over bytes, as BlockQ8_0 is.
unsafe impl<const N: usize> Cached<N> for BlockQ8_0 {
    const FORMAT: KvFormat = KvFormat::Q8_0;
    const PARTS: usize = Self::LEN / N;
    // A head of whole blocks is whole registers.
    const ODD: KvKernels = scalar::TABLE.kv[KvFormat::Q8_0 as usize];

    #[inline(always)]
    unsafe fn load<F: Floats<N>>(&self, part: usize) -> F {
        let q = self.qs.as_chunks().0;
        // SAFETY: the CPU's features are promised by the caller.
        unsafe { F::bytes(&q[part]).mul(F::splat_half(self.d)) }
    }
}

// SAFETY: repr(C) over bytes, as BlockQ4_0 is.
unsafe impl<const N: usize> Cached<N> for BlockQ4_0 {
    const FORMAT: KvFormat = KvFormat::Q4_0;
    const PARTS: usize = Self::LEN / N;
    // A head of whole blocks is whole registers.
    const ODD: KvKernels = scalar::TABLE.kv[KvFormat::Q4_0 as usize];

    #[inline(always)]
    unsafe fn load<F: Floats<N>>(&self, part: usize) -> F {
        let qs = self.qs.as_chunks().0;
        let half = Self::LEN / N / 2;
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let q = if part < half { F::low_nibbles(&qs[part]) } else { F::high_nibbles(&qs[part - half]) };
            q.mul(F::splat_half(self.d))
        }
    }
}
