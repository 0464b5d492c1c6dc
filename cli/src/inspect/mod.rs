//! `bantam inspect`: what a GGUF file holds, whether or not it can be run.
#![forbid(unsafe_code)]

mod adapter;
mod kernels;
mod needs;

use bantam::Model;
use bantam::format::TensorType;
use bantam::gguf::{Array, File, TensorInfo, Value};
use clap::Args;
use serde::Serialize;
use serde_json::{Map, json};

use crate::failure::{Failure, Result};
use crate::options::ModelFile;
use crate::output;
use crate::tokenize::escape;
use crate::units;
use adapter::Adapter;
use needs::Needs;

const EXPLANATION: &str = "\
Any GGUF file can be inspected: a model, an adapter, one with a vocabulary only, or of an architecture that this version cannot run (it says why, and what a description of that architecture would need). \
MB is 10^6 bytes. Long values of the metadata are cut; in JSON, long arrays become {\"array\": KIND, \"len\": N}.

Examples:
  bantam inspect model.gguf
  bantam inspect model.gguf --tensors | grep embd
  bantam inspect model.gguf --kernels                  which instruction set multiplies what
  bantam inspect model.gguf --json | jq .formats";

/// Show what a model file or an adapter holds
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Inspect {
    #[command(flatten)]
    file: ModelFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List every tensor: name, format, shape (fastest dimension first), bytes
    #[arg(long)]
    tensors: bool,
    /// Show, instead of the metadata, which kernel multiplies each tensor, and which attends to a cache of each format, on
    /// each backend of this architecture. A backend uses what it does not improve of a lower one; `scalar` is slow
    #[arg(long)]
    kernels: bool,
}

/// What is told; the names are the keys of the JSON.
#[derive(Serialize)]
struct Summary {
    path: String,
    size_bytes: u64,
    gguf_version: u32,
    architecture: Option<String>,
    name: Option<String>,
    parameters: u64,
    tensor_count: usize,
    formats: Vec<Share>,
    context_length: Option<u32>,
    layers: Option<u32>,
    dim: Option<u32>,
    heads: Option<u32>,
    kv_heads: Option<u32>,
    vocab_size: Option<u64>,
    tokenizer: Option<String>,
    pre_tokenizer: Option<String>,
    chat_template: bool,
    /// What it is if it is an adapter, and no model.
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<Adapter>,
    /// Why this version cannot run the file; nothing if it can.
    cannot_run: Option<String>,
    /// What describing its architecture would take; nothing if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<Needs>,
}

/// What of the file is in one format.
#[derive(Serialize)]
struct Share {
    format: String,
    tensors: usize,
    parameters: u64,
    /// Nothing if the format's size is not known here.
    bytes: Option<u64>,
}

impl Inspect {
    pub(crate) fn execute(&self) -> Result<()> {
        let file = self.file.open()?;
        let summary = self.summarise(&file)?;
        if !self.json {
            return output::print(&self.report(&file, &summary));
        }
        let unwritable = |error| Failure::Message(format!("cannot write JSON: {error}"));
        let mut all = serde_json::to_value(&summary).map_err(unwritable)?;
        let metadata: Map<String, serde_json::Value> =
            file.entries().map(|(key, value)| (key.to_owned(), to_json(&value))).collect();
        all["metadata"] = metadata.into();
        if self.tensors {
            all["tensors"] = file.tensors().map(|(name, tensor)| describe_tensor(name, tensor)).collect();
        }
        if self.kernels {
            all["kernels"] = kernels::json(&file);
        }
        output::print(&(serde_json::to_string_pretty(&all).map_err(unwritable)? + "\n"))
    }

    fn summarise(&self, file: &File) -> Result<Summary> {
        let text = |key: &str| match file.get(key) {
            Some(Value::String(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        let architecture = text("general.architecture");
        let number = |key: &str| {
            let key = format!("{}.{key}", architecture.as_deref().unwrap_or_default());
            file.u32(&key).ok().flatten()
        };
        let adapter = Adapter::of(file);
        // Opening it is the one sure way to know.
        let opened = Model::from_mapping(self.file.map()?, &Default::default());
        Ok(Summary {
            path: self.file.path.display().to_string(),
            size_bytes: file.mapping().bytes().len() as u64,
            gguf_version: file.version(),
            name: text("general.name"),
            parameters: file.tensors().map(|(_, tensor)| tensor.len()).fold(0, u64::saturating_add),
            tensor_count: file.tensors().count(),
            formats: shares(file),
            context_length: number("context_length"),
            layers: number("block_count"),
            dim: number("embedding_length"),
            heads: number("attention.head_count"),
            // Where not all layers attend, the file has a number for each.
            kv_heads: number("attention.head_count_kv")
                .or_else(|| opened.as_ref().ok().and_then(|model| model.hyper().kv_heads.try_into().ok())),
            vocab_size: match file.get("tokenizer.ggml.tokens") {
                Some(Value::Array(tokens)) => Some(tokens.len()),
                _ => None,
            },
            tokenizer: text("tokenizer.ggml.model"),
            pre_tokenizer: text("tokenizer.ggml.pre"),
            chat_template: file.get("tokenizer.chat_template").is_some(),
            needs: Needs::of(file, architecture.as_deref()).filter(|_| adapter.is_none()),
            adapter,
            cannot_run: opened.err().map(|error| error.to_string()),
            architecture,
        })
    }

    /// The summary, then the metadata or the kernels, and the tensors, for people.
    fn report(&self, file: &File, summary: &Summary) -> String {
        let mut lines = summary.lines();
        lines.extend(summary.needs.iter().flat_map(Needs::lines));
        if self.kernels {
            lines.extend(kernels::lines(file));
        } else {
            lines.push("\nmetadata".into());
            lines.extend(
                file.entries().map(|(key, value)| format!("  {} = {}", escape(key.as_bytes()), show(&value))),
            );
        }
        if self.tensors {
            lines.push("\ntensors".into());
            let width = file.tensors().map(|(name, _)| name.chars().count().min(60)).max().unwrap_or(0);
            lines.extend(file.tensors().map(|(name, tensor)| {
                let shape: Vec<String> =
                    tensor.shape[..tensor.dimensions].iter().map(u64::to_string).collect();
                let (name, format) = (escape(name.as_bytes()), tensor.kind.name());
                let bytes = bytes_of(tensor).map_or("unknown size".into(), units::bytes);
                format!("  {name:<width$}  {format:<7}  {:>16}  {bytes:>12}", shape.join(" x "))
            }));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Summary {
    fn lines(&self) -> Vec<String> {
        let unknown = || "not stated".to_owned();
        let text = |text: &Option<String>| text.as_ref().map_or_else(unknown, |text| escape(text.as_bytes()));
        // Two of them in a line, of which the second may go without saying.
        let both = |first: Option<u32>, second: Option<u32>, words: &str| match (first, second) {
            (Some(first), Some(second)) => format!("{first}, {second} {words}"),
            (Some(first), None) => first.to_string(),
            (None, Some(second)) => format!("not stated, {second} {words}"),
            (None, None) => unknown(),
        };
        let tokens = |count: Option<u64>| count.map_or_else(unknown, |count| format!("{count} tokens"));
        let mut lines = vec![
            format!("file           {}", escape(self.path.as_bytes())),
            format!("size           {}, GGUF version {}", units::bytes(self.size_bytes), self.gguf_version),
            format!("name           {}", text(&self.name)),
            format!("architecture   {}", text(&self.architecture)),
            format!(
                "parameters     {} in {}",
                units::count(self.parameters),
                units::plural(self.tensor_count, "tensor")
            ),
        ];
        lines.extend(self.formats.iter().map(|share| {
            let size = share.bytes.map_or("unknown size".into(), units::bytes);
            let (tensors, parameters) =
                (units::plural(share.tensors, "tensor"), units::count(share.parameters));
            format!("  {:<12} {size} in {tensors}, {parameters} parameters", share.format)
        }));
        if let Some(adapter) = &self.adapter {
            lines.push(adapter.line());
            return lines;
        }
        lines.push(format!("context        {}", tokens(self.context_length.map(u64::from))));
        lines.push(format!("layers         {}", both(self.layers, self.dim, "wide")));
        // A file that does not state the number of key and value heads has one for each head.
        let kv_heads = self.kv_heads.or(self.heads);
        lines.push(format!("heads          {}", both(self.heads, kv_heads, "of keys and values")));
        lines.push(format!("vocabulary     {}", tokens(self.vocab_size)));
        lines.push(format!(
            "tokenizer      {}, pre-tokenizer {}",
            text(&self.tokenizer),
            text(&self.pre_tokenizer)
        ));
        lines.push(format!("chat template  {}", if self.chat_template { "yes" } else { "no" }));
        lines.push(format!(
            "runs here      {}",
            match &self.cannot_run {
                None => "yes".to_owned(),
                Some(why) => format!("no: {why}"),
            }
        ));
        lines
    }
}

/// The formats of the file, those of most bytes first.
fn shares(file: &File) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for (_, tensor) in file.tensors() {
        let format = match tensor.kind {
            TensorType::Other(number) => format!("{} ({number})", tensor.kind.name()),
            TensorType::Known(_) => tensor.kind.name().to_owned(),
        };
        let at = shares.iter().position(|share| share.format == format).unwrap_or_else(|| {
            let bytes = bytes_of(tensor).map(|_| 0);
            shares.push(Share { format, tensors: 0, parameters: 0, bytes });
            shares.len() - 1
        });
        let share = &mut shares[at];
        share.tensors += 1;
        share.parameters = share.parameters.saturating_add(tensor.len());
        share.bytes = share.bytes.zip(bytes_of(tensor)).map(|(sum, bytes)| sum.saturating_add(bytes));
    }
    shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    shares
}

/// A tensor's bytes; `None` in a format whose size is not known here.
fn bytes_of(tensor: &TensorInfo) -> Option<u64> {
    matches!(tensor.kind, TensorType::Known(_)).then_some(tensor.data.len() as u64)
}

fn describe_tensor(name: &str, tensor: &TensorInfo) -> serde_json::Value {
    json!({
        "name": name,
        "format": tensor.kind.name(),
        "shape": tensor.shape[..tensor.dimensions],
        "offset": tensor.data.start,
        "bytes": bytes_of(tensor),
    })
}

/// Arrays of up to so many elements are shown in full.
const ELEMENTS_MAX: u64 = 8;
/// Texts are shown up to so many characters.
const CHARACTERS_MAX: usize = 60;

/// A value in a line.
fn show(value: &Value<'_>) -> String {
    match value {
        Value::String(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let shown: String = text.chars().take(CHARACTERS_MAX).collect();
            let rest = text.chars().count() - shown.chars().count();
            let rest = if rest > 0 { format!("... and {rest} characters more") } else { String::new() };
            format!("\"{}\"{rest}", escape(shown.as_bytes()))
        }
        Value::Array(array) => show_array(array),
        Value::Bool(truth) => truth.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        other => other.as_integer().unwrap_or_default().to_string(),
    }
}

fn show_array(array: &Array<'_>) -> String {
    let shown: Vec<String> = array.iter().take(ELEMENTS_MAX as usize).map(|value| show(&value)).collect();
    let rest = array.len().saturating_sub(ELEMENTS_MAX);
    let rest = if rest > 0 { format!(", ... and {rest} more") } else { String::new() };
    format!("[{}{rest}]", shown.join(", "))
}

/// A value in JSON. Numbers that JSON does not know are null.
fn to_json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::String(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Array(array) if array.len() > ELEMENTS_MAX => {
            json!({ "array": array.kind().name(), "len": array.len() })
        }
        Value::Array(array) => array.iter().map(|value| to_json(&value)).collect(),
        Value::Bool(truth) => (*truth).into(),
        Value::F32(number) => (*number).into(),
        Value::F64(number) => (*number).into(),
        Value::U64(number) => (*number).into(),
        other => other.as_integer().and_then(|number| i64::try_from(number).ok()).into(),
    }
}
