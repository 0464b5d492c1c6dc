//! Weights are never copied: what this whole process holds in memory of its own, with the demo model read to the last of
//! 2048 positions. One test alone in its program, since it reads the memory of the process.
#![cfg(all(feature = "std", target_os = "linux"))]

mod common;

use bantam::{Backend, Model, Sampler};

use common::{demo_model, only_scalar, session, tokens};

/// A field of /proc/self/status, in bytes. `RssAnon` is memory that belongs to no file: stacks, heap, arenas.
fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

#[test]
fn the_demo_model_in_2048_positions_takes_less_than_60_mb() {
    let Some(path) = demo_model() else { return };
    if only_scalar() {
        println!("skipped: 2048 tokens take the scalar backend too long");
        return;
    }
    let harness = status("RssAnon");
    let model = Model::open(path).unwrap();
    let opened = status("RssAnon");
    let mut session = session(&model, 2, 2048, bantam::BATCH_DEFAULT);
    let planned = session.memory();
    let prepared = status("RssAnon");
    let tokens = tokens(&model, 2047);
    session.prefill(&tokens).unwrap();
    let next = session.sample(&mut Sampler::greedy()).unwrap();
    session.decode(next).unwrap();
    assert_eq!(session.position(), 2048);
    let whole = status("RssAnon");
    println!(
        "anonymous memory on {}: {:.1} MB in all. Before: {:.1}; model and tokenizer: {:.1}; session opened: {:.1}; \
         2048 positions read: {:.1}. Planned: {:.1} for keys and values, {:.1} for the rest. Mapped: {:.1} MB",
        Backend::detect().name(),
        megabytes(whole),
        megabytes(harness),
        megabytes(opened - harness),
        megabytes(prepared - opened),
        megabytes(whole - prepared),
        megabytes(planned.kv_bytes),
        megabytes(planned.scratch_bytes),
        megabytes(status("RssFile")),
    );
    assert_eq!(planned.kv_bytes, 2048 * 30 * 2 * 192 * 2, "positions, layers, keys and values, width, bytes");
    assert!(prepared - opened < 2_000_000, "an open session has not touched what it has not used");
    assert!(whole < 60_000_000, "{whole} bytes of anonymous memory");
}
