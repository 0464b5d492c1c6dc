//! Which kernels multiply each tensor: the backend whose file the matrix product comes from, on every backend of this
//! architecture. So nothing falls back to a slower tier in silence.
#![forbid(unsafe_code)]

use bantam::format::TensorType;
use bantam::gguf::{File, TensorInfo};
use bantam::{Backend, Format, Origin};
use serde_json::{Map, Value, json};

use crate::tokenize::escape;
use crate::units;

/// Tensors of one role and format: `blk.*.attn_q.weight` stands for those of all layers.
struct Group {
    name: String,
    kind: TensorType,
    tensors: usize,
    bytes: u64,
    /// Whether they are matrices; a vector is read as it stands, and has no product.
    matrix: bool,
}

/// The table for people.
pub(super) fn lines(file: &File) -> Vec<String> {
    let backends = backends();
    let groups = groups(file);
    let width = groups.iter().map(|group| group.name.chars().count()).max().unwrap_or(0).max(7);
    let mut lines = vec!["\nkernels: where each backend has its matrix product from".to_owned()];
    let mut title = format!("  {:<width$}  {:>4}  {:<7}  {:>10}", "tensors", "", "format", "bytes");
    backends.iter().for_each(|backend| title += &format!("  {:<8}", backend.backend));
    lines.push(title.trim_end().to_owned());
    for group in &groups {
        let bytes = if group.bytes == 0 { String::new() } else { units::bytes(group.bytes) };
        let (name, count) = (escape(group.name.as_bytes()), format!("x{}", group.tensors));
        let mut line = format!("  {name:<width$}  {count:>4}  {:<7}  {bytes:>10}", group.kind.name());
        match group.product() {
            Some(format) => {
                Backend::origins(format).for_each(|origin| line += &format!("  {:<8}", origin.matmul));
            }
            None if group.matrix => line += "  none: this version has no kernel of the format",
            None => line += "  none is needed: a vector",
        }
        lines.push(line.trim_end().to_owned());
    }
    let missing: Vec<&str> =
        backends.iter().filter(|backend| !backend.supported).map(|backend| backend.backend).collect();
    lines.push(format!("  this CPU runs {}", Backend::detect().name()));
    if !missing.is_empty() {
        lines.push(format!("  and lacks the instructions of {}", missing.join(", ")));
    }
    lines
}

/// `[{"name", "format", "matmul": {BACKEND: BACKEND, ..}}, ..]`; `matmul` is null for a tensor without a product.
pub(super) fn json(file: &File) -> Value {
    let backends: Vec<Value> = backends()
        .iter()
        .map(|backend| json!({ "name": backend.backend, "supported": backend.supported }))
        .collect();
    let tensors: Vec<Value> = file
        .tensors()
        .map(|(name, tensor)| {
            let origins = product(tensor.kind, is_matrix(tensor)).map(|format| {
                Backend::origins(format)
                    .map(|origin| (origin.backend.to_owned(), origin.matmul.into()))
                    .collect::<Map<String, Value>>()
            });
            json!({ "name": name, "format": tensor.kind.name(), "matmul": origins })
        })
        .collect();
    json!({ "detected": Backend::detect().name(), "backends": backends, "tensors": tensors })
}

impl Group {
    fn product(&self) -> Option<Format> {
        product(self.kind, self.matrix)
    }
}

/// The format whose kernels multiply such a tensor; `None` if none do.
fn product(kind: TensorType, matrix: bool) -> Option<Format> {
    match kind {
        TensorType::Known(format) if matrix => Some(format),
        _ => None,
    }
}

/// Every backend; any format lists them all.
fn backends() -> Vec<Origin> {
    Backend::origins(Format::F32).collect()
}

fn is_matrix(tensor: &TensorInfo) -> bool {
    tensor.dimensions > 1
}

/// The tensors of the file by role, in the order in which the roles first appear.
fn groups(file: &File) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (name, tensor) in file.tensors() {
        let (name, matrix) = (role(name), is_matrix(tensor));
        let same =
            |group: &&mut Group| (&group.name, group.kind, group.matrix) == (&name, tensor.kind, matrix);
        let bytes = tensor.data.len() as u64;
        match groups.iter_mut().find(same) {
            Some(group) => (group.tensors, group.bytes) = (group.tensors + 1, group.bytes + bytes),
            None => groups.push(Group { name, kind: tensor.kind, tensors: 1, bytes, matrix }),
        }
    }
    groups
}

/// A tensor's name with a `*` for the number of its layer: `blk.7.attn_q.weight` is `blk.*.attn_q.weight`.
fn role(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('.').map(|part| if is_number(part) { "*" } else { part }).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_share_a_role() {
        assert_eq!(role("blk.7.attn_q.weight"), "blk.*.attn_q.weight");
        assert_eq!(role("blk.29.attn_q.weight"), "blk.*.attn_q.weight");
        assert_eq!(role("token_embd.weight"), "token_embd.weight");
        assert_eq!(role("w1..2"), "w1..*");
    }
}
