//! Tiny models and llama.cpp's logits of them: how both are read, written and compared.

use std::path::Path;

use bantam::Model;
use serde::Deserialize;

use super::gguf::Gguf;
use super::session;

/// A tiny model under a name.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) file: Gguf,
}

/// Positions of every session. llama.cpp rounds a context up to a multiple of 256.
pub(crate) const CONTEXT: usize = 256;

/// What llama.cpp makes of a model.
#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) ids: Vec<u32>,
    /// Greedy tokens behind the prompt.
    pub(crate) generated: Vec<u32>,
    /// Positions whose logits follow.
    pub(crate) positions: Vec<usize>,
    /// Of every third token of the vocabulary.
    pub(crate) every_3rd: Vec<Vec<f32>>,
}

/// The rows of a golden file.
pub(crate) fn read(name: &str) -> Vec<Golden> {
    serde_json::from_str(&super::golden(name)).unwrap()
}

/// All models with their rows.
pub(crate) fn pairs(models: Vec<Variant>, name: &str) -> impl Iterator<Item = (Variant, Golden)> {
    let mut golden = read(name);
    assert_eq!(models.len(), golden.len(), "`make golden` writes the golden file anew");
    models.into_iter().map(move |variant| {
        let of_name = golden.iter().position(|golden| golden.name == variant.name);
        let of_name = of_name.unwrap_or_else(|| panic!("no golden logits of {}", variant.name));
        (variant, golden.swap_remove(of_name))
    })
}

/// Our logits where the golden ones are. The prompt is read in batches, the tokens behind it one by one.
pub(crate) fn logits(model: &Model, golden: &Golden, batch: usize) -> Vec<Vec<f32>> {
    let mut session = session(model, 2, CONTEXT, batch);
    let mut rows = Vec::new();
    let mut keep = |position: usize, logits: &[f32]| {
        if golden.positions.contains(&position) {
            rows.push(every_3rd(logits));
        }
    };
    session.score_each(&golden.ids, &mut keep).unwrap();
    for &token in &golden.generated {
        session.decode(token).unwrap();
        keep(session.position() - 1, session.logits());
    }
    rows
}

pub(crate) fn every_3rd(logits: &[f32]) -> Vec<f32> {
    logits.iter().copied().step_by(3).collect()
}

/// Normalised mean square error of all rows.
pub(crate) fn nmse(rows: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    assert_eq!(rows.len(), expected.len());
    let (mut error, mut power) = (0.0, 0.0);
    for (row, expected) in rows.iter().zip(expected) {
        assert_eq!(row.len(), expected.len());
        for (ours, theirs) in row.iter().zip(expected) {
            error += f64::from(ours - theirs).powi(2);
            power += f64::from(*theirs).powi(2);
        }
    }
    error / power
}

/// Writes the models into the folder `MODELS`.
pub(crate) fn write(models: &[Variant]) {
    let folder = std::env::var_os("MODELS").expect("MODELS names a folder");
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).unwrap();
    for model in models {
        std::fs::write(folder.join(model.name).with_extension("gguf"), model.file.write()).unwrap();
    }
}
