//! The kernels of layers that carry a state: short convolutions, vectors of length 1, and the gated delta rule.

#![forbid(unsafe_code)]

use bantam_kernels::recurrent::DeltaInputs;
use bantam_kernels::{Backend, TileMut};

use crate::common::{Random, scalar};

properties! {
    convolutions_are_exact_up_to_rounding_however_columns_are_cut_up
    vectors_get_the_length_1
    the_delta_rule_is_exact_up_to_rounding
    the_delta_rule_has_the_same_bits_everywhere_and_however_columns_are_cut_up
}

fn assert_close(got: f32, exact: f64, tolerance: f64, what: impl Fn() -> String) {
    let error = (f64::from(got) - exact).abs();
    assert!(error <= tolerance, "{}: {got} is not {exact}, off by {error:.1e}", what());
}

fn convolutions_are_exact_up_to_rounding_however_columns_are_cut_up(backend: Backend) {
    let mut random = Random::new(1);
    for (rows, length, columns) in [(1, 2, 1), (63, 3, 2), (64, 4, 5), (200, 3, 7), (130, 8, 3), (96, 4, 1)] {
        let (taps, before) = (random.units(rows * length), random.units(rows * (length - 1)));
        let x = random.units(rows * columns);
        let value = |column: usize, row| match column.checked_sub(length - 1) {
            None => before[column * rows + row],
            Some(column) => x[column * rows + row],
        };
        let mut out = x.clone();
        backend.convolve(&mut TileMut::new(&mut out, rows, columns), &taps, length, &before, rows);
        for (i, out) in out.iter().enumerate() {
            let (column, row) = (i / rows, i % rows);
            let products = (0..length)
                .map(|tap| f64::from(taps[row * length + tap]) * f64::from(value(column + tap, row)));
            let (sum, size) = products.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
            assert_close(*out, sum, 1e-6 * size, || format!("{rows} x {columns}, {length} taps: {i}"));
        }
        // Column by column, each behind the inputs before it.
        for (column, out) in out.chunks_exact(rows).enumerate() {
            let mut alone = x[column * rows..][..rows].to_vec();
            let before: Vec<f32> =
                (0..(length - 1) * rows).map(|i| value(column + i / rows, i % rows)).collect();
            backend.convolve(&mut TileMut::new(&mut alone, rows, 1), &taps, length, &before, rows);
            assert!(alone == out, "{rows} x {columns}, {length} taps: column {column} alone");
        }
    }
}

fn vectors_get_the_length_1(backend: Backend) {
    let mut random = Random::new(2);
    for len in [1, 3, 16, 17, 32, 128, 130] {
        for size in [1.0, 0.0, 1e-3, 1e12] {
            let mut x: Vec<f32> = random.units(len).iter().map(|x| x * size).collect();
            let sum: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
            let exact: Vec<f64> =
                x.iter().map(|&x| f64::from(x) / (sum + f64::from(1e-6f32)).sqrt()).collect();
            backend.to_unit(&mut x, 1e-6);
            for (got, exact) in x.iter().zip(exact) {
                assert_close(*got, exact, 2e-6 * exact.abs(), || format!("{len} of size {size}"));
            }
        }
    }
}

/// A head's inputs, each column behind others that are not its own.
struct Head {
    columns: usize,
    dim: usize,
    mixed: Vec<f32>,
    rates: Vec<f32>,
    memory: Vec<f32>,
}

impl Head {
    const HEADS: usize = 3;

    fn new(random: &mut Random, columns: usize, dim: usize) -> Head {
        let mut mixed = random.units(columns * 4 * dim);
        // Keys of length 1, as they come.
        mixed.chunks_exact_mut(dim).for_each(|part| scalar().to_unit(part, 1e-6));
        let rates = random.units(columns * 2 * Head::HEADS).iter().map(|x| 0.5 + x / 2.0).collect();
        Head { columns, dim, mixed, rates, memory: random.units(dim * dim) }
    }

    fn inputs(&self, first: usize, columns: usize) -> DeltaInputs<'_> {
        let (stride, heads) = (4 * self.dim, 2 * Head::HEADS);
        let (mixed, rates) = (&self.mixed[first * stride..], &self.rates[first * heads..]);
        DeltaInputs {
            columns,
            dim: self.dim,
            queries: mixed,
            keys: &mixed[self.dim..],
            values: &mixed[2 * self.dim..],
            stride,
            decays: &rates[1..],
            rates: &rates[Head::HEADS..],
            heads,
        }
    }

    /// Memory and outputs behind all columns, taken so many at a time.
    fn run(&self, backend: Backend, most: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut memory, mut out) = (self.memory.clone(), vec![f32::NAN; self.columns * self.dim]);
        for (i, out) in out.chunks_mut(most * self.dim).enumerate() {
            let inputs = self.inputs(i * most, out.len() / self.dim);
            backend.delta_rule(&mut memory, &inputs, out);
        }
        (memory, out)
    }
}

const SHAPES: [(usize, usize); 6] = [(1, 1), (2, 7), (5, 16), (3, 33), (9, 64), (4, 128)];

fn the_delta_rule_is_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(3);
    for (columns, dim) in SHAPES {
        let head = Head::new(&mut random, columns, dim);
        let inputs = head.inputs(0, columns);
        let (memory, out) = head.run(backend, columns);
        let mut exact: Vec<f64> = head.memory.iter().map(|&x| x.into()).collect();
        for column in 0..columns {
            let of = |all: &[f32], i: usize| f64::from(all[column * inputs.stride + i]);
            let (decay, rate) = (inputs.decays[column * inputs.heads], inputs.rates[column * inputs.heads]);
            for (j, row) in exact.chunks_exact_mut(dim).enumerate() {
                row.iter_mut().for_each(|x| *x *= f64::from(decay));
                let known: f64 = row.iter().enumerate().map(|(i, x)| x * of(inputs.keys, i)).sum();
                let learned = (of(inputs.values, j) - known) * f64::from(rate);
                row.iter_mut().enumerate().for_each(|(i, x)| *x += learned * of(inputs.keys, i));
                let recalled: f64 = row.iter().enumerate().map(|(i, x)| x * of(inputs.queries, i)).sum();
                let what = || format!("{columns} columns of {dim}: {column}, {j}");
                // Sums of dim products of numbers below a few.
                assert_close(out[column * dim + j], recalled / (dim as f64).sqrt(), 1e-5, what);
            }
        }
        for (got, exact) in memory.iter().zip(exact) {
            assert_close(*got, exact, 1e-5, || format!("{columns} columns of {dim}: the memory"));
        }
    }
}

fn the_delta_rule_has_the_same_bits_everywhere_and_however_columns_are_cut_up(backend: Backend) {
    let mut random = Random::new(4);
    for (columns, dim) in SHAPES {
        let head = Head::new(&mut random, columns, dim);
        let expected = head.run(scalar(), columns);
        for most in [1, 2, columns] {
            assert!(head.run(backend, most) == expected, "{columns} columns of {dim}, {most} at a time");
        }
    }
}
