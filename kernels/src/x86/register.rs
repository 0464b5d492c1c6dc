//! `N` floats in a register: what the kernels that are written once for registers of any width ask of a tier.

use crate::blocks::F16;

/// A register of `N` floats.
///
/// # Safety
/// Every function may be called only on a CPU that has the tier's features.
pub(crate) trait Floats<const N: usize>: Copy {
    /// The order in which [`Floats::reduce_sums`] adds lanes: neighbours here, then neighbours of such sums, and so on.
    const ORDER: &'static [[usize; 4]];

    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self;
    /// All lanes the value of `x`.
    unsafe fn splat_half(x: F16) -> Self;
    /// Lane `i` is `x[i]`.
    unsafe fn load(x: &[f32; N]) -> Self;
    /// Lane `i` is the float of little-endian bytes `x[i]`.
    unsafe fn words(x: &[[u8; 4]; N]) -> Self;
    /// Lane `i` is the value of `x[i]`.
    unsafe fn halves(x: &[F16; N]) -> Self;
    /// Lane `i` is the float whose upper half is `x[i]`, and whose lower is 0.
    unsafe fn upper_halves(x: &[[u8; 2]; N]) -> Self;
    /// Lane `i` is `x[i]`.
    unsafe fn bytes(x: &[i8; N]) -> Self;
    /// Lane `i` is the lower nibble of `x[i]`, less 8.
    unsafe fn low_nibbles(x: &[u8; N]) -> Self;
    /// Lane `i` is the upper nibble of `x[i]`, less 8.
    unsafe fn high_nibbles(x: &[u8; N]) -> Self;
    /// Writes the lanes.
    unsafe fn store(self, out: &mut [f32; N]);
    /// `self + x`
    unsafe fn add(self, x: Self) -> Self;
    /// `self - x`
    unsafe fn sub(self, x: Self) -> Self;
    /// `-self`
    unsafe fn neg(self) -> Self;
    /// `self * x`
    unsafe fn mul(self, x: Self) -> Self;
    /// `self / x`
    unsafe fn div(self, x: Self) -> Self;
    /// `self * x + y`, rounded once.
    unsafe fn mul_add(self, x: Self, y: Self) -> Self;
    /// The greater of each two lanes; `x` where one is no number.
    unsafe fn max(self, x: Self) -> Self;
    /// `self` in the lanes where `x < y`, else -inf.
    unsafe fn where_less(self, x: Self, y: Self) -> Self;
    /// `e` to the power of each lane, within 2 units in the last place. What is less than the least normal number is 0,
    /// and what is more than 2^127.5 infinite.
    unsafe fn exp(self) -> Self;
    /// The sum of all lanes: the upper half is added to the lower, and so on.
    unsafe fn reduce_sum(self) -> f32;
    /// The sums of all lanes of each of four registers, in [`Floats::ORDER`].
    unsafe fn reduce_sums(registers: [Self; 4]) -> [f32; 4];
    /// The greatest of all lanes.
    unsafe fn reduce_max(self) -> f32;
}
