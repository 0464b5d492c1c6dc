//! Floor 1. The registry of tensor formats: ggml's number and name of each, and our kernels' format where we have it.
#![forbid(unsafe_code)]

use bantam_kernels::Format;

/// A tensor's type as the file states it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TensorType {
    /// A format that our kernels multiply with.
    Known(Format),
    /// Another number of ggml's.
    Other(u32),
}

/// ggml's numbers for the formats we have.
const KNOWN: [(u32, Format); Format::COUNT] = [
    (0, Format::F32),
    (1, Format::F16),
    (2, Format::Q4_0),
    (3, Format::Q4_1),
    (6, Format::Q5_0),
    (7, Format::Q5_1),
    (8, Format::Q8_0),
    (10, Format::Q2_K),
    (11, Format::Q3_K),
    (12, Format::Q4_K),
    (13, Format::Q5_K),
    (14, Format::Q6_K),
    (20, Format::IQ4_NL),
    (23, Format::IQ4_XS),
    (30, Format::BF16),
    (39, Format::MXFP4),
];

/// ggml's names for the numbers that we only report.
const OTHER: [(u32, &str); 17] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (40, "NVFP4"),
];

impl TensorType {
    /// The type of ggml's number.
    pub fn from_number(number: u32) -> TensorType {
        let known = KNOWN.iter().find(|(known, _)| *known == number);
        known.map_or(TensorType::Other(number), |(_, format)| TensorType::Known(*format))
    }

    /// ggml's number of the type.
    pub fn number(self) -> u32 {
        match self {
            TensorType::Known(format) => {
                KNOWN.iter().find(|(_, known)| *known == format).map_or(u32::MAX, |(number, _)| *number)
            }
            TensorType::Other(number) => number,
        }
    }

    /// The type's name, as ggml spells it.
    pub fn name(self) -> &'static str {
        match self {
            TensorType::Known(format) => format.name(),
            TensorType::Other(number) => {
                OTHER.iter().find(|(other, _)| *other == number).map_or("unknown", |(_, name)| name)
            }
        }
    }
}
