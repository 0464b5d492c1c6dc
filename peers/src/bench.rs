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
    /// Tokens in front of all that is measured.
    #[arg(long, default_value_t = 0)]
    pub(crate) depth: u32,
    /// Tokens of the prefill; 0 measures decoding alone.
    #[arg(long, default_value_t = 512)]
    pub(crate) prompt: u32,
    /// Tokens generated after it, one by one; 0 measures the prefill alone.
    #[arg(long, default_value_t = 128)]
    pub(crate) generate: u32,
    /// Threads; as many as there are CPUs unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) threads: Option<u32>,
}

/// The number of threads, asked for or found.
pub(crate) fn threads_or_all(threads: Option<u32>) -> u32 {
    threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |count| count.get() as u32))
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
    pub(crate) prefill_tps: Option<Spread>,
    /// Generated tokens per second, at the positions after the prompt.
    pub(crate) decode_tps: Option<Spread>,
    pub(crate) load_ms: f64,
    /// Memory that no file backs, at the end.
    pub(crate) anonymous_bytes: Option<u64>,
    /// Memory that the mapped file backs, at the end.
    pub(crate) file_bytes: Option<u64>,
}

/// Measures `work` on `path`, `repeat` times after one run that does not count, and prints JSON.
pub(crate) fn print(path: &Path, work: &Work, repeat: u32) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&measure(path, work, repeat)?)?);
    Ok(())
}

fn measure(path: &Path, work: &Work, repeat: u32) -> Result<Measurement> {
    let start = Instant::now();
    let model = Model::open(path, Load::Fast)?;
    let threads = threads_or_all(work.threads);
    let prompt_len = work.prompt.max(1) as usize;
    let positions = work.depth as usize + prompt_len + work.generate as usize;
    let settings = Settings { positions, threads, flash_attention: true, yarn: Yarn::default() };
    let mut context = Context::open(&model, &settings)?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;

    let vocabulary = u32::try_from(model.vocabulary_size())?;
    ensure!(vocabulary > 0, "{} has no tokens", path.display());
    let mut random = Random::new(4);
    let mut draw =
        |count: usize| -> Vec<Token> { (0..count).map(|_| random.below(vocabulary) as Token).collect() };
    // Without a prompt there still is a token to go on from.
    let (past, prompt) = (draw(work.depth as usize), draw(prompt_len));
    if !past.is_empty() {
        context.decode(&past, Outputs::Last)?;
    }
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for round in 0..=repeat {
        context.rewind(past.len())?;
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
            prefill.push(f64::from(work.prompt) / prefilled);
            decode.push(f64::from(work.generate) / start.elapsed().as_secs_f64());
        }
    }
    Ok(Measurement {
        model: path.display().to_string(),
        threads,
        backend: format!("ggml {}", llama::version()),
        prefill_tps: (work.prompt > 0).then(|| Spread::of(prefill)).transpose()?,
        decode_tps: (work.generate > 0).then(|| Spread::of(decode)).transpose()?,
        load_ms,
        anonymous_bytes: Some(resident("RssAnon:")?),
        file_bytes: Some(resident("RssFile:")?),
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
