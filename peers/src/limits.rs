//! `limits`: what this machine can do at most, by the loops of `bantam_kernels::ceiling` on as many threads as the models
//! are run with.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use bantam_kernels::Backend;
use bantam_kernels::ceiling::READ;
use serde::{Deserialize, Serialize};

/// The limits of all threads together.
#[derive(Serialize, Deserialize, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes read from memory per second.
    pub(crate) bytes: f64,
    /// Products of bytes added up per second, by the backend's own instruction for that.
    pub(crate) macs: f64,
}

impl Limits {
    /// What lies between two measurements.
    pub(crate) fn mean(&self, other: &Limits) -> Limits {
        Limits { bytes: (self.bytes + other.bytes) / 2.0, macs: (self.macs + other.macs) / 2.0 }
    }
}

/// Runs of each loop; the best counts.
const RUNS: usize = 8;
/// Rounds of the multiplying loop that tell how many take long enough.
const FEW: usize = 10_000;
/// Seconds that a run of it should take.
const RUN: f64 = 0.02;

/// Measures the limits of `backend`, the best one unless named, and prints them as JSON.
pub(crate) fn print(backend: Option<&str>, threads: u32) -> Result<()> {
    let backend = match backend {
        Some(name) => Backend::by_name(name).map_err(|error| anyhow!("{name}: {error:?}"))?,
        None => Backend::detect(),
    };
    let threads = threads as usize;
    println!(
        "{}",
        serde_json::to_string(&Limits { bytes: bytes(backend, threads), macs: macs(backend, threads)? })?
    );
    Ok(())
}

/// The seconds in which `threads` threads have done `work`.
fn seconds<T: Send>(threads: impl Iterator<Item = T>, work: impl Fn(T) + Sync) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        let work = &work;
        threads.for_each(|part| drop(scope.spawn(move || work(part))));
    });
    start.elapsed().as_secs_f64()
}

/// The highest rate of several runs that take `seconds` for `amount`.
fn best(amount: f64, seconds: impl Fn() -> f64) -> f64 {
    (0..RUNS).map(|_| amount / seconds()).fold(0.0, f64::max)
}

fn bytes(backend: Backend, threads: usize) -> f64 {
    // Each thread has its own part of what no cache can hold.
    let part = (buffer_bytes() / threads).next_multiple_of(READ);
    let buffer = vec![1u8; part * threads];
    best(buffer.len() as f64, || {
        seconds(buffer.chunks_exact(part), |part| {
            black_box(backend.read_ceiling(part));
        })
    })
}

fn macs(backend: Backend, threads: usize) -> Result<f64> {
    let start = Instant::now();
    backend.multiply_ceiling(FEW);
    let rounds = (RUN / start.elapsed().as_secs_f64() * FEW as f64) as usize;
    let products =
        backend.multiply_ceiling(rounds.max(1)).checked_mul(threads as u64).context("too many threads")?;
    Ok(best(products as f64, || {
        seconds(0..threads, |_| {
            black_box(backend.multiply_ceiling(rounds.max(1)));
        })
    }))
}

/// Eight times the last cache, and at least 256 MiB.
fn buffer_bytes() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").unwrap_or_default();
    let kib: usize = text.trim().trim_end_matches('K').parse().unwrap_or(0);
    (8 * kib * 1024).max(256 << 20)
}
