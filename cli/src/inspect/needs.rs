//! What a description of an architecture would have to place, if this version does not know it: its tensors, those of layers
//! by their part of the name, and its hyper-parameters.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use bantam::Model;
use bantam::gguf::File;
use serde::Serialize;

use crate::tokenize::escape;
use crate::units;

/// The names are the keys of the JSON.
#[derive(Serialize)]
pub(super) struct Needs {
    /// Of every kind of tensor: `blk.N.attn_q.weight`, or a name outside of the layers.
    tensors: Vec<Kind>,
    /// The metadata under the architecture's name.
    keys: Vec<String>,
}

#[derive(Serialize)]
struct Kind {
    name: String,
    /// Layers that have one.
    count: usize,
    /// Shapes, if not all have the same, of the first.
    shape: Vec<u64>,
}

impl Needs {
    /// Nothing if the architecture is known, or not stated.
    pub(super) fn of(file: &File, architecture: Option<&str>) -> Option<Needs> {
        let architecture = architecture?;
        if Model::architectures().any(|known| known == architecture) {
            return None;
        }
        let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
        for (name, tensor) in file.tensors() {
            let name = kind_of(name);
            let kind = kinds.entry(name.clone()).or_insert_with(|| Kind {
                name,
                count: 0,
                shape: tensor.shape[..tensor.dimensions].to_vec(),
            });
            kind.count += 1;
        }
        let start = format!("{architecture}.");
        let keys = file.entries().map(|(key, _)| key).filter(|key| key.starts_with(&start));
        Some(Needs { tensors: kinds.into_values().collect(), keys: keys.map(str::to_owned).collect() })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec!["\na description of it would have to place".to_owned()];
        lines.extend(self.tensors.iter().map(|kind| {
            let shape: Vec<String> = kind.shape.iter().map(u64::to_string).collect();
            let layers = if kind.name.starts_with("blk.N.") {
                format!(", in {}", units::plural(kind.count, "layer"))
            } else {
                String::new()
            };
            format!("  {}  {}{layers}", escape(kind.name.as_bytes()), shape.join(" x "))
        }));
        lines.push("and to obey".into());
        lines.extend(self.keys.iter().map(|key| format!("  {}", escape(key.as_bytes()))));
        lines
    }
}

/// A tensor's name without the number of its layer.
fn kind_of(name: &str) -> String {
    match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) if layer.bytes().all(|byte| byte.is_ascii_digit()) => format!("blk.N.{part}"),
        _ => name.to_owned(),
    }
}
