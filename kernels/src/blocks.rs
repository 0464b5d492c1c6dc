//! The weight formats: for each, the block of bytes that holds a run of consecutive weights of one row.
//! Layouts are ggml's, little-endian. Every block has alignment 1 and no padding, so a tensor is used at any offset
//! of any file.

use half::{bf16, f16};

use crate::columns::Scales;

/// Two little-endian bytes of an IEEE 754 half.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F16(pub [u8; 2]);

impl F16 {
    /// The value, exactly.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f16::from_le_bytes(self.0).to_f32()
    }
}

/// A block whose bytes may be anything: reading one from a mapped file is always defined.
///
/// # Safety
/// The type must be `repr(C)` or `repr(transparent)`, have alignment 1 and no padding, and every bit pattern must be
/// a valid value.
pub unsafe trait Block: Copy {
    /// The format this is the block of.
    const FORMAT: Format;
    /// Weights per block.
    const LEN: usize;
}

/// Sees a run of bytes as blocks; bytes of an incomplete last block are left out.
#[inline(always)]
pub fn as_blocks<B: Block>(bytes: &[u8]) -> &[B] {
    const { assert!(align_of::<B>() == 1) };
    // SAFETY: Block promises alignment 1 and that any bytes are valid; the length is rounded down to whole blocks.
    unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<B>()) }
}

/// Sees bytes as floats, in place; `None` if they do not start at a multiple of 4 or are not whole floats.
pub fn as_f32(bytes: &[u8]) -> Option<&[f32]> {
    // Only a little-endian machine has the file's byte order.
    const { assert!(cfg!(target_endian = "little")) };
    // SAFETY: any bytes are a float.
    match unsafe { bytes.align_to() } {
        ([], floats, []) => Some(floats),
        _ => None,
    }
}

/// Declares [`Format`] from one line per format: its block and how many weights a block holds.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $block:ident, $len:expr;)*) => {
        /// A way to store the weights of a tensor.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[allow(non_camel_case_types)]
        pub enum Format { $($(#[$doc])* $name,)* }

        impl Format {
            /// Every format, in the order of the table of kernels.
            pub const ALL: &[Format] = &[$(Format::$name),*];
            /// How many formats there are.
            pub const COUNT: usize = Format::ALL.len();

            /// The format's name, as ggml spells it.
            pub const fn name(self) -> &'static str {
                match self { $(Format::$name => stringify!($name),)* }
            }

            /// Weights per block.
            pub const fn block_len(self) -> usize {
                match self { $(Format::$name => $len,)* }
            }

            /// Bytes per block.
            pub const fn block_bytes(self) -> usize {
                match self { $(Format::$name => size_of::<$block>(),)* }
            }
        }

        $(
            // SAFETY: each block below is repr(C) or repr(transparent) over byte arrays only.
            unsafe impl Block for $block {
                const FORMAT: Format = Format::$name;
                const LEN: usize = $len;
            }
        )*
    };
}

formats! {
    /// 32-bit float.
    F32 = BlockF32, 1;
    /// 16-bit IEEE half.
    F16 = BlockF16, 1;
    /// The upper half of a 32-bit float.
    BF16 = BlockBF16, 1;
    /// 8 bits, one scale per 32.
    Q8_0 = BlockQ8_0, 32;
    /// 4 bits, one scale per 32.
    Q4_0 = BlockQ4_0, 32;
    /// 4 bits, scale and minimum per 32.
    Q4_1 = BlockQ4_1, 32;
    /// 5 bits, one scale per 32.
    Q5_0 = BlockQ5_0, 32;
    /// 5 bits, scale and minimum per 32.
    Q5_1 = BlockQ5_1, 32;
    /// 2 bits in a super-block of 256: 4-bit scale and minimum per 16.
    Q2_K = BlockQ2K, 256;
    /// 3 bits in a super-block of 256: 6-bit scale per 16.
    Q3_K = BlockQ3K, 256;
    /// 4 bits in a super-block of 256: 6-bit scale and minimum per 32.
    Q4_K = BlockQ4K, 256;
    /// 5 bits in a super-block of 256: 6-bit scale and minimum per 32.
    Q5_K = BlockQ5K, 256;
    /// 6 bits in a super-block of 256: 8-bit scale per 16.
    Q6_K = BlockQ6K, 256;
    /// 4 bits through a table of 16 values, one scale per 32.
    IQ4_NL = BlockIQ4NL, 32;
    /// 4 bits through a table of 16 values in a super-block of 256: 6-bit scale per 32.
    IQ4_XS = BlockIQ4XS, 256;
    /// 4-bit floats, one power of two per 32.
    MXFP4 = BlockMXFP4, 32;
}

impl Format {
    /// Bytes of a row of `k` weights; `None` if `k` is not a whole number of blocks, or the product overflows.
    pub const fn row_bytes(self, k: usize) -> Option<usize> {
        if !k.is_multiple_of(self.block_len()) {
            return None;
        }
        (k / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Whether the format's kernels multiply with 8-bit activations (else with 32-bit floats).
    pub const fn wants_q8(self) -> bool {
        self.scales().is_some()
    }

    /// The scales of the 8-bit activations that the format's kernels multiply with; `None` if these are 32-bit floats.
    /// Super-blocks, which others multiply with one scale for 256 activations, want powers of two.
    pub const fn scales(self) -> Option<Scales> {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => None,
            _ if self.block_len() == 256 => Some(Scales::Powers),
            _ => Some(Scales::Least),
        }
    }
}

/// One 32-bit float.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct BlockF32(pub [u8; 4]);

impl BlockF32 {
    /// The value.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_le_bytes(self.0)
    }
}

/// One half.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct BlockF16(pub F16);

/// One bfloat16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct BlockBF16(pub [u8; 2]);

impl BlockBF16 {
    /// The value, exactly.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        bf16::from_le_bytes(self.0).to_f32()
    }
}

/// `w[i] = d * qs[i]`
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale.
    pub d: F16,
    /// Signed weights, in order.
    pub qs: [i8; 32],
}

/// `w[i] = d * (q[i] - 8)`
///
/// ```text
/// byte j of qs:  | q[j + 16] : 4 | q[j] : 4 |     j = 0..16
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// Scale.
    pub d: F16,
    /// Nibbles: the first half of the block low, the second half high.
    pub qs: [u8; 16],
}

/// `w[i] = d * q[i] + m`, nibbles as in [`BlockQ4_0`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ4_1 {
    /// Scale.
    pub d: F16,
    /// Minimum.
    pub m: F16,
    /// Nibbles.
    pub qs: [u8; 16],
}

/// `w[i] = d * (q[i] - 16)`; the low 4 bits as in [`BlockQ4_0`], bit `i` of `qh` (a little-endian word) is bit 4 of
/// `q[i]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ5_0 {
    /// Scale.
    pub d: F16,
    /// Fifth bits.
    pub qh: [u8; 4],
    /// Nibbles.
    pub qs: [u8; 16],
}

/// `w[i] = d * q[i] + m`, bits as in [`BlockQ5_0`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ5_1 {
    /// Scale.
    pub d: F16,
    /// Minimum.
    pub m: F16,
    /// Fifth bits.
    pub qh: [u8; 4],
    /// Nibbles.
    pub qs: [u8; 16],
}

/// `w[i] = d * scale[i / 16] * q[i] - dmin * min[i / 16]`
///
/// ```text
/// byte s of scales:            | min[s] : 4 | scale[s] : 4 |                        s = 0..16
/// byte 32 h + l of qs:         | q[128h+96+l] : 2 | q[128h+64+l] | q[128h+32+l] | q[128h+l] |
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ2K {
    /// Scale and minimum of each 16.
    pub scales: [u8; 16],
    /// Crumbs.
    pub qs: [u8; 64],
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minima.
    pub dmin: F16,
}

/// `w[i] = d * (scale[i / 16] - 32) * (q[i] - 4)`, where the low two bits of `q` lie as in [`BlockQ2K`].
///
/// ```text
/// hmask:   bit 4h + j of byte l is bit 2 of q[128h + 32j + l]              h = 0..2, j = 0..4, l = 0..32
/// scales:  byte s      (s = 0..8)   | scale[s + 8] bits 0-3 : 4 | scale[s] bits 0-3 : 4 |
///          byte 8 + t  (t = 0..4)   | scale[t+12] | scale[t+8] | scale[t+4] | scale[t] |   bits 4-5 of each
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ3K {
    /// Third bits.
    pub hmask: [u8; 32],
    /// Low two bits.
    pub qs: [u8; 64],
    /// Sixteen 6-bit scales.
    pub scales: [u8; 12],
    /// Scale of the scales.
    pub d: F16,
}

/// `w[i] = d * scale[i / 32] * q[i] - dmin * min[i / 32]`
///
/// ```text
/// byte 32 p + l of qs:   | q[64p + 32 + l] : 4 | q[64p + l] : 4 |              p = 0..4, l = 0..32
/// scales:  byte s      (s = 0..4)   | scale[s+4] bits 4-5 : 2 | scale[s] : 6 |
///          byte 4 + s  (s = 0..4)   | min[s+4]   bits 4-5 : 2 | min[s]   : 6 |
///          byte 8 + s  (s = 0..4)   | min[s+4] bits 0-3 : 4 | scale[s+4] bits 0-3 : 4 |
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ4K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minima.
    pub dmin: F16,
    /// Eight 6-bit scales and eight 6-bit minima.
    pub scales: [u8; 12],
    /// Nibbles.
    pub qs: [u8; 128],
}

/// As [`BlockQ4K`], with a fifth bit: bit `s` of `qh[l]` is bit 4 of `q[32 s + l]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ5K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minima.
    pub dmin: F16,
    /// Eight 6-bit scales and eight 6-bit minima.
    pub scales: [u8; 12],
    /// Fifth bits.
    pub qh: [u8; 32],
    /// Nibbles.
    pub qs: [u8; 128],
}

/// `w[i] = d * scales[i / 16] * (q[i] - 32)`
///
/// ```text
/// byte 64 h + l of ql:   | q[128h+64+l] bits 0-3 : 4 | q[128h+l] bits 0-3 : 4 |          l = 0..64
/// byte 32 h + l of qh:   | q[128h+96+l] : 2 | q[128h+64+l] | q[128h+32+l] | q[128h+l] |   bits 4-5, l = 0..32
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockQ6K {
    /// Low four bits.
    pub ql: [u8; 128],
    /// High two bits.
    pub qh: [u8; 64],
    /// Scale of each 16.
    pub scales: [i8; 16],
    /// Scale of the scales.
    pub d: F16,
}

/// `w[i] = d * IQ4_VALUES[q[i]]`, nibbles as in [`BlockQ4_0`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockIQ4NL {
    /// Scale.
    pub d: F16,
    /// Indices into [`IQ4_VALUES`].
    pub qs: [u8; 16],
}

/// `w[i] = d * (scale[i / 32] - 32) * IQ4_VALUES[q[i]]`
///
/// ```text
/// byte 16 s + l of qs:   | q[32s + 16 + l] : 4 | q[32s + l] : 4 |           s = 0..8, l = 0..16
/// byte j of scales_l:    | scale[2j+1] bits 0-3 : 4 | scale[2j] bits 0-3 : 4 |
/// scales_h (LE word):    bits 2s, 2s+1 are bits 4-5 of scale[s]
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockIQ4XS {
    /// Scale of the scales.
    pub d: F16,
    /// High two bits of the scales.
    pub scales_h: [u8; 2],
    /// Low four bits of the scales.
    pub scales_l: [u8; 4],
    /// Indices into [`IQ4_VALUES`].
    pub qs: [u8; 128],
}

/// The sixteen levels of the non-linear 4-bit formats.
pub const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// `w[i] = 2^(e - 128) * FP4_VALUES[q[i]]`, nibbles as in [`BlockQ4_0`]: the microscaling format of the Open Compute Project.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlockMXFP4 {
    /// Exponent of the scale, as the standard biases it by 127; the levels are doubled.
    pub e: u8,
    /// Indices into [`FP4_VALUES`].
    pub qs: [u8; 16],
}

impl BlockMXFP4 {
    /// The scale of the doubled levels, exactly. The least two exponents give subnormal numbers.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        match u32::from(self.e) {
            e @ 0..2 => f32::from_bits(1 << (21 + e)),
            e => f32::from_bits((e - 1) << 23),
        }
    }
}

/// The sixteen floats of four bits, doubled: bit 3 is the sign, bits 1 and 2 an exponent, bit 0 a fraction.
pub const FP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_ggmls_sizes() {
        let sizes: [usize; Format::COUNT] =
            [4, 2, 2, 34, 18, 20, 22, 24, 84, 110, 144, 176, 210, 18, 136, 17];
        for (format, size) in Format::ALL.iter().zip(sizes) {
            assert_eq!(format.block_bytes(), size, "{}", format.name());
        }
    }

    #[test]
    fn a_row_must_be_whole_blocks() {
        assert_eq!(Format::Q4_0.row_bytes(64), Some(36));
        assert_eq!(Format::Q4_0.row_bytes(33), None);
        assert_eq!(Format::F32.row_bytes(usize::MAX), None);
    }
}
