//! What the peer was built with, held against what the CPU has: a peer without the CPU's instruction sets or without
//! OpenMP would lose for the wrong reason.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, ensure};

use crate::llama;

/// What the peer is meant to be built for.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Build {
    /// This very CPU.
    Native,
    /// A CPU with AVX2 and nothing beyond.
    Avx2,
}

/// A flag of /proc/cpuinfo, the name of the same instruction set in the peer's line about itself, and whether CPUs with
/// AVX2 have it.
const INSTRUCTION_SETS: &[(&str, &str, bool)] = &[
    ("ssse3", "SSSE3", true),
    ("avx", "AVX", true),
    ("avx2", "AVX2", true),
    ("f16c", "F16C", true),
    ("fma", "FMA", true),
    ("bmi2", "BMI2", true),
    ("avx_vnni", "AVX_VNNI", false),
    ("avx512f", "AVX512", false),
    ("avx512vbmi", "AVX512_VBMI", false),
    ("avx512_vnni", "AVX512_VNNI", false),
    ("avx512_bf16", "AVX512_BF16", false),
    ("amx_int8", "AMX_INT8", false),
    ("asimd", "NEON", false),
    ("asimddp", "DOTPROD", false),
    ("asimdhp", "FP16_VA", false),
    ("i8mm", "MATMUL_INT8", false),
    ("sve", "SVE", false),
];

/// The names in the peer's line about itself whose value is not 0:
/// `CPU : SSE3 = 1 | AVX = 1 | AMX_INT8 = 0 | REPACK = 1 |` gives SSE3, AVX and REPACK.
pub(crate) fn built() -> Vec<String> {
    let line = llama::system_info();
    let parts = line.split(['|', ':']).filter_map(|part| part.split_once('='));
    parts.filter(|(_, value)| value.trim() != "0").map(|(name, _)| name.trim().to_owned()).collect()
}

/// An error if this program was built otherwise than `build` says.
pub(crate) fn check(build: Build) -> Result<()> {
    let built = built();
    let has = |name: &&str| built.iter().any(|feature| feature == name);
    let sets = || INSTRUCTION_SETS.iter().filter(|(.., avx2)| build == Build::Native || *avx2);
    let cpu = cpu()?;
    let mut wanted: Vec<&str> = sets().map(|(_, name, _)| *name).filter(|name| cpu.contains(name)).collect();
    wanted.push("OPENMP");
    wanted.retain(|name| !has(name));
    let mut extra: Vec<&str> = INSTRUCTION_SETS.iter().map(|(_, name, _)| *name).filter(has).collect();
    extra.retain(|name| !sets().any(|(_, set, _)| set == name));
    let say = format!("built for {build:?}, as `make peers` does; it says: {}", llama::system_info());
    ensure!(wanted.is_empty(), "the peer lacks {} to be {say}", wanted.join(", "));
    ensure!(extra.is_empty(), "the peer has {} beyond what is {say}", extra.join(", "));
    Ok(())
}

/// The instruction sets of this CPU, by the peer's names.
pub(crate) fn cpu() -> Result<Vec<&'static str>> {
    let text = std::fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
    let flags = text.lines().find_map(|line| {
        let (key, flags) = line.split_once(':')?;
        matches!(key.trim(), "flags" | "Features").then_some(flags)
    });
    let flags: Vec<&str> = flags.context("/proc/cpuinfo names no CPU features")?.split_whitespace().collect();
    Ok(INSTRUCTION_SETS.iter().filter(|(flag, ..)| flags.contains(flag)).map(|(_, name, _)| *name).collect())
}
