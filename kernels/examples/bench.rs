//! Times the matrix product of every format, backend and number of columns on one thread:
//! `cargo run --release -p bantam-kernels --example bench -- [--format Q4_1] [--backend avx2] [--columns 1,64]
//! [--activations f32] [--k 576] [--rows 1536] [--copies 1]`. GB/s counts the bytes of the weights, GMAC/s the
//! multiplications. With one copy of the weights they come from the cache; with many, each run takes the next copy, from
//! memory. Activations of f32 are quantised in each run, where the format wants that; else they are so from the start.

#![forbid(unsafe_code)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::process::exit;
use std::time::{Duration, Instant};

use bantam_kernels::{Backend, Columns, ColumnsMut, Format, TileMut};
use common::{Activations, Placed, Random};

/// How long one of the samples, whose median is printed, should take.
const SAMPLE: Duration = Duration::from_millis(20);
const SAMPLES: usize = 7;

struct Options {
    formats: Vec<Format>,
    backends: Vec<Backend>,
    columns: Vec<usize>,
    k: usize,
    rows: usize,
    copies: usize,
    /// Whether the quantising of the activations counts.
    quantizing: bool,
}

fn main() {
    let options = options().unwrap_or_else(|message| {
        eprintln!("{message}");
        exit(2)
    });
    println!("k {}, rows {}, copies {}, median of {SAMPLES}", options.k, options.rows, options.copies);
    println!(
        "{:8} {:10} {:10} {:>8} {:>10} {:>10}",
        "format", "backend", "origin", "columns", "GB/s", "GMAC/s"
    );
    for &format in &options.formats {
        if format.row_bytes(options.k).is_none() {
            println!("{:8} skipped: rows of {} are not whole blocks", format.name(), options.k);
            continue;
        }
        let mut random = Random::new(1);
        let one = random.weights(format, options.k * options.rows);
        let weights = Placed::copy(&one.repeat(options.copies), 0);
        for &n in &options.columns {
            let x = Activations::random(&mut random, options.k, n);
            for &backend in &options.backends {
                let seconds = time(backend, format, &weights, one.len(), &x, &options);
                let macs = (options.k * options.rows * n) as f64;
                println!(
                    "{:8} {:10} {:10} {n:8} {:10.2} {:10.2}",
                    format.name(),
                    backend.name(),
                    backend.origin(format),
                    one.len() as f64 / seconds / 1e9,
                    macs / seconds / 1e9
                );
            }
        }
    }
}

/// The median seconds of one product.
fn time(
    backend: Backend,
    format: Format,
    weights: &[u8],
    matrix_bytes: usize,
    x: &Activations,
    options: &Options,
) -> f64 {
    let (rows, columns) = (options.rows, x.columns());
    let mut quantized = Activations::new(x.f32.clone(), x.k);
    let mut scratch = Placed::scratch(backend, x.k);
    let mut out = vec![0.0; rows * columns.n];
    let mut copies = weights.chunks_exact(matrix_bytes).cycle();
    let mut run = || {
        let weights = copies.next().expect("at least one copy");
        let Activations { q, d, s, .. } = &mut quantized;
        let columns = if options.quantizing && format.wants_q8() {
            backend.quantize_q8(&x.f32, &mut ColumnsMut { q, d, s });
            Columns { q, d, s, ..columns }
        } else {
            columns
        };
        backend.matmul(format, weights, &columns, &mut TileMut::new(&mut out, rows, columns.n), &mut scratch);
        black_box(&mut out);
    };
    // The first run warms up, and tells how many runs make a sample.
    let start = Instant::now();
    run();
    let runs = (SAMPLE.as_secs_f64() / start.elapsed().as_secs_f64()).ceil().max(1.0) as u32;
    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let start = Instant::now();
            (0..runs).for_each(|_| run());
            start.elapsed().as_secs_f64() / f64::from(runs)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[SAMPLES / 2]
}

/// Reads the command line.
fn options() -> Result<Options, String> {
    let mut options = Options {
        formats: Format::ALL.to_vec(),
        backends: Backend::available().collect(),
        columns: vec![1, 4, 8, 16, 64, 512],
        k: 2048,
        rows: 2048,
        copies: 1,
        quantizing: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
        let number = |value: &str| match value.parse() {
            Ok(0) | Err(_) => Err(format!("{word} wants a positive number, not {value}")),
            Ok(number) => Ok(number),
        };
        match word.as_str() {
            "--format" => {
                let format = Format::ALL.iter().find(|format| format.name().eq_ignore_ascii_case(&value));
                options.formats = vec![*format.ok_or_else(|| format!("no format {value}"))?];
            }
            "--backend" => {
                options.backends =
                    vec![Backend::by_name(&value).map_err(|error| format!("{value}: {error:?}"))?];
            }
            "--columns" => options.columns = value.split(',').map(number).collect::<Result<_, _>>()?,
            "--activations" => options.quantizing = value == "f32",
            "--k" => options.k = number(&value)?,
            "--rows" => options.rows = number(&value)?,
            "--copies" => options.copies = number(&value)?,
            _ => return Err(format!("no option {word}; see the head of this file")),
        }
    }
    Ok(options)
}
