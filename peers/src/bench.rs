//! `bench`: llama.cpp alone, as its users run it: weights repacked where that is faster, its own choice of attention.
//!
//! Invariant: the JSON has the keys of `bantam bench --json`, so both are read by the same code.
#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::llama::{self, Context, Load, Model, Outputs, Settings, Token, Yarn};
use crate::random::Random;

/// What is measured.
#[derive(clap::Args, Clone)]
pub(crate) struct Work {
    /// Tokens of the prefill.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) prompt: u32,
    /// Tokens generated after it, one by one.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) generate: u32,
    /// Threads; as many as there are CPUs unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) threads: Option<u32>,
}

impl Work {
    /// The number of threads, asked for or found.
    pub(crate) fn threads(&self) -> u32 {
        self.threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |count| count.get() as u32))
    }
}

/// Median, least and greatest of a few measurements.
#[derive(Serialize, Deserialize, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Summarises at least one measurement.
    pub(crate) fn of(mut values: Vec<f64>) -> Result<Self> {
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            anyhow::bail!("nothing was measured")
        };
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Ok(Self { median, min, max })
    }
}

/// What one process measured.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) model: String,
    pub(crate) threads: u32,
    /// Name of Bantam's backend; of the peer, the library.
    pub(crate) backend: String,
    /// Prompt tokens per second.
    pub(crate) prefill_tps: Spread,
    /// Generated tokens per second, at the positions after the prompt.
    pub(crate) decode_tps: Spread,
    pub(crate) load_ms: f64,
    pub(crate) first_token_ms: f64,
    /// Memory that no file backs, at the end.
    pub(crate) anonymous_bytes: u64,
    /// Memory that the mapped file backs, at the end.
    pub(crate) file_bytes: u64,
    /// The peer's line about what it was built with; empty for Bantam.
    #[serde(default)]
    pub(crate) system_info: String,
    /// The names in that line whose value is not 0.
    #[serde(default)]
    pub(crate) features: Vec<String>,
}

/// Measures `work` on `path`, `repeat` times after one run that does not count, and prints JSON.
pub(crate) fn print(path: &Path, work: &Work, repeat: u32) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&measure(path, work, repeat)?)?);
    Ok(())
}

fn measure(path: &Path, work: &Work, repeat: u32) -> Result<Measurement> {
    let start = Instant::now();
    let model = Model::open(path, Load::Fast)?;
    let positions = usize::try_from(work.prompt + work.generate)?;
    let settings =
        Settings { positions, threads: work.threads(), flash_attention: true, yarn: Yarn::default() };
    let mut context = Context::open(&model, &settings)?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;

    let vocabulary = u32::try_from(model.vocabulary_size())?;
    ensure!(vocabulary > 0, "{} has no tokens", path.display());
    let mut random = Random::new(4);
    let prompt: Vec<Token> = (0..work.prompt).map(|_| random.below(vocabulary) as Token).collect();
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for round in 0..=repeat {
        context.clear();
        let start = Instant::now();
        context.decode(&prompt, Outputs::Last)?;
        let mut next = largest(context.last_logits()?);
        let prefilled = start.elapsed().as_secs_f64();
        let start = Instant::now();
        // The run that does not count touches every weight once; a few tokens are enough to wake the threads.
        let steps = if round == 0 { work.generate.min(8) } else { work.generate };
        for _ in 0..steps {
            context.decode(&[next], Outputs::Last)?;
            next = largest(context.last_logits()?);
        }
        if round > 0 {
            prefill.push(prefilled);
            decode.push(start.elapsed().as_secs_f64());
        }
    }
    let per_second = |tokens: u32, times: &[f64]| -> Result<Spread> {
        Spread::of(times.iter().map(|time| f64::from(tokens) / time).collect())
    };
    let system_info = llama::system_info();
    Ok(Measurement {
        model: path.display().to_string(),
        threads: settings.threads,
        backend: format!("ggml {}", llama::version()),
        prefill_tps: per_second(work.prompt, &prefill)?,
        decode_tps: per_second(work.generate, &decode)?,
        load_ms,
        first_token_ms: Spread::of(prefill)?.median * 1e3,
        anonymous_bytes: resident("RssAnon:")?,
        file_bytes: resident("RssFile:")?,
        features: features(&system_info),
        system_info,
    })
}

/// The id of the largest logit.
fn largest(logits: &[f32]) -> Token {
    let best = (0..)
        .zip(logits)
        .fold((0, f32::NEG_INFINITY), |best, (id, &logit)| if logit > best.1 { (id, logit) } else { best });
    best.0
}

/// A field of the process's status, in bytes.
fn resident(field: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading the process's own memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib =
        line.and_then(|line| line.trim().strip_suffix(" kB")).context("no memory in the process's status")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}

/// `CPU : SSE3 = 1 | AVX = 1 | AMX_INT8 = 0 | REPACK = 1 |` -> the names that are not 0.
fn features(system_info: &str) -> Vec<String> {
    let parts = system_info.split(['|', ':']).filter_map(|part| part.split_once('='));
    parts.filter(|(_, value)| value.trim() != "0").map(|(name, _)| name.trim().to_owned()).collect()
}
