//! What unpacking weights asks of a register of integers, for every width of it.

use super::register::Floats;
use crate::blocks::F16;

/// A register with one 32-bit lane for each of `N` rows. Every operation is on each lane, and asks for the CPU's
/// features of the tier that the register belongs to.
#[allow(clippy::missing_safety_doc, reason = "the trait's own words hold for all of it")]
pub(crate) trait Lanes<const N: usize>: Copy {
    /// A register of as many floats.
    type Floats: Floats<N>;

    /// The same number in every lane.
    unsafe fn splat(number: i32) -> Self;
    /// A little-endian word of each row.
    unsafe fn words(rows: [[u8; 4]; N]) -> Self;
    /// Sixteen bytes of each row, transposed: register `i` holds bytes `4 i .. 4 i + 4` of each.
    unsafe fn transpose<T>(rows: [&[T; 16]; N]) -> [Self; 4];
    /// Two halves of each row, as floats: the first of each, and the second.
    unsafe fn half_pairs(rows: [[F16; 2]; N]) -> (Self::Floats, Self::Floats);

    /// Each byte shifted right, and masked: by a mask of no more bits than are left of a byte.
    unsafe fn bits(self, shift: usize, mask: i8) -> Self;
    /// Each byte shifted left; no bit may leave it.
    unsafe fn shl_bytes(self, shift: usize) -> Self;
    /// The bits of both.
    unsafe fn or(self, other: Self) -> Self;
    /// Each lane shifted right, and masked.
    unsafe fn shr(self, shift: usize, mask: u32) -> Self;
    /// Each lane shifted left, and masked.
    unsafe fn shl(self, shift: usize, mask: u32) -> Self;
    /// Each lane plus another.
    unsafe fn add(self, other: Self) -> Self;
    /// Each byte less a number.
    unsafe fn sub_bytes(self, number: i8) -> Self;
    /// Each lane, a signed number, as a float.
    unsafe fn to_floats(self) -> Self::Floats;
    /// The bits, as floats.
    unsafe fn as_floats(self) -> Self::Floats;
    /// The lower half of each lane, a 16-bit float, as floats.
    unsafe fn halves(self) -> Self::Floats;
    /// Bits `4 i .. 4 i + 4` of the lane, one at bit 4 of each of its bytes.
    unsafe fn fifth_bits(self, i: usize) -> Self;
    /// For each byte, an index, the level of a table.
    unsafe fn lookup(self, table: &[i8; 16]) -> Self;

    /// Byte `i` of the lane, times a float.
    unsafe fn byte_times(self, i: usize, factor: Self::Floats) -> Self::Floats;
    /// Byte `i` of the lane, a signed number, times a float.
    unsafe fn signed_byte_times(self, i: usize, factor: Self::Floats) -> Self::Floats;
}
