//! Floor 2. The architectures: one file for each, which says what its layers do, and its names in the list here.
#![forbid(unsafe_code)]

mod bert;
mod exaone4;
mod gemma2;
mod gemma3;
mod gemma4;
mod gpt_oss;
mod granite;
mod lfm2;
mod llama;
mod nomic_bert;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen35;
mod qwen3moe;
mod smollm3;

use super::description::Description;
use crate::error::Result;

/// Writes the layers of one architecture.
pub(super) type Describe = fn(&mut Description<'_>) -> Result<()>;

/// The architectures that can be run, by the name in `general.architecture`. Each is one file and a line for each name.
const ARCHITECTURES: &[(&str, Describe)] = &[
    ("bert", bert::describe),
    ("exaone4", exaone4::describe),
    ("gemma2", gemma2::describe),
    ("gemma3", gemma3::describe),
    ("gemma4", gemma4::describe),
    ("gpt-oss", gpt_oss::describe),
    ("granite", granite::describe),
    ("granitemoe", granite::describe),
    ("lfm2", lfm2::describe),
    ("lfm2moe", lfm2::describe),
    ("llama", llama::describe),
    ("nomic-bert", nomic_bert::describe),
    ("olmo2", olmo2::describe),
    ("phi3", phi3::describe),
    ("qwen2", qwen2::describe),
    ("qwen3", qwen3::describe),
    ("qwen35", qwen35::describe),
    ("qwen35moe", qwen35::describe),
    ("qwen3moe", qwen3moe::describe),
    ("smollm3", smollm3::describe),
];

/// Those whose layers have other widths and counts than the rest of them.
const UNEVEN: &[&str] = &["gemma4"];

/// What writes the layers of an architecture, if it is one of these.
pub(super) fn by_name(architecture: &str) -> Option<Describe> {
    ARCHITECTURES.iter().find(|(name, _)| *name == architecture).map(|(_, describe)| *describe)
}

/// Whether its layers have other widths and counts than the rest of them.
pub(super) fn is_uneven(architecture: &str) -> bool {
    UNEVEN.contains(&architecture)
}

/// The names of all.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|(name, _)| *name)
}
