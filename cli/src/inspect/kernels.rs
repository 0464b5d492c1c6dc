//! Which kernels multiply each tensor, and which attend to the cache: the backend whose file they come from, on every backend
//! of this architecture. So nothing falls back to a slower tier in silence.
#![forbid(unsafe_code)]

use bantam::format::TensorType;
use bantam::gguf::{File, TensorInfo};
use bantam::{Backend, Format, KvFormat, Origin};
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

/// A line of the table: what is read, and by the kernel of which backend, for each backend; or why by none.
struct Line {
    title: [String; 4],
    from: Result<Vec<String>, &'static str>,
}

/// The table for people.
pub(super) fn lines(file: &File) -> Vec<String> {
    let backends = backends();
    let names = backends.iter().map(|backend| backend.backend.to_owned()).collect();
    let title = ["read", "", "format", "bytes"].map(str::to_owned);
    let mut table = vec![Line { title, from: Ok(names) }];
    table.extend(groups(file).iter().map(Group::line));
    table.extend(KvFormat::ALL.iter().map(|&format| Line {
        title: ["keys and values".to_owned(), String::new(), format.name().to_owned(), String::new()],
        from: Ok(Backend::kv_origins(format).map(|origin| origin.from.to_owned()).collect()),
    }));
    let mut lines = vec![
        "\nkernels: the backend from which each backend has its matrix product, or attention".to_owned(),
    ];
    lines.extend(aligned(&table));
    let missing: Vec<&str> =
        backends.iter().filter(|backend| !backend.supported).map(|backend| backend.backend).collect();
    lines.push(format!("  this CPU runs {}", Backend::detect().name()));
    if !missing.is_empty() {
        lines.push(format!("  and lacks the instructions of {}", missing.join(", ")));
    }
    lines
}

/// The lines, their parts below each other: counts and bytes to the right, the rest to the left.
fn aligned(table: &[Line]) -> Vec<String> {
    let width = |part: &dyn Fn(&Line) -> Option<&String>| {
        table.iter().filter_map(part).map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 4] = std::array::from_fn(|i| width(&|line| line.title.get(i)));
    let line = |line: &Line| {
        let [name, count, format, bytes] = &line.title;
        let mut text = format!(
            "  {name:<0$}  {count:>1$}  {format:<2$}  {bytes:>3$}",
            widths[0], widths[1], widths[2], widths[3]
        );
        match &line.from {
            Ok(from) => {
                for (i, from) in from.iter().enumerate() {
                    let width = width(&|line| line.from.as_ref().ok()?.get(i));
                    text += &format!("  {from:<width$}");
                }
            }
            Err(why) => text += &format!("  {why}"),
        }
        text.trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

/// `{"detected", "backends": [{"name", "supported"}, ..], "tensors": [{"name", "format", "matmul"}, ..],
/// "attention": {FORMAT: FROM, ..}}`: `FROM` is `{BACKEND: BACKEND, ..}`, and null for a tensor without a product.
pub(super) fn json(file: &File) -> Value {
    let backends: Vec<Value> = backends()
        .iter()
        .map(|backend| json!({ "name": backend.backend, "supported": backend.supported }))
        .collect();
    let tensors: Vec<Value> = file
        .tensors()
        .map(|(name, tensor)| {
            let format = product(tensor.kind, is_matrix(tensor));
            json!({
                "name": name,
                "format": tensor.kind.name(),
                "matmul": format.map(|format| by_backend(Backend::origins(format))),
            })
        })
        .collect();
    let attention: Map<String, Value> = KvFormat::ALL
        .iter()
        .map(|&format| (format.name().to_owned(), by_backend(Backend::kv_origins(format)).into()))
        .collect();
    json!({
        "detected": Backend::detect().name(),
        "backends": backends,
        "tensors": tensors,
        "attention": attention,
    })
}

fn by_backend(origins: impl Iterator<Item = Origin>) -> Map<String, Value> {
    origins.map(|origin| (origin.backend.to_owned(), origin.from.into())).collect()
}

impl Group {
    fn line(&self) -> Line {
        let bytes = if self.bytes == 0 { String::new() } else { units::bytes(self.bytes) };
        let (name, count) = (escape(self.name.as_bytes()), format!("x{}", self.tensors));
        let from = match product(self.kind, self.matrix) {
            Some(format) => Ok(Backend::origins(format).map(|origin| origin.from.to_owned()).collect()),
            None if self.matrix => Err("none: this version has no kernel of the format"),
            None => Err("none is needed: a vector"),
        };
        Line { title: [name, count, self.kind.name().to_owned(), bytes], from }
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
    Backend::kv_origins(KvFormat::F16).collect()
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
