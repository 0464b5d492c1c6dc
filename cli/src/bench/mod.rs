//! `bantam bench`: how fast a model is on this machine and how much memory it holds; or how fast each kernel is.
//!
//! Invariant: what is timed is what an answer does: read the prompt, then choose and read one token after the other.
#![forbid(unsafe_code)]

mod kernels;

use std::path::PathBuf;
use std::time::Instant;

use bantam::{Sampler, Session, SessionOptions, TokenId};
use clap::Args;
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::memory::Memory;
use crate::options::{Cache, Machine, ModelFile};
use crate::output;
use crate::progress::{self, Progress};
use crate::units;

const EXPLANATION: &str = "\
What is measured, in each of --repeat rounds after one that does not count:
  prefill      a prompt of random tokens is read, in prompt tokens per second
  decode       tokens are chosen greedily and read one by one, at the positions behind the prompt
and beside them:
  load         the model is opened and all of the session's memory is had
  first token  the median time from handing over the prompt to the first token of an answer
  memory       the most that was resident: anonymous (KV cache, buffers), of files (weights)

With --depth, prompt and answer stand behind that many tokens, read once and not measured, as in a chat that is long already.

With --kernels no model is needed. Each kernel of each backend that this CPU runs is measured by itself, on one thread unless \
--threads says more:
  matmul       weights of every format, read from memory, times 1, 8 and 512 columns: one column is a token that is decoded, \
many are a prompt; GB/s are bytes of weights, GMAC/s 10^9 multiplications per second
  attend       the query heads of a token against keys and values of each cache format, read from memory
  attend_wide  those of a block of tokens, as a prompt has them
  store_kv, dequantize, quantize_q8, rms_norm, rope, silu_mul, add
               vectors of --k values in the cache; GB/s are bytes read and written
  ceiling      the time that the machine needs at least, to read the bytes or to make the products with the instruction that the \
backend multiplies with, as a share of the time that the kernel took; both limits are measured too, at their best

A median is shown with the least and the greatest round. MB is 10^6 bytes. Run it on an idle machine.

Examples:
  bantam bench model.gguf
  bantam bench model.gguf --prompt 2048 --generate 0 --threads 4
  bantam bench model.gguf --prompt 8 --generate 64 --depth 4096
  bantam bench model.gguf --backend avx2 --json
  bantam bench --kernels --backend avx2 --only matmul --columns 1,16
  bantam bench --kernels --format Q4_0,Q4_K --threads 2 --json";

/// Tokens read before an answer that is timed without a prompt.
const START: [TokenId; 1] = [0];
/// Tokens generated in the round that does not count: enough to wake the threads.
const WARM_UP: usize = 8;

/// Measure the speed and the memory of a model on this machine, or its kernels
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Bench {
    /// The model: a GGUF file
    #[arg(value_name = "MODEL", required_unless_present = "kernels",
        conflicts_with_all = ["kernels", "only", "format", "columns", "k", "rows", "copies", "quantize"])]
    path: Option<PathBuf>,
    /// Measure the kernels by themselves, without a model
    #[arg(long = "kernels", id = "kernels", conflicts_with = "kv_format")]
    by_kernel: bool,
    #[command(flatten)]
    kernels: kernels::Kernels,
    /// Tokens of the prompt; 0 measures decode alone
    #[arg(long, conflicts_with = "kernels", value_name = "TOKENS", default_value_t = 512)]
    prompt: u32,
    /// Tokens generated behind it; 0 measures prefill alone
    #[arg(long, conflicts_with = "kernels", value_name = "TOKENS", default_value_t = 128)]
    generate: u32,
    /// Tokens in front of both, which are not measured
    #[arg(long, conflicts_with = "kernels", value_name = "TOKENS", default_value_t = 0)]
    depth: u32,
    /// Rounds that count
    #[arg(long, conflicts_with = "kernels", value_name = "ROUNDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    #[command(flatten)]
    cache: Cache,
    #[command(flatten)]
    machine: Machine,
    /// Print JSON: what was asked for, and tokens per second as {median, min, max}, null for a part that was not measured
    #[arg(long)]
    json: bool,
}

/// What was measured; the names are the keys of the JSON.
#[derive(Serialize)]
struct Measurement {
    model: String,
    backend: &'static str,
    threads: usize,
    /// CPUs that may be used, and those of them that are fast.
    cpus: usize,
    fast_cpus: usize,
    /// What was asked for.
    prompt: u32,
    generate: u32,
    depth: u32,
    repeat: u32,
    cache_type: &'static str,
    prefill_tps: Option<Spread>,
    decode_tps: Option<Spread>,
    load_ms: f64,
    first_token_ms: Option<f64>,
    anonymous_bytes: Option<u64>,
    file_bytes: Option<u64>,
}

/// Median, least and greatest of a few measurements.
#[derive(Serialize, Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// `None` of no measurements.
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { median, min, max })
    }

    /// Of the rates at which `tokens` passed in each of `seconds`.
    fn of_rates(tokens: usize, seconds: &[f64]) -> Option<Spread> {
        Spread::of(seconds.iter().map(|seconds| tokens as f64 / seconds).collect())
    }
}

/// The seconds of each round that counts.
#[derive(Default)]
struct Times {
    prefill: Vec<f64>,
    decode: Vec<f64>,
}

impl Bench {
    pub(crate) fn execute(&self) -> Result<()> {
        if self.by_kernel {
            let Machine { backend, threads, .. } = &self.machine;
            let (threads, cpus) = (threads.map_or(1, usize::from), self.machine.cpus());
            if threads > cpus.usable() {
                return Err(Failure::Usage(format!(
                    "--threads {threads} of --kernels would take the CPUs from each other: there are {cpus}"
                )));
            }
            self.machine.prioritize()?;
            return self.kernels.execute(backend.as_deref(), threads, self.json);
        }
        if self.prompt == 0 && self.generate == 0 {
            return Err(Failure::Usage("--prompt 0 and --generate 0 leave nothing to measure".into()));
        }
        // Without one there is nothing to measure but kernels.
        let file = ModelFile { path: self.path.clone().unwrap_or_default() };
        let measurement = self.measure(&file)?;
        if !self.json {
            return output::print(&self.report(&measurement));
        }
        let json = serde_json::to_string_pretty(&measurement)
            .map_err(|error| Failure::Message(format!("cannot write JSON: {error}")))?;
        output::print(&format!("{json}\n"))
    }

    fn measure(&self, file: &ModelFile) -> Result<Measurement> {
        let start = Instant::now();
        let model = self.machine.open(file)?;
        let lengths = [self.depth, self.prompt.max(1), self.generate].map(|length| length as usize);
        let context = lengths.into_iter().fold(0, usize::saturating_add);
        let kv_format = self.cache.kv_format;
        let options = SessionOptions { context: Some(context), kv_format, ..SessionOptions::default() };
        let mut session = Session::open(&model, self.machine.pool()?, &options)?;
        let load_ms = start.elapsed().as_secs_f64() * 1e3;

        let tokens = random_tokens(self.depth as usize + self.prompt as usize, model.hyper().vocab_size);
        let (past, prompt) = tokens.split_at(self.depth as usize);
        if !past.is_empty() {
            progress::prompt(&mut session, past)?;
        }
        let mut times = Times::default();
        let mut memory = Memory::now();
        let mut progress = Progress::new("measuring", self.repeat as usize + 1);
        for round in 0..=self.repeat {
            self.round(&mut session, prompt, round > 0, &mut times)?;
            memory = memory.zip(Memory::now()).map(|(a, b)| a.max(b));
            progress.at(round as usize + 1);
        }
        let cpus = self.machine.cpus();
        Ok(Measurement {
            model: file.path.display().to_string(),
            backend: model.backend().name(),
            threads: session.threads(),
            cpus: cpus.usable(),
            fast_cpus: cpus.fast(),
            prompt: self.prompt,
            generate: self.generate,
            depth: self.depth,
            repeat: self.repeat,
            cache_type: kv_format.name(),
            prefill_tps: Spread::of_rates(prompt.len(), &times.prefill),
            decode_tps: Spread::of_rates(self.generate as usize, &times.decode),
            load_ms,
            first_token_ms: Spread::of(times.prefill).map(|seconds| seconds.median * 1e3),
            anonymous_bytes: memory.map(|memory| memory.anonymous_bytes),
            file_bytes: memory.map(|memory| memory.file_bytes),
        })
    }

    /// Reads the prompt behind what was read beforehand, and generates behind it. The first round only generates a few tokens and is not kept.
    fn round(
        &self,
        session: &mut Session,
        prompt: &[TokenId],
        counts: bool,
        times: &mut Times,
    ) -> Result<()> {
        let mut sampler = Sampler::greedy();
        session.rewind(self.depth as usize);
        let start = Instant::now();
        session.prefill(if prompt.is_empty() { &START } else { prompt })?;
        let mut next = session.sample(&mut sampler)?;
        let prefill = start.elapsed().as_secs_f64();

        let generate = self.generate as usize;
        let start = Instant::now();
        for _ in 0..if counts { generate } else { generate.min(WARM_UP) } {
            session.decode(next)?;
            next = session.sample(&mut sampler)?;
        }
        let decode = start.elapsed().as_secs_f64();
        if counts && !prompt.is_empty() {
            times.prefill.push(prefill);
        }
        if counts && generate > 0 {
            times.decode.push(decode);
        }
        Ok(())
    }

    /// The measurement as a table.
    fn report(&self, measurement: &Measurement) -> String {
        let Measurement { model, backend, threads, .. } = measurement;
        let (threads, cpus) = (units::plural(*threads, "thread"), self.machine.cpus());
        let mut lines =
            vec![format!("model        {model}"), format!("backend      {backend}, {threads} on {cpus}")];
        let rates = [
            ("prefill", self.prompt, measurement.prefill_tps),
            ("decode", self.generate, measurement.decode_tps),
        ];
        let depth = match self.depth {
            0 => String::new(),
            depth => format!(" behind {depth}"),
        };
        for (name, tokens, rate) in rates {
            if let Some(Spread { median, min, max }) = rate {
                let tokens = units::plural(tokens as usize, "token");
                lines
                    .push(format!("{name:<12} {median:.1} tokens/s ({min:.1} to {max:.1}), {tokens}{depth}"));
            }
        }
        lines.push(format!("load         {:.1} ms", measurement.load_ms));
        if let Some(first_token_ms) = measurement.first_token_ms {
            lines.push(format!("first token  {first_token_ms:.1} ms"));
        }
        if let (Some(anonymous), Some(file)) = (measurement.anonymous_bytes, measurement.file_bytes) {
            let (anonymous, file) = (units::bytes(anonymous), units::bytes(file));
            lines.push(format!("memory       {anonymous} anonymous, {file} of files"));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Tokens without a pattern, the same ones every time.
fn random_tokens(count: usize, vocab_size: usize) -> Vec<TokenId> {
    let mut state = 4u64;
    let mut draw = || {
        // Knuth's MMIX generator; its high bits are random enough to be a prompt.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) % vocab_size as u64) as TokenId
    };
    (0..count).map(|_| draw()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_its_bounds() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of_rates(10, &[2.0]), Some(Spread { median: 5.0, min: 5.0, max: 5.0 }));
    }

    #[test]
    fn random_tokens_are_in_the_vocabulary_and_differ() {
        let tokens = random_tokens(1000, 300);
        assert!(tokens.iter().all(|&token| token < 300));
        let mut distinct = tokens.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 200);
    }
}
