//! `compare`: Bantam's portable binary against this peer and against the machine's limits, as separate processes that
//! take turns.
//!
//! Invariant: both sides of a ratio, and the limits of a share, were measured within seconds of each other; what is told
//! is the median over the rounds, so that a noisy moment of the machine spoils one round and not the result.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bantam_kernels::Backend;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bench::{Measurement, Spread, threads_or_all};
use crate::cost::Cost;
use crate::features::{self, Build};
use crate::formats::DEMO;
use crate::limits::Limits;
use crate::llama;
use crate::test::{Job, Test};

const EXPLANATION: &str = "\
Each test of a model is measured in --rounds rounds. A round runs Bantam and the peer, each as a process of its own, in
turns; before and after Bantam two loops show what the machine can do at most.
  prefill-N    prompt tokens per second of a prompt of N tokens; of up to 64 tokens, behind 64 others and many times
  decode-N     tokens per second, generated one by one behind N tokens
  ratio        Bantam's rate by the peer's in the same round: the median, and the least and the greatest round
  ceiling      how much of what the machine can do at most Bantam's rate is: the larger share of
                 reading       bytes of weights, keys and values, by bytes per second that a loop reads from memory
                 multiplying   products with weights, by products per second of the backend's own dot product
                               instruction in a loop; left out where the weights are floats

Before its first round the file of a model is dropped from memory and read anew by Bantam, as by an app that opens it after
a restart; both sides map what that leaves there.

Without --models: demo (with prefill, decode, prefill-4, prefill-8, prefill-16 and decode-4096), 1.1b-q4_0 and 1.1b-q4_k_m
(with prefill and decode). `make models-1b` makes the last two; `bantam-peers make-model` makes others.

Examples:
  bantam-peers compare --models demo --rounds 9
  bantam-peers compare --models 1.1b-q4_0,models/mine.gguf --tests prefill,prefill-32,decode-2048
  bantam-peers compare --backend avx2 --threads 1";

/// What is compared.
#[derive(clap::Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Options {
    /// Models: names of the usual ones, or GGUF files.
    #[arg(long, value_name = "MODEL", value_delimiter = ',', default_value = "demo,1.1b-q4_0,1.1b-q4_k_m")]
    models: Vec<String>,
    /// Tests of every model, in place of its usual ones.
    #[arg(long, value_name = "TEST", value_delimiter = ',')]
    tests: Vec<Test>,
    /// Rounds; each runs everything once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tokens generated in a test of decoding.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    generate: u32,
    /// Threads; as many as there are CPUs unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Backend that Bantam is forced to.
    #[arg(long)]
    backend: Option<String>,
    /// What this peer must have been built for.
    #[arg(long, value_enum, default_value_t = Build::Native)]
    peer: Build,
    /// Bantam's binary.
    #[arg(long, default_value = "target/release/bantam")]
    bantam: PathBuf,
    /// Where the results go, as JSON.
    #[arg(long, default_value = "target/peers.json")]
    out: PathBuf,
}

/// What is the same in every round.
struct Run<'options> {
    options: &'options Options,
    /// This program.
    itself: PathBuf,
    backend: &'options str,
    threads: u32,
}

/// What one round of a job measured.
struct Round {
    bantam: Measurement,
    peer: Measurement,
    /// Of just before and just after Bantam's turn.
    limits: Limits,
}

/// Runs everything, prints the table and writes the results.
pub(crate) fn run(options: &Options) -> Result<()> {
    features::check(options.peer)?;
    let run = Run {
        options,
        itself: std::env::current_exe().context("finding the peer's own binary")?,
        backend: options.backend.as_deref().unwrap_or(Backend::detect().name()),
        threads: threads_or_all(options.threads),
    };
    let (features, cpu) = (features::built(), features::cpu()?);
    println!("bantam   backend {}, portable binary, {} threads", run.backend, run.threads);
    println!(
        "peer     llama.cpp with ggml {}, {:?} build: {}",
        llama::version(),
        options.peer,
        features.join(" ")
    );
    println!("CPU      {}", cpu.join(" "));
    println!("rounds   {}, medians of them\n", options.rounds);
    println!(
        "{:<14}{:<13}{:>13}{:>13}{:>8}{:>18}{:>9}",
        "model", "test", "bantam tok/s", "peer tok/s", "ratio", "least, greatest", "ceiling"
    );
    let (mut rows, mut memory, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for model in &options.models {
        let (name, path, usual) = named(model)?;
        let cost = Cost::of(&path)?;
        run.open_anew(&path)?;
        let tests = if options.tests.is_empty() { usual } else { &options.tests };
        for job in Job::list(tests, options.generate, run.threads) {
            let rounds = run.rounds(&name, &path, &job)?;
            for &test in &job.tests {
                rows.push(row(&name, test, &cost, &job, &rounds)?);
            }
            limits.extend(rounds.iter().map(|round| round.limits));
            if job.work.prompt > 0 && job.work.generate > 0 {
                memory.push(memory_of(&name, &rounds)?);
            }
        }
    }
    let bytes = Spread::of(limits.iter().map(|limits| limits.bytes / 1e9).collect())?;
    let macs = Spread::of(limits.iter().map(|limits| limits.macs / 1e9).collect())?;
    if !memory.is_empty() {
        println!("\nanonymous memory in MB, while a prompt is read and tokens are generated");
    }
    for row in &memory {
        println!(
            "{:<27}{:>13.1}{:>13.1}",
            text(row, "model"),
            number(row, "bantam") / 1e6,
            number(row, "peer") / 1e6
        );
    }
    println!("\nceilings of {} threads, medians, least and greatest", run.threads);
    println!("reading      {:.1} GB/s ({:.1} to {:.1})", bytes.median, bytes.min, bytes.max);
    println!("multiplying  {:.0} GMAC/s ({:.0} to {:.0})", macs.median, macs.min, macs.max);
    write(
        &options.out,
        &json!({
            "rows": rows, "memory": memory, "reading_gb_per_s": bytes, "multiplying_gmac_per_s": macs,
            "threads": run.threads, "rounds": options.rounds, "backend": run.backend,
            "peer": format!("ggml {}", llama::version()), "peer_features": features, "cpu": cpu,
        }),
    )
}

/// Name, file and usual tests of a model.
fn named(model: &str) -> Result<(String, PathBuf, &'static [Test])> {
    let (path, usual): (PathBuf, &[Test]) = match model {
        "demo" => (DEMO.into(), &Test::MANY),
        file if file.ends_with(".gguf") => (file.into(), &Test::TWO),
        name => (format!("models/{name}.gguf").into(), &Test::TWO),
    };
    ensure!(path.exists(), "there is no {}; `make model models-1b` has the usual ones made", path.display());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).context("a model file needs a name")?;
    Ok((if model == "demo" { model } else { stem }.to_owned(), path, usual))
}

impl Run<'_> {
    /// Has a file that may just have been written read from disk, and by Bantam first: who reads it decides how large its pages are.
    fn open_anew(&self, path: &Path) -> Result<()> {
        let mut input = std::ffi::OsString::from("if=");
        input.push(path);
        for command in [
            Command::new("sync").arg(path),
            Command::new("dd").arg(input).args(["iflag=nocache", "count=0", "status=none"]),
        ] {
            let ended = command.status().with_context(|| format!("starting {command:?}"))?;
            ensure!(ended.success(), "{command:?} failed with {ended}");
        }
        let mut command = Command::new(&self.options.bantam);
        command.arg("bench").arg(path).args(["--json", "--prompt", "1", "--generate", "1", "--repeat", "1"]);
        answer::<Value>(command.args(["--backend", self.backend])).map(drop)
    }

    /// Runs all rounds of a job.
    fn rounds(&self, name: &str, path: &Path, job: &Job) -> Result<Vec<Round>> {
        let tests: Vec<String> = job.tests.iter().map(Test::to_string).collect();
        let mut rounds = Vec::new();
        for round in 0..self.options.rounds {
            eprintln!("{name}, {}: round {} of {}", tests.join(" and "), round + 1, self.options.rounds);
            // The turns alternate, so that neither side always runs on the warmer machine.
            let early = if round % 2 == 1 { Some(self.peer(path, job)?) } else { None };
            let before = self.limits()?;
            let bantam = self.bantam(path, job)?;
            let limits = before.mean(&self.limits()?);
            let peer = match early {
                Some(peer) => peer,
                None => self.peer(path, job)?,
            };
            rounds.push(Round { bantam, peer, limits });
        }
        Ok(rounds)
    }

    fn bantam(&self, path: &Path, job: &Job) -> Result<Measurement> {
        let mut command = bench(&self.options.bantam, path, job);
        answer(command.arg("--json").args(["--backend", self.backend]))
    }

    fn peer(&self, path: &Path, job: &Job) -> Result<Measurement> {
        answer(&mut bench(&self.itself, path, job))
    }

    fn limits(&self) -> Result<Limits> {
        let mut command = Command::new(&self.itself);
        // With large pages, as most is read with them.
        command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        answer(command.args(["limits", "--backend", self.backend, "--threads", &self.threads.to_string()]))
    }
}

/// The command line that both sides understand.
fn bench(binary: &Path, path: &Path, job: &Job) -> Command {
    let work = &job.work;
    let mut command = Command::new(binary);
    command.arg("bench").arg(path);
    for (option, value) in [
        ("--depth", work.depth),
        ("--prompt", work.prompt),
        ("--generate", work.generate),
        ("--threads", threads_or_all(work.threads)),
        ("--repeat", job.repeat),
    ] {
        command.args([option.to_owned(), value.to_string()]);
    }
    command
}

/// Runs a program and reads the JSON that it prints.
fn answer<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed with {}: {}", output.status, said.trim());
    serde_json::from_slice(&output.stdout).with_context(|| format!("reading what {command:?} printed"))
}

/// Prints the result of a test, and returns it as it is written.
fn row(name: &str, test: Test, cost: &Cost, job: &Job, rounds: &[Round]) -> Result<Value> {
    let rate = |side: &Measurement| -> Result<f64> {
        let rates = match test {
            Test::Prefill(_) => side.prefill_tps,
            Test::Decode(_) => side.decode_tps,
        };
        Ok(rates.with_context(|| format!("{test} was not measured"))?.median)
    };
    let (mut ours, mut theirs, mut ratios, mut shares) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in rounds {
        let (our, their) = (rate(&round.bantam)?, rate(&round.peer)?);
        ours.push(our);
        theirs.push(their);
        ratios.push(our / their);
        shares.extend(cost.share(test, &job.work, our, &round.limits));
    }
    let (ours, theirs, ratio) = (Spread::of(ours)?, Spread::of(theirs)?, Spread::of(ratios)?);
    let share = Spread::of(shares).ok();
    let percent = share.map_or("-".to_owned(), |share| format!("{:.0} %", share.median * 100.0));
    println!(
        "{name:<14}{test:<13}{:>13.1}{:>13.1}{:>8.2}{:>18}{percent:>9}",
        ours.median,
        theirs.median,
        ratio.median,
        format!("{:.2} to {:.2}", ratio.min, ratio.max),
    );
    Ok(json!({
        "model": name, "test": test.to_string(), "ratio": ratio.median, "bantam": ours.median, "peer": theirs.median,
        "ceiling_share": share.map(|share| share.median), "ratio_min": ratio.min, "ratio_max": ratio.max,
    }))
}

/// Anonymous memory of both sides.
fn memory_of(name: &str, rounds: &[Round]) -> Result<Value> {
    let [bantam, peer] =
        [|round: &Round| round.bantam.anonymous_bytes, |round: &Round| round.peer.anonymous_bytes]
            .map(|of| Spread::of(rounds.iter().filter_map(of).map(|bytes| bytes as f64).collect()));
    Ok(json!({ "model": name, "bantam": bantam?.median, "peer": peer?.median }))
}

fn text<'value>(row: &'value Value, key: &str) -> &'value str {
    row[key].as_str().unwrap_or_default()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_default()
}

/// Writes the results, and the folder that they go to.
pub(crate) fn write(path: &Path, results: &Value) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(results)?))
        .with_context(|| format!("writing {}", path.display()))
}
