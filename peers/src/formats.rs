//! `golden formats`: raw blocks of every tensor format with the f32 values that ggml makes of them.
//!
//! Layout of a file, all little-endian (told again in tests/golden/README.md):
//! ```text
//! u32 type id | u32 values per row | u32 rows | u32 bytes per row | rows x bytes | rows x values f32
//! ```
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::ggml::Type;
use crate::random::Random;

/// Values of one row: one block of the largest formats.
const ROW: usize = 256;

/// Name of the file, number of the type, and the byte offsets of the floating-point numbers inside one block.
const FORMATS: &[(&str, u32, Floats)] = &[
    ("f32", 0, Floats::Single),
    ("f16", 1, Floats::Half(&[0])),
    ("bf16", 30, Floats::Brain),
    ("q8_0", 8, Floats::Half(&[0])),
    ("q4_0", 2, Floats::Half(&[0])),
    ("q4_1", 3, Floats::Half(&[0, 2])),
    ("q5_0", 6, Floats::Half(&[0])),
    ("q5_1", 7, Floats::Half(&[0, 2])),
    ("q2_k", 10, Floats::Half(&[80, 82])),
    ("q3_k", 11, Floats::Half(&[108])),
    ("q4_k", 12, Floats::Half(&[0, 2])),
    ("q5_k", 13, Floats::Half(&[0, 2])),
    ("q6_k", 14, Floats::Half(&[208])),
    ("iq4_nl", 20, Floats::Half(&[0])),
    ("iq4_xs", 23, Floats::Half(&[0])),
    ("mxfp4", 39, Floats::Exponent),
];

/// The model that most of the work is done with.
pub(crate) const DEMO: &str = "models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// The name of a format as this table spells it, from any spelling.
pub(crate) fn known(name: &str) -> Result<&'static str> {
    match FORMATS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)) {
        Some((known, ..)) => Ok(known),
        None => {
            let names: Vec<&str> = names().collect();
            bail!("no format {name}; there are {}", names.join(" "))
        }
    }
}

/// The names of all formats.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|(name, ..)| *name)
}

/// ggml's number of a format.
pub(crate) fn number(name: &str) -> Result<u32> {
    let name = known(name)?;
    FORMATS
        .iter()
        .find(|(known, ..)| *known == name)
        .map(|(_, id, _)| *id)
        .context("a known format has a number")
}

/// Where a block keeps floating-point numbers: arbitrary bits there must not become infinities or NaN.
enum Floats {
    /// The block is one f32.
    Single,
    /// The block is one bf16.
    Brain,
    /// f16 numbers at these byte offsets.
    Half(&'static [usize]),
    /// The exponent of a power of two in the first byte, biased by 128, times up to 12.
    Exponent,
}

impl Floats {
    /// Clears the lowest exponent bit wherever all of them are set: the number becomes finite, its sign stays.
    fn make_finite(&self, block: &mut [u8]) {
        match self {
            Self::Single if block[3] & 0x7f == 0x7f && block[2] & 0x80 != 0 => block[2] &= !0x80,
            Self::Brain if block[1] & 0x7f == 0x7f && block[0] & 0x80 != 0 => block[0] &= !0x80,
            Self::Exponent if block[0] >= 0xfc => block[0] &= !0x04,
            Self::Half(offsets) => {
                for high in offsets.iter().map(|offset| offset + 1) {
                    if block[high] & 0x7c == 0x7c {
                        block[high] &= !0x04;
                    }
                }
            }
            Self::Single | Self::Brain | Self::Exponent => {}
        }
    }

    /// Writes 1.0 to each of the numbers.
    fn make_one(&self, block: &mut [u8]) {
        match self {
            Self::Single => block.copy_from_slice(&1f32.to_le_bytes()),
            Self::Brain => block.copy_from_slice(&[0x80, 0x3f]),
            Self::Exponent => block[0] = 128,
            Self::Half(offsets) => {
                for &offset in *offsets {
                    block[offset..offset + 2].copy_from_slice(&[0x00, 0x3c]);
                }
            }
        }
    }
}

/// Writes one file per format into `folder`.
pub(crate) fn write(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for (name, id, floats) in FORMATS {
        let format = Type::by_id(*id)?;
        let mut rows = Vec::new();
        for values in weights(&mut Random::new(1)) {
            rows.push(format.quantize(&values)?);
        }
        rows.extend(bits(&format, floats, &mut Random::new(2))?);
        let path = folder.join(format!("{name}.bin"));
        std::fs::write(&path, file(&format, &rows)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    println!("{} formats -> {}", FORMATS.len(), folder.display());
    Ok(())
}

/// Rows of numbers for ggml to quantise: what real tensors hold, and what breaks quantisers.
fn weights(random: &mut Random) -> Vec<Vec<f32>> {
    let mut gaussian = |mean: f32, deviation: f32| -> Vec<f32> {
        (0..ROW).map(|_| mean + deviation * random.gaussian()).collect()
    };
    let typical = gaussian(0.0, 0.02);
    let wide = gaussian(0.0, 1.0);
    let shifted = gaussian(0.1, 0.02);
    let subnormal_scale = gaussian(0.0, 1e-5);
    let mut negative_maxima = gaussian(0.0, 1.0);
    negative_maxima.iter_mut().skip(5).step_by(32).for_each(|value| *value = -8.0);
    let mut spike = vec![0.0; ROW];
    spike[77] = -3.0;
    let ramp = (0..ROW).map(|index| index as f32 / 127.5 - 1.0).collect();
    let alternating = (0..ROW).map(|index| if index % 2 == 0 { 0.75 } else { -0.75 }).collect();
    vec![
        typical,
        wide,
        shifted,
        subnormal_scale,
        vec![0.0; ROW],
        spike,
        negative_maxima,
        vec![-0.5; ROW],
        ramp,
        alternating,
    ]
}

/// Rows of blocks that no quantiser writes but a file may hold: all bits set, only sign bits, random bits.
fn bits(format: &Type, floats: &Floats, random: &mut Random) -> Result<Vec<Vec<u8>>> {
    let bytes = format.row_bytes(ROW)?;
    let mut rows = vec![vec![0xffu8; bytes], vec![0x80u8; bytes]];
    rows[1].chunks_mut(format.block_bytes).for_each(|block| floats.make_one(block));
    for _ in 0..4 {
        rows.push((0..bytes).map(|_| random.byte()).collect());
    }
    for row in &mut rows {
        row.chunks_mut(format.block_bytes).for_each(|block| floats.make_finite(block));
    }
    Ok(rows)
}

/// The bytes of one golden file.
fn file(format: &Type, rows: &[Vec<u8>]) -> Result<Vec<u8>> {
    let row_bytes = format.row_bytes(ROW)?;
    let mut bytes = Vec::new();
    for number in [format.id, ROW as u32, u32::try_from(rows.len())?, u32::try_from(row_bytes)?] {
        bytes.extend(number.to_le_bytes());
    }
    rows.iter().for_each(|row| bytes.extend(row));
    for row in rows {
        for value in format.dequantize(row)? {
            ensure!(value.is_finite(), "type {} makes {value} of finite scales", format.id);
            bytes.extend(value.to_le_bytes());
        }
    }
    Ok(bytes)
}
