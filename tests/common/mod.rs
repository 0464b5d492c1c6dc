//! What several tests need: golden files, and the demo model or a word on why it is not there.
#![allow(dead_code, reason = "every test uses a part")]

use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file below `tests/golden`.
pub(crate) fn golden(name: &str) -> String {
    let path = root().join("tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The demo model. Without it a test is skipped, but never in CI.
pub(crate) fn demo_model() -> Option<PathBuf> {
    let path = root().join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the demo model is missing; scripts/fetch-model gets it");
    println!("skipped: the demo model is missing; scripts/fetch-model gets it");
    None
}

/// Whether scalar is all that runs here, so that tests of whole prompts use it.
pub(crate) fn only_scalar() -> bool {
    bantam::Backend::available().count() == 1
}
