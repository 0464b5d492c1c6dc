//! The weight formats mean what ggml means by them: every value of `tests/golden/formats`, bit for bit, on every
//! backend, and blocks made by hand after the drawings of `blocks.rs`.

#![forbid(unsafe_code)]

#[macro_use]
mod common;

use bantam_kernels::{Backend, Format};
use common::{Placed, halves_of};

/// The golden file of one format; `tests/golden/README.md` draws it.
struct Golden {
    values_per_row: usize,
    row_bytes: usize,
    blocks: Vec<u8>,
    values: Vec<f32>,
}

impl Golden {
    fn read(format: Format) -> Golden {
        let name = format.name().to_lowercase();
        let path = format!("{}/../tests/golden/formats/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (words, _) = file.as_chunks::<4>();
        let [values_per_row, rows, row_bytes] = [1, 2, 3].map(|at| u32::from_le_bytes(words[at]) as usize);
        let (blocks, values) = file[16..].split_at(rows * row_bytes);
        let values: Vec<f32> = values.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        assert_eq!(values.len(), rows * values_per_row, "{path}");
        Golden { values_per_row, row_bytes, blocks: blocks.to_vec(), values }
    }
}

properties! {
    golden_blocks_have_ggmls_values
    hand_made_blocks_read_as_drawn
}

fn golden_blocks_have_ggmls_values(backend: Backend) {
    for &format in Format::ALL {
        let golden = Golden::read(format);
        assert_eq!(format.row_bytes(golden.values_per_row), Some(golden.row_bytes), "{}", format.name());
        let mut values = vec![f32::NAN; golden.values.len()];
        backend.dequantize(format, &Placed::copy(&golden.blocks, 1), &mut values);
        for (i, (value, golden)) in values.iter().zip(&golden.values).enumerate() {
            assert_eq!(value.to_bits(), golden.to_bits(), "{} {i}: {value} is not {golden}", format.name());
        }
    }
}

fn hand_made_blocks_read_as_drawn(backend: Backend) {
    /// A block that is zero but for `d = 1`, `m` or `dmin = 2` and some bytes, and some of its values.
    type Case = (Format, &'static [(usize, u8)], &'static [(usize, f32)]);
    const CASES: &[Case] = &[
        (Format::Q8_0, &[(7, 0x80)], &[(4, 0.0), (5, -128.0)]),
        (Format::Q4_0, &[(5, 0x9f)], &[(0, -8.0), (3, 7.0), (19, 1.0)]),
        (Format::Q4_1, &[(7, 0x9f)], &[(0, 2.0), (3, 17.0), (19, 11.0)]),
        (Format::Q5_0, &[(2, 0x08), (9, 0x9f)], &[(0, -16.0), (3, 15.0), (19, -7.0)]),
        (Format::Q5_1, &[(6, 0x08), (11, 0x9f)], &[(0, 2.0), (3, 17.0), (19, 27.0)]),
        // scale[1] = 5, min[1] = 3; scale[3] = 2; byte 17 holds q[17] = 0, q[49] = 1, q[81] = 2, q[113] = 3.
        (Format::Q2_K, &[(1, 0x35), (3, 2), (33, 0xe4)], &[(0, 0.0), (17, -6.0), (48, 0.0), (49, 2.0)]),
        // scale[9] = 37 - 32, and q[146] = 7 - 4.
        (
            Format::Q3_K,
            &[(97, 0x50), (105, 0x20), (82, 3), (18, 0x10)],
            &[(0, 128.0), (145, -20.0), (146, 15.0)],
        ),
        // scale[5] = 35, min[5] = 23, and q[164] = 6.
        (
            Format::Q4_K,
            &[(5, 0x80), (9, 0x40), (13, 0x73), (84, 0x60)],
            &[(0, 0.0), (164, 164.0), (165, -46.0)],
        ),
        // The same, and bit 4 makes q[164] = 22.
        (
            Format::Q5_K,
            &[(5, 0x80), (9, 0x40), (13, 0x73), (20, 0x20), (116, 0x60)],
            &[(0, 0.0), (164, 724.0), (165, -46.0)],
        ),
        // scale[14] = -3, and q[232] = 26 - 32.
        (Format::Q6_K, &[(104, 0xa0), (168, 0x40), (206, 0xfd)], &[(0, 0.0), (231, 96.0), (232, 18.0)]),
        (Format::IQ4_NL, &[(5, 0x9f)], &[(0, -127.0), (3, 113.0), (19, 13.0)]),
        // e = 128.
        (Format::MXFP4, &[(0, 0x80), (4, 0x9f)], &[(0, 0.0), (3, -12.0), (19, -1.0)]),
        // scale[6] = 53 - 32, and the index of w[209] is 2.
        (Format::IQ4_XS, &[(3, 0x30), (7, 5), (105, 0x20)], &[(0, 4064.0), (208, -2667.0), (209, -1743.0)]),
    ];
    for format in Format::ALL.iter().filter(|format| format.wants_q8()) {
        assert!(CASES.iter().any(|(case, ..)| case == format), "{} has no case", format.name());
    }
    for (format, bytes, values) in CASES {
        let mut block = vec![0; format.block_bytes()];
        for (&at, half) in halves_of(*format).iter().zip([[0x00, 0x3c], [0x00, 0x40]]) {
            block[at..at + 2].copy_from_slice(&half);
        }
        for &(at, byte) in *bytes {
            block[at] = byte;
        }
        let mut out = vec![f32::NAN; format.block_len()];
        backend.dequantize(*format, &block, &mut out);
        for &(i, value) in *values {
            assert_eq!(out[i], value, "{} {i}", format.name());
        }
    }
}

#[test]
fn every_backend_is_tested() {
    macro_rules! names {
        ([$($backend:ident)*]) => { const TESTED: &[&str] = &[$(stringify!($backend)),*]; };
    }
    backends! { names }
    assert!(Backend::names().eq(TESTED.iter().copied()), "the list of tests/common is not the crate's");
}
