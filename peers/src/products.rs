//! `products`: Bantam's matrix product of each format against ggml's, on one thread, as processes that take turns. Both
//! start from activations as floats, so that quantising them counts on both sides.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bantam_kernels::Backend;
use serde_json::json;

use crate::bench::Spread;
use crate::compare;
use crate::formats;
use crate::product::{Measured, Shape};

/// What is compared.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    shape: Shape,
    /// Formats; all of them unless given.
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',')]
    formats: Vec<String>,
    /// Backend of Bantam, which should have the instructions that the peer was built for; the best one unless given.
    #[arg(long)]
    backend: Option<String>,
    /// Rounds; each runs both once for each format.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The `bantam` binary.
    #[arg(long, default_value = "target/release/bantam")]
    bantam: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "target/formats.json")]
    out: PathBuf,
}

/// Runs the rounds, prints the table and writes the results.
pub(crate) fn run(options: &Options) -> Result<()> {
    let shape = &options.shape;
    let backend = options.backend.as_deref().unwrap_or(Backend::detect().name());
    let names: Vec<&str> = match options.formats.is_empty() {
        true => formats::names().collect(),
        false => options.formats.iter().map(|name| formats::known(name)).collect::<Result<_>>()?,
    };
    println!(
        "one thread, {} rows of {}, {} copies; Bantam with {}; thousand million multiplications per second",
        shape.rows, shape.k, shape.copies, backend
    );
    println!(
        "{:<8}{:>8}{:>12}{:>12}{:>8}  {:<16}ggml's weights in",
        "format", "columns", "bantam", "ggml", "ratio", "least, greatest"
    );
    let mut rows = Vec::new();
    for name in names {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            for turn in 0..2 {
                if (round + turn) % 2 == 0 {
                    ours.push(bantam(options, backend, name)?);
                } else {
                    theirs.push(ggml(options, name)?);
                }
            }
        }
        for (at, &columns) in shape.columns.iter().enumerate() {
            let our: Vec<f64> = ours.iter().map(|round| round[at]).collect();
            let their: Vec<f64> = theirs.iter().map(|round| round[at].gmacs).collect();
            let ratio = Spread::of(our.iter().zip(&their).map(|(our, their)| our / their).collect())?;
            let (our, their) = (Spread::of(our)?.median, Spread::of(their)?.median);
            let buffer = &theirs[0][at].buffer;
            let range = format!("{:.2} to {:.2}", ratio.min, ratio.max);
            println!(
                "{name:<8}{columns:>8}{our:>12.1}{their:>12.1}{:>8.2}  {range:<16}{buffer}",
                ratio.median
            );
            rows.push(json!({
                "format": name, "columns": columns, "ratio": ratio.median, "bantam": our, "ggml": their,
                "buffer": buffer,
            }));
        }
    }
    let results = json!({ "backend": backend, "k": shape.k, "n": shape.rows, "rows": rows });
    compare::write(&options.out, &results)
}

/// The shape as both programs take it.
fn arguments(shape: &Shape) -> Vec<String> {
    let columns: Vec<String> = shape.columns.iter().map(u32::to_string).collect();
    let numbers = [("--k", shape.k), ("--rows", shape.rows), ("--copies", shape.copies)];
    let numbers = numbers.into_iter().flat_map(|(option, number)| [option.to_owned(), number.to_string()]);
    numbers.chain(["--columns".to_owned(), columns.join(",")]).collect()
}

fn output(command: &mut Command, binary: &Path) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {}", binary.display()))?;
    ensure!(
        output.status.success(),
        "`{}` failed with {}: {}",
        binary.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// GMAC/s of each number of columns.
fn bantam(options: &Options, backend: &str, format: &str) -> Result<Vec<f64>> {
    let mut command = Command::new(&options.bantam);
    command.args(["bench", "--kernels", "--json", "--only", "matmul", "--quantize"]);
    command.args(["--format", format, "--backend", backend]).args(arguments(&options.shape));
    let report: serde_json::Value = serde_json::from_str(&output(&mut command, &options.bantam)?)?;
    let rows = report["kernels"].as_array().context("bantam bench --kernels tells of no kernels")?;
    let numbers: Vec<f64> = rows.iter().filter_map(|row| row["gmacs"].as_f64()).collect();
    ensure!(numbers.len() == options.shape.columns.len(), "bantam bench --kernels said: {report}");
    Ok(numbers)
}

fn ggml(options: &Options, format: &str) -> Result<Vec<Measured>> {
    let itself = std::env::current_exe().context("finding the peer's own binary")?;
    let mut command = Command::new(&itself);
    command.args(["product", format]).args(arguments(&options.shape));
    Ok(serde_json::from_str(&output(&mut command, &itself)?)?)
}
