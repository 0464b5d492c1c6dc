//! The matrix products: right within rounding, the same bits however they are cut, and nothing written beside them.

#![forbid(unsafe_code)]

use bantam_kernels::backend::NARROW;
use bantam_kernels::{Backend, Columns, Format, TileMut};

use crate::common::{Activations, Exact, Placed, Random, exact_product};

const ROWS: [usize; 12] = [1, 2, 3, 5, 7, 8, 9, 16, 31, 32, 33, 64];
const COLUMNS: [usize; 12] = [1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 64];

/// The error that a product may have, relative to the sum of `|w| |x|`. Sums within a block are exact integers, so
/// what rounds is one addition per block and lane and a few products with scales, each by `2^-24` of a partial sum:
/// at most a hundred of them at the lengths below (fewer cancel), of up to `6e-8`. Float formats round at every step,
/// in several lanes, and come out alike.
const TOLERANCE: f64 = 1e-5;

properties! {
    products_are_exact_up_to_rounding
    activations_are_rounded_to_bf16_or_kept
    products_of_extremes_do_not_overflow
    products_bear_activations_of_every_size
    what_is_no_number_is_none_in_every_row
    tiers_have_the_same_bits
    narrow_columns_equal_single_columns
    wide_products_have_the_bits_of_narrow_ones_where_it_is_said
    a_single_column_of_long_rows_has_the_bits_of_two
    rows_may_be_split_anywhere
    only_the_tile_is_written
    empty_products_do_nothing
    longer_rows_want_no_less_scratch
}

/// The product in a tile of its own, with scratch and weights at the addresses that kernels must bear.
fn matmul(backend: Backend, format: Format, weights: &[u8], x: &Columns<'_>, rows: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * x.n];
    let mut tile = TileMut::new(&mut out, rows, x.n);
    backend.matmul(format, weights, x, &mut tile, &mut Placed::scratch(backend, x.k));
    out
}

/// Row lengths worth a test: few and many blocks, even and odd numbers of them.
fn lengths(format: Format) -> &'static [usize] {
    match format.block_len() {
        1 => &[1, 33, 64, 576],
        32 => &[32, 64, 96, 576, 1568],
        _ => &[256, 512, 768, 1536],
    }
}

fn assert_close(got: f32, exact: Exact, what: impl Fn() -> String) {
    let error = (f64::from(got) - exact.sum).abs();
    assert!(
        error <= TOLERANCE * exact.magnitude,
        "{}: {got} is not {}, off by {error:.1e} of {:.1e}",
        what(),
        exact.sum,
        exact.magnitude
    );
}

fn products_are_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(1);
    for &format in Format::ALL {
        for (turn, &k) in lengths(format).iter().enumerate() {
            let weights = Placed::copy(&random.weights(format, k * 64), 2 * turn + 1);
            let mut x = Activations::random(&mut random, format, k, 64);
            if format == Format::BF16 {
                x.f32.iter_mut().for_each(|x| *x = to_bf16(*x));
            }
            let exact = exact_product(format, &weights, &x.columns());
            // Each number of rows meets two or three numbers of columns, others with each length.
            for (i, rows) in ROWS.into_iter().enumerate() {
                for n in [0, 1, 2].map(|shift| COLUMNS[(5 * i + 3 * turn + shift) % COLUMNS.len()]) {
                    let weights = &weights[..weights.len() / 64 * rows];
                    let out = matmul(backend, format, weights, &x.columns().range(0, n), rows);
                    for (at, &got) in out.iter().enumerate() {
                        let (c, r) = (at / rows, at % rows);
                        assert_close(got, exact[c * 64 + r], || {
                            format!("{} k {k}, row {r} of {rows}, column {c} of {n}", format.name())
                        });
                    }
                }
            }
        }
    }
}

/// Activations that meet weights of bfloat16 may be rounded to that format, too; all of them or none.
fn activations_are_rounded_to_bf16_or_kept(backend: Backend) {
    const ROWS: usize = 37;
    let mut random = Random::new(7);
    for (k, n) in [(1, 1), (33, 17), (64, 1), (96, 16), (576, 33)] {
        let weights = Placed::copy(&random.weights(Format::BF16, k * ROWS), 1);
        let x = Activations::random(&mut random, Format::BF16, k, n);
        let out = matmul(backend, Format::BF16, &weights, &x.columns(), ROWS);
        let rounded: Vec<f32> = x.f32.iter().map(|&x| to_bf16(x)).collect();
        let of_rounded = matmul(backend, Format::BF16, &weights, &Columns::from_f32(&rounded, k), ROWS);
        if out.iter().zip(&of_rounded).any(|(a, b)| a.to_bits() != b.to_bits()) {
            let exact = exact_product(Format::BF16, &weights, &x.columns());
            for (&got, exact) in out.iter().zip(exact) {
                assert_close(got, exact, || format!("k {k}, {n} columns"));
            }
        }
    }
}

fn to_bf16(x: f32) -> f32 {
    half::bf16::from_f32(x).to_f32()
}

fn products_of_extremes_do_not_overflow(backend: Backend) {
    const ROWS: usize = 5;
    const N: usize = 18;
    for &format in Format::ALL.iter().filter(|format| format.wants_q8()) {
        let k = 3 * format.block_len().max(256);
        for (byte, step) in [(0x00, 0), (0xff, 0), (0x7f, 0), (0x80, 0), (0xf0, 0), (0xff, 1)] {
            // Every field but the scales, which are 1, has all its bits set, or none, or only the highest.
            let mut weights = vec![byte; format.row_bytes(k).expect("whole blocks") * ROWS];
            for block in weights.chunks_exact_mut(format.block_bytes()) {
                for &at in crate::common::halves_of(format) {
                    block[at..at + 2].copy_from_slice(&[0x00, 0x3c]);
                }
                if format == Format::MXFP4 {
                    block[0] = 128;
                }
            }
            // Columns of 127, of -127, and of both in turns, with a scale that is a power of two.
            let signs = |i: usize| match i / k % 3 {
                0 => 127.0 / 64.0,
                1 => -127.0 / 64.0,
                _ => [127.0, -127.0][(i >> step) % 2] / 64.0,
            };
            let x = Activations::new(format, (0..k * N).map(signs).collect(), k);
            assert!(x.q.iter().all(|q| q.abs() == 127));
            let exact = exact_product(format, &weights, &x.columns());
            let out = matmul(backend, format, &Placed::copy(&weights, 1), &x.columns(), ROWS);
            for (at, (&got, &exact)) in out.iter().zip(&exact).enumerate() {
                assert_close(got, exact, || format!("{} of {byte:#x}, column {}", format.name(), at / ROWS));
            }
        }
    }
}

fn products_bear_activations_of_every_size(backend: Backend) {
    const ROWS: usize = 19;
    let mut random = Random::new(8);
    for &format in Format::ALL.iter().filter(|format| format.wants_q8()) {
        let k = 2 * format.block_len().max(64);
        let weights = Placed::copy(&random.weights(format, k * ROWS), 1);
        for n in [1, 2, 9, 20] {
            // Each block has a size of its own, from zero and what is hardly a number to nearly what is too great.
            let mut x = random.units(k * n);
            for x in x.chunks_exact_mut(32) {
                let size = 2f32.powi(random.below(200) as i32 - 110) * (random.below(9) > 0) as u32 as f32;
                x.iter_mut().for_each(|x| *x *= size);
            }
            let x = Activations::new(format, x, k);
            let exact = exact_product(format, &weights, &x.columns());
            let out = matmul(backend, format, &weights, &x.columns(), ROWS);
            for (at, (&got, &exact)) in out.iter().zip(&exact).enumerate() {
                assert_close(got, exact, || format!("{} value {at} of {n} columns", format.name()));
            }
        }
    }
}

/// Those of x86 sum in one order.
fn tiers_have_the_same_bits(backend: Backend) {
    const ROWS: usize = 21;
    let Some(avx2) = Backend::by_name("avx2").ok().filter(|_| backend.name() != "scalar") else { return };
    let mut random = Random::new(9);
    for &format in Format::ALL.iter().filter(|format| format.wants_q8()) {
        let k = 3 * format.block_len().max(32);
        let weights = Placed::copy(&random.weights(format, k * ROWS), 1);
        for n in [1, 2, 5, 20] {
            let x = Activations::random(&mut random, format, k, n);
            let [got, wanted] =
                [backend, avx2].map(|backend| matmul(backend, format, &weights, &x.columns(), ROWS));
            assert_same_bits(&got, &wanted, || format!("{} {n} columns", format.name()));
        }
    }
}

fn narrow_columns_equal_single_columns(backend: Backend) {
    const ROWS: usize = 39;
    let mut random = Random::new(2);
    for &format in Format::ALL {
        let k = 3 * format.block_len().max(32);
        let weights = Placed::copy(&random.weights(format, k * ROWS), 1);
        let x = Activations::random(&mut random, format, k, NARROW);
        let mut single = Vec::new();
        for c in 0..NARROW {
            single.extend(matmul(backend, format, &weights, &x.columns().column(c), ROWS));
        }
        for n in 2..=NARROW {
            let from = random.below(NARROW - n + 1);
            let out = matmul(backend, format, &weights, &x.columns().range(from, from + n), ROWS);
            assert_same_bits(&out, &single[from * ROWS..][..n * ROWS], || {
                format!("{} {n} columns from {from}", format.name())
            });
        }
    }
}

fn wide_products_have_the_bits_of_narrow_ones_where_it_is_said(backend: Backend) {
    let mut random = Random::new(7);
    for &format in Format::ALL.iter().filter(|format| backend.has_one_order(**format)) {
        for (k, rows) in [(3 * format.block_len().max(32), 39), (9 * 256, 21)] {
            let weights = Placed::copy(&random.weights(format, k * rows), 1);
            let x = Activations::random(&mut random, format, k, 60);
            let mut narrow = Vec::new();
            for from in (0..60).step_by(12) {
                narrow.extend(matmul(backend, format, &weights, &x.columns().range(from, from + 12), rows));
            }
            for n in [17, 18, 31, 48, 60] {
                let out = matmul(backend, format, &weights, &x.columns().range(0, n), rows);
                assert_same_bits(&out, &narrow[..n * rows], || {
                    format!("{} {n} columns of {k}", format.name())
                });
            }
        }
    }
}

/// And in no other column.
fn what_is_no_number_is_none_in_every_row(backend: Backend) {
    const ROWS: usize = 35;
    let mut random = Random::new(9);
    for &format in Format::ALL {
        let k = 4 * format.block_len().max(48);
        let weights = Placed::copy(&random.weights(format, k * ROWS), 1);
        for n in [1, 2, 5, 16, 40] {
            let mut x = Activations::random(&mut random, format, k, n).f32;
            let odd = random.below(n);
            x[odd * k + random.below(k)] = f32::NAN;
            let out = matmul(backend, format, &weights, &Activations::new(format, x, k).columns(), ROWS);
            for (c, column) in out.chunks_exact(ROWS).enumerate() {
                for value in column {
                    assert_eq!(value.is_nan(), c == odd, "{} column {c} of {n}: {value}", format.name());
                }
            }
        }
    }
}

/// A kernel may have another way for a single column, and for long rows.
fn a_single_column_of_long_rows_has_the_bits_of_two(backend: Backend) {
    const ROWS: usize = 21;
    const K: usize = 9 * 256;
    let mut random = Random::new(6);
    for &format in Format::ALL {
        let weights = Placed::copy(&random.weights(format, K * ROWS), 1);
        let x = Activations::random(&mut random, format, K, 2);
        let both = matmul(backend, format, &weights, &x.columns(), ROWS);
        for (c, wanted) in both.chunks_exact(ROWS).enumerate() {
            let alone = matmul(backend, format, &weights, &x.columns().column(c), ROWS);
            assert_same_bits(&alone, wanted, || format!("{} column {c}", format.name()));
        }
    }
}

fn rows_may_be_split_anywhere(backend: Backend) {
    const ROWS: usize = 71;
    let mut random = Random::new(3);
    for &format in Format::ALL {
        let k = 2 * format.block_len().max(48);
        let row_bytes = format.row_bytes(k).expect("whole blocks");
        let weights = Placed::copy(&random.weights(format, k * ROWS), 1);
        for n in [1, 3, 16, 17, 50] {
            let x = Activations::random(&mut random, format, k, n);
            let whole = matmul(backend, format, &weights, &x.columns(), ROWS);
            for _ in 0..4 {
                let (from, to) = (random.below(ROWS / 2), ROWS / 2 + random.below(ROWS / 2));
                let mut parts = vec![f32::NAN; ROWS * n];
                let mut tile = TileMut::new(&mut parts, ROWS, n);
                for (from, to) in [(0, from), (from, to), (to, ROWS)] {
                    let weights = &weights[from * row_bytes..to * row_bytes];
                    let mut scratch = Placed::scratch(backend, k);
                    let mut tile = tile.rows_range(from, to);
                    backend.matmul(format, weights, &x.columns(), &mut tile, &mut scratch);
                }
                assert_same_bits(&parts, &whole, || {
                    format!("{} {n} columns, rows cut at {from} and {to}", format.name())
                });
            }
        }
    }
}

fn only_the_tile_is_written(backend: Backend) {
    const CANARY: f32 = 1e30;
    let mut random = Random::new(4);
    for &format in Format::ALL {
        let k = 2 * format.block_len().max(32);
        for (rows, n) in [(1, 1), (7, 5), (31, 16), (33, 17), (40, 50)] {
            let weights = random.weights(format, k * rows);
            let x = Activations::random(&mut random, format, k, n);
            // The tile lies in a larger one, with rows before and behind it and a column on either side.
            let (stride, first) = (rows + 12, 5);
            let mut out = vec![CANARY; stride * (n + 2)];
            let mut all = TileMut::new(&mut out, stride, n + 2);
            let mut columns = all.columns(1, 1 + n);
            let mut tile = columns.rows_range(first, first + rows);
            let mut scratch = Placed::scratch(backend, k);
            backend.matmul(format, &weights, &x.columns(), &mut tile, &mut scratch);
            for (at, value) in out.iter().enumerate() {
                let (c, r) = (at / stride, at % stride);
                let inside = (1..=n).contains(&c) && (first..first + rows).contains(&r);
                assert_eq!(*value != CANARY, inside, "{} {rows} x {n}: row {r}, column {c}", format.name());
            }
            assert!(scratch.is_alone(), "{} {rows} x {n} wrote beside its scratch", format.name());
        }
    }
}

fn empty_products_do_nothing(backend: Backend) {
    for &format in Format::ALL {
        let k = format.block_len().max(32);
        let x = Activations::new(format, vec![0.5; k], k);
        assert!(matmul(backend, format, &[], &x.columns(), 0).is_empty());
        let weights = Random::new(5).weights(format, k * 3);
        assert!(matmul(backend, format, &weights, &x.columns().range(0, 0), 3).is_empty());
    }
}

fn assert_same_bits(got: &[f32], wanted: &[f32], what: impl Fn() -> String) {
    for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert_eq!(got.to_bits(), wanted.to_bits(), "{}: value {at} is {got}, not {wanted}", what());
    }
}

/// A session has one scratch for all of its matrices: that of the longest rows.
fn longer_rows_want_no_less_scratch(backend: Backend) {
    for k in (0..40_000).step_by(32) {
        let (bytes, longer) = (backend.scratch_bytes(k), backend.scratch_bytes(k + 32));
        assert!(bytes <= longer, "{bytes} bytes for {k}, and {longer} for {}", k + 32);
    }
}
