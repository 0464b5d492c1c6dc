//! What a token costs at least: the bytes that must be read, the products that must be multiplied. Attention's own
//! multiplications are not counted.
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::bench::Work;
use crate::ggml::Type;
use crate::gguf;
use crate::limits::Limits;
use crate::test::Test;

/// Whether columns are multiplied with it: the names of the other weights say so.
fn is_matrix(name: &str) -> bool {
    name.ends_with(".weight") && !name.contains("norm") && !name.starts_with("rope")
}

/// The sums of a model's tensors.
pub(crate) struct Cost {
    /// Bytes of all weights that every pass reads.
    weights: f64,
    /// Bytes of keys and values of one position, as f16.
    position: f64,
    /// Products of one token in the layers.
    layers: f64,
    /// Products of the scores of one token.
    output: f64,
    /// Whether bytes are multiplied: not in models of floats.
    bytes: bool,
}

impl Cost {
    /// Adds up the tensors of a file.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let tensors = gguf::tensors(path)?;
        let untied = tensors.iter().any(|tensor| tensor.name == "output.weight");
        let mut cost = Self { weights: 0.0, position: 0.0, layers: 0.0, output: 0.0, bytes: true };
        let width = tensors.iter().find(|tensor| tensor.name == "output_norm.weight");
        let width =
            width.with_context(|| format!("{} has no output_norm", path.display()))?.bytes as f64 / 4.0;
        for tensor in &tensors {
            let format = Type::by_id(tensor.format)?;
            let values = (tensor.bytes / format.block_bytes * format.block_values) as f64;
            let embedding = tensor.name == "token_embd.weight";
            // Of an embedding that does not score too, a token reads one row.
            if !(embedding && untied) {
                cost.weights += tensor.bytes as f64;
            }
            if embedding && !untied || tensor.name == "output.weight" {
                cost.output = values;
            } else if !embedding && is_matrix(&tensor.name) {
                cost.layers += values;
                cost.bytes &= format.block_values > 1;
            }
            if tensor.name.ends_with(".attn_k.weight") || tensor.name.ends_with(".attn_v.weight") {
                cost.position += values / width * 2.0;
            }
        }
        Ok(cost)
    }

    /// How much of what the machine can do at most a rate is, in tokens per second: the larger of the shares of reading
    /// and of multiplying. `None` if the model multiplies floats and reading is not what limits it.
    pub(crate) fn share(&self, test: Test, work: &Work, rate: f64, limits: &Limits) -> Option<f64> {
        let (tokens, depth) = match test {
            Test::Prefill(length) => (f64::from(length), f64::from(work.depth) + f64::from(length) / 2.0),
            Test::Decode(depth) => (1.0, f64::from(depth) + f64::from(work.generate) / 2.0),
        };
        let passes = rate / tokens;
        let reading = passes * (self.weights + self.position * depth) / limits.bytes;
        let multiplying = passes * (self.layers * tokens + self.output) / limits.macs;
        match self.bytes {
            true => Some(reading.max(multiplying)),
            false => matches!(test, Test::Decode(_)).then_some(reading),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_larger_of_reading_and_multiplying() {
        let cost = Cost { weights: 1000.0, position: 10.0, layers: 1500.0, output: 500.0, bytes: true };
        let limits = Limits { bytes: 20_000.0, macs: 160_000.0 };
        let work = Work { depth: 100, prompt: 0, generate: 0, threads: None };
        // Ten tokens a second read 1000 + 100 * 10 bytes each, of 20000.
        assert_eq!(cost.share(Test::Decode(100), &work, 10.0, &limits), Some(1.0));
        // Two prompts of ten tokens a second: 2 (10 * 1500 + 500) products of 160000.
        let work = Work { depth: 0, prompt: 10, ..work };
        assert_eq!(cost.share(Test::Prefill(10), &work, 20.0, &limits), Some(0.19375));
        let floats = Cost { bytes: false, ..cost };
        assert_eq!(floats.share(Test::Prefill(10), &work, 20.0, &limits), None);
    }
}
