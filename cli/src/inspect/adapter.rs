//! What an adapter's file says of itself.
#![forbid(unsafe_code)]

use bantam::gguf::File;
use serde::Serialize;

use crate::units;

/// What is told of an adapter; the names are the keys of the JSON.
#[derive(Serialize)]
pub(super) struct Adapter {
    /// `lora`, or one that is not known here.
    kind: Option<String>,
    /// What its parts are multiplied with, over their rank.
    alpha: Option<f32>,
    /// The least and the greatest rank.
    ranks: Option<(u64, u64)>,
    /// Matrices of the model that it adds to.
    matrices: usize,
    /// Tensors that are left out.
    left_out: usize,
}

impl Adapter {
    /// Of a file that says that it is one.
    pub(super) fn of(file: &File) -> Option<Adapter> {
        if file.string("general.type").ok().flatten() != Some("adapter") {
            return None;
        }
        let ranks = || {
            let pairs = file.tensors().filter(|(name, _)| name.ends_with(".lora_b"));
            pairs.map(|(_, tensor)| tensor.shape[0])
        };
        let is_other = |name: &str| !name.ends_with(".lora_a") && !name.ends_with(".lora_b");
        Some(Adapter {
            kind: file.string("adapter.type").ok().flatten().map(str::to_owned),
            alpha: file.f32("adapter.lora.alpha").ok().flatten(),
            ranks: ranks().min().zip(ranks().max()),
            matrices: ranks().count(),
            left_out: file.tensors().filter(|(name, _)| is_other(name)).count(),
        })
    }

    /// The same for people.
    pub(super) fn line(&self) -> String {
        let kind = self.kind.as_deref().unwrap_or("of no stated type");
        let ranks = match self.ranks {
            None => "no pairs of matrices".to_owned(),
            Some((least, greatest)) if least == greatest => format!("rank {least}"),
            Some((least, greatest)) => format!("ranks {least} to {greatest}"),
        };
        let alpha = self.alpha.map_or_else(String::new, |alpha| format!(", alpha {alpha}"));
        let rest = match self.left_out {
            0 => String::new(),
            count => format!(", {} left out", units::plural(count, "tensor")),
        };
        let matrices = if self.matrices == 1 { "matrix" } else { "matrices" };
        format!("adapter        {kind}, {ranks}{alpha}, for {} {matrices}{rest}", self.matrices)
    }
}
