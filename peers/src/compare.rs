//! `compare`: Bantam's portable binary against this peer, as separate processes that take turns.
//!
//! Invariant: both sides of a ratio were measured within seconds of each other; the ratio of a test is the median over
//! the rounds, so that a noisy moment of the machine spoils one round and not the result.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::bench::{Measurement, Spread, Work};
use crate::formats;

/// What is compared.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    work: Work,
    /// GGUF file.
    #[arg(long, default_value = formats::DEMO)]
    model: PathBuf,
    /// The model's name in the results; `demo` or the file's own unless given.
    #[arg(long)]
    name: Option<String>,
    /// Backend that Bantam is forced to.
    #[arg(long)]
    backend: Option<String>,
    /// Rounds; each runs both once.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Bantam's binary.
    #[arg(long, default_value = "target/release/bantam")]
    bantam: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "target/peers.json")]
    out: PathBuf,
}

/// A flag of /proc/cpuinfo and the name of the same instruction set in the peer's line about itself.
const INSTRUCTION_SETS: &[(&str, &str)] = &[
    ("ssse3", "SSSE3"),
    ("avx", "AVX"),
    ("avx2", "AVX2"),
    ("f16c", "F16C"),
    ("fma", "FMA"),
    ("bmi2", "BMI2"),
    ("avx_vnni", "AVX_VNNI"),
    ("avx512f", "AVX512"),
    ("avx512vbmi", "AVX512_VBMI"),
    ("avx512_vnni", "AVX512_VNNI"),
    ("avx512_bf16", "AVX512_BF16"),
    ("amx_int8", "AMX_INT8"),
    ("asimd", "NEON"),
    ("asimddp", "DOTPROD"),
    ("asimdhp", "FP16_VA"),
    ("i8mm", "MATMUL_INT8"),
    ("sve", "SVE"),
];

/// Runs the rounds, prints the table and writes the results.
pub(crate) fn run(options: &Options) -> Result<()> {
    let itself = std::env::current_exe().context("finding the peer's own binary")?;
    let (mut ours, mut theirs): (Vec<Measurement>, Vec<Measurement>) = (Vec::new(), Vec::new());
    for round in 0..options.repeat {
        // The turns alternate, so that neither side always runs on the warmer machine.
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                ours.push(measure(&options.bantam, options, &bantam_arguments(options))?);
            } else {
                let peer = measure(&itself, options, &[])?;
                check(&peer)?;
                theirs.push(peer);
            }
        }
        eprintln!("round {} of {}", round + 1, options.repeat);
    }
    let (Some(our), Some(their)) = (ours.first(), theirs.first()) else { bail!("nothing was measured") };

    println!("model    {}, {} threads, {} rounds", options.model.display(), our.threads, options.repeat);
    println!("bantam   backend {}, portable binary", our.backend);
    println!("peer     llama.cpp with {}, native build: {}", their.backend, their.features.join(" "));
    println!("CPU      {}", cpu_sets()?.join(" "));
    println!("\n{:<14}{:>14}{:>14}{:>8}", "test", "bantam tok/s", "peer tok/s", "ratio");
    let mut rows = Vec::new();
    type Test = (&'static str, u32, fn(&Measurement) -> f64);
    let tests: [Test; 2] = [
        ("prefill", options.work.prompt, |side| side.prefill_tps.median),
        ("decode", options.work.generate, |side| side.decode_tps.median),
    ];
    for (test, tokens, speed) in tests {
        let bantam = Spread::of(ours.iter().map(speed).collect())?;
        let peer = Spread::of(theirs.iter().map(speed).collect())?;
        let ratio =
            Spread::of(ours.iter().zip(&theirs).map(|(our, their)| speed(our) / speed(their)).collect())?;
        let title = format!("{test} {tokens}");
        println!(
            "{title:<14}{:>14.1}{:>14.1}{:>8.2}  ({:.2} to {:.2})",
            bantam.median, peer.median, ratio.median, ratio.min, ratio.max
        );
        rows.push(json!({
            "model": name(options), "test": test, "ratio": ratio.median, "bantam": bantam.median, "peer": peer.median,
        }));
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{:<14}{:>14.1}{:>14.1}",
        "anonymous MB",
        megabytes(our.anonymous_bytes),
        megabytes(their.anonymous_bytes)
    );
    let results = json!({
        "rows": rows, "threads": our.threads, "rounds": options.repeat, "backend": our.backend,
        "peer": their.backend, "peer_features": their.features, "cpu": cpu_sets()?,
    });
    if let Some(folder) = options.out.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(&options.out, format!("{}\n", serde_json::to_string_pretty(&results)?))
        .with_context(|| format!("writing {}", options.out.display()))
}

/// The model's name in the results.
fn name(options: &Options) -> String {
    let own = match options.model.as_path() == Path::new(formats::DEMO) {
        true => "demo".to_owned(),
        false => options.model.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    options.name.clone().unwrap_or(own)
}

/// What only Bantam is told.
fn bantam_arguments(options: &Options) -> Vec<String> {
    let mut arguments = vec!["--json".to_owned()];
    if let Some(backend) = &options.backend {
        arguments.extend(["--backend".to_owned(), backend.clone()]);
    }
    arguments
}

/// One process that measures once.
fn measure(binary: &Path, options: &Options, more: &[String]) -> Result<Measurement> {
    let work = &options.work;
    let mut command = Command::new(binary);
    command.arg("bench").arg(&options.model);
    for (option, value) in [
        ("--prompt", work.prompt),
        ("--generate", work.generate),
        ("--threads", work.threads()),
        ("--repeat", 1),
    ] {
        command.args([option.to_owned(), value.to_string()]);
    }
    let output = command.args(more).output().with_context(|| format!("starting {}", binary.display()))?;
    ensure!(
        output.status.success(),
        "`{} bench` failed with {}: {}",
        binary.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("reading what `{} bench` printed", binary.display()))
}

/// A peer without the CPU's instruction sets or without OpenMP would lose for the wrong reason.
fn check(peer: &Measurement) -> Result<()> {
    let has = |name: &str| peer.features.iter().any(|feature| feature == name);
    let mut wanted = cpu_sets()?;
    wanted.push("OPENMP");
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !has(name)).collect();
    ensure!(
        missing.is_empty(),
        "the peer was built without {}: build it with `make peers`; it says: {}",
        missing.join(", "),
        peer.system_info
    );
    Ok(())
}

/// The instruction sets of this CPU, by the peer's names.
fn cpu_sets() -> Result<Vec<&'static str>> {
    let text = std::fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
    let flags = text.lines().find_map(|line| {
        let (key, flags) = line.split_once(':')?;
        matches!(key.trim(), "flags" | "Features").then_some(flags)
    });
    let flags: Vec<&str> = flags.context("/proc/cpuinfo names no CPU features")?.split_whitespace().collect();
    Ok(INSTRUCTION_SETS.iter().filter(|(flag, _)| flags.contains(flag)).map(|(_, name)| *name).collect())
}
