//! `make-model`: a model of any shape and formats, with random weights and another model's tokenizer. Speed and memory
//! depend on shapes and formats alone, so such a file stands for every model like it.
//!
//! Invariant: logits are finite and of the size of one: each product of a normed vector and a row keeps its size.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::formats;
use crate::ggml::Type;
use crate::gguf::Header;
use crate::random::Random;

const TYPES: &str = "\
Types of --type: a name of a format (f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4) makes every
matrix of it but the embedding, which is q6_k (q8_0 of q8_0, and of floats the same), as llama.cpp's quantiser does; and
q3_k_m, q4_k_m, q5_k_m mix formats layer by layer as it does. Where a row is no whole number of a format's blocks, its
fallback for that is taken.

Examples:
  bantam-peers make-model --out models/1.1b-q4_k_m.gguf --type q4_k_m
  bantam-peers make-model --out models/8b.gguf --type q4_0 --layers 32 --dim 4096 --heads 32 --kv-heads 8 --ffn 14336";

/// What is made; the defaults are a llama of 1.1 billion weights.
#[derive(clap::Args)]
#[command(after_help = TYPES)]
pub(crate) struct Options {
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
    /// Format or mix of the weights, see below.
    #[arg(long = "type", value_name = "TYPE", default_value = "q4_0")]
    mix: String,
    /// Format of the token embedding, if it is to be another one.
    #[arg(long, value_name = "FORMAT")]
    embedding: Option<String>,
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..1000))]
    layers: u32,
    /// Width of the residual stream.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..100_000))]
    dim: u32,
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    heads: u32,
    /// Heads of keys and values.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    kv_heads: u32,
    /// Width inside the feed-forward part.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    ffn: u32,
    /// Positions that the model claims to know.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    context: u32,
    /// GGUF file whose tokenizer is taken over, and with it the size of the vocabulary.
    #[arg(long, value_name = "FILE", default_value = formats::DEMO)]
    tokenizer: PathBuf,
}

/// A matrix of the file.
struct Tensor {
    name: String,
    format: &'static str,
    row: usize,
    rows: usize,
}

/// Writes the file.
pub(crate) fn write(options: &Options) -> Result<()> {
    let count = 2 + 9 * options.layers as usize;
    let mut header = Header::with_metadata_of(&options.tokenizer, count)?;
    let vocabulary = header.array_len("tokenizer.ggml.tokens")?;
    set_shape(&mut header, options, vocabulary)?;

    let tensors = tensors(options, vocabulary)?;
    let mut offsets = Vec::new();
    for tensor in &tensors {
        let format = Type::by_id(formats::number(tensor.format)?)?;
        offsets.push(header.add(&tensor.name, &format, tensor.row, tensor.rows)?);
    }
    let say = || format!("writing {}", options.out.display());
    if let Some(folder) = options.out.parent() {
        std::fs::create_dir_all(folder).with_context(say)?;
    }
    // Written beside its place and moved there when it is whole.
    let part = options.out.with_extension("part");
    data(&part, &header.bytes(), &tensors, &offsets).with_context(say)?;
    std::fs::rename(&part, &options.out).with_context(say)?;
    let values: usize = tensors.iter().map(|tensor| tensor.row * tensor.rows).sum();
    let bytes = std::fs::metadata(&options.out).with_context(say)?.len();
    println!(
        "{}: {:.2} billion weights, {:.0} MB",
        options.out.display(),
        values as f64 / 1e9,
        bytes as f64 / 1e6
    );
    Ok(())
}

/// The hyper-parameters, over those of the tokenizer's file.
fn set_shape(header: &mut Header, options: &Options, vocabulary: usize) -> Result<()> {
    ensure!(
        options.dim.is_multiple_of(options.heads),
        "{} heads do not divide {}",
        options.heads,
        options.dim
    );
    ensure!(
        options.heads.is_multiple_of(options.kv_heads),
        "{} heads cannot share {} heads of keys and values",
        options.heads,
        options.kv_heads
    );
    header.set_text("general.architecture", "llama")?;
    header.set_text("general.name", &format!("random {}", options.mix))?;
    for (key, value) in [
        ("context_length", options.context),
        ("embedding_length", options.dim),
        ("block_count", options.layers),
        ("feed_forward_length", options.ffn),
        ("attention.head_count", options.heads),
        ("attention.head_count_kv", options.kv_heads),
        ("rope.dimension_count", options.dim / options.heads),
        ("vocab_size", u32::try_from(vocabulary)?),
    ] {
        header.set_u32(&format!("llama.{key}"), value)?;
    }
    Ok(())
}

/// Every tensor with its format, in the order of the file.
fn tensors(options: &Options, vocabulary: usize) -> Result<Vec<Tensor>> {
    let (dim, ffn) = (options.dim as usize, options.ffn as usize);
    let kv = dim / options.heads as usize * options.kv_heads as usize;
    let mut all = Vec::new();
    let mut add = |name: String, format: &'static str, row: usize, rows: usize| -> Result<()> {
        all.push(Tensor { name, format: fallback(format, row)?, row, rows });
        Ok(())
    };
    let embedding = match &options.embedding {
        Some(name) => formats::known(name)?,
        None => embedding_format(&options.mix),
    };
    add("token_embd.weight".into(), embedding, dim, vocabulary)?;
    add("output_norm.weight".into(), "f32", dim, 1)?;
    for layer in 0..options.layers {
        let format = |part: &str| mixed(&options.mix, part, layer, options.layers);
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        add(name("attn_norm"), "f32", dim, 1)?;
        add(name("attn_q"), format("attn_q")?, dim, dim)?;
        add(name("attn_k"), format("attn_k")?, dim, kv)?;
        add(name("attn_v"), format("attn_v")?, dim, kv)?;
        add(name("attn_output"), format("attn_output")?, dim, dim)?;
        add(name("ffn_norm"), "f32", dim, 1)?;
        add(name("ffn_gate"), format("ffn_gate")?, dim, ffn)?;
        add(name("ffn_up"), format("ffn_up")?, dim, ffn)?;
        add(name("ffn_down"), format("ffn_down")?, ffn, dim)?;
    }
    Ok(all)
}

/// The format that llama.cpp's quantiser gives an embedding that also scores.
fn embedding_format(mix: &str) -> &'static str {
    match mix {
        "f32" => "f32",
        "f16" => "f16",
        "bf16" => "bf16",
        "q8_0" => "q8_0",
        _ => "q6_k",
    }
}

/// The format of a matrix: llama.cpp's rules for the mixes, as they stand for models without an importance matrix.
fn mixed(mix: &str, part: &str, layer: u32, layers: u32) -> Result<&'static str> {
    // The first and the last eighth of the layers, and every third between them.
    let eighth = layers / 8;
    let more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
    Ok(match (mix, part) {
        ("q5_k_m" | "q4_k_m", "attn_v" | "ffn_down") if more => "q6_k",
        ("q5_k_m", _) => "q5_k",
        ("q4_k_m", _) => "q4_k",
        ("q3_k_m", "attn_v") if layer < 2 => "q5_k",
        ("q3_k_m", "ffn_down") if layer < layers / 16 => "q5_k",
        ("q3_k_m", "attn_v" | "ffn_down" | "attn_output") => "q4_k",
        ("q3_k_m", _) => "q3_k",
        _ => formats::known(mix)?,
    })
}

/// The format itself, or what llama.cpp takes where rows of `row` values are no whole blocks of it.
fn fallback(format: &'static str, row: usize) -> Result<&'static str> {
    let fits = |format| {
        Ok::<_, anyhow::Error>(row.is_multiple_of(Type::by_id(formats::number(format)?)?.block_values))
    };
    if fits(format)? {
        return Ok(format);
    }
    let other = match format {
        "q2_k" | "q3_k" | "iq4_xs" => "iq4_nl",
        "q4_k" => "q5_0",
        "q5_k" => "q5_1",
        "q6_k" => "q8_0",
        _ => bail!("rows of {row} values cannot be {format}"),
    };
    Ok(if fits(other)? { other } else { "f16" })
}

/// Writes header and data.
fn data(path: &Path, header: &[u8], tensors: &[Tensor], offsets: &[usize]) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(header)?;
    let mut rows = Rows { random: Random::new(16), quantized: HashMap::new() };
    let mut written = 0;
    for (tensor, &offset) in tensors.iter().zip(offsets) {
        let gap = offset.checked_sub(written).context("ggml's offsets overlap")?;
        file.write_all(&vec![0; gap])?;
        written = offset + rows.write(tensor, &mut file)?;
    }
    // ggml wants the last tensor padded like the others.
    file.write_all(&vec![0; written.next_multiple_of(ALIGNMENT) - written])?;
    Ok(file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?)
}

/// Where each tensor's data starts, by GGUF's default.
const ALIGNMENT: usize = 32;
/// Rows that ggml quantises of each format and length. Every row of the file is one of them with its blocks turned round.
const DRAWN: usize = 64;

/// The source of rows.
struct Rows {
    random: Random,
    quantized: HashMap<(&'static str, usize), Vec<Vec<u8>>>,
}

impl Rows {
    /// Writes the rows of a tensor and returns their bytes.
    fn write(&mut self, tensor: &Tensor, file: &mut impl std::io::Write) -> Result<usize> {
        if tensor.rows == 1 {
            let ones: Vec<u8> = (0..tensor.row).flat_map(|_| 1f32.to_le_bytes()).collect();
            file.write_all(&ones)?;
            return Ok(ones.len());
        }
        let format = Type::by_id(formats::number(tensor.format)?)?;
        let random = &mut self.random;
        let drawn = match self.quantized.entry((tensor.format, tensor.row)) {
            std::collections::hash_map::Entry::Occupied(drawn) => drawn.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                // Of this deviation, the product with a vector of ones is of the size of one.
                let deviation = 1.0 / (tensor.row as f32).sqrt();
                let mut row =
                    || -> Vec<f32> { (0..tensor.row).map(|_| deviation * random.gaussian()).collect() };
                place.insert((0..DRAWN).map(|_| format.quantize(&row())).collect::<Result<_>>()?)
            }
        };
        let blocks = u32::try_from(tensor.row / format.block_values)?;
        for _ in 0..tensor.rows {
            let row = &drawn[self.random.below(DRAWN as u32) as usize];
            let (tail, head) = row.split_at(self.random.below(blocks) as usize * format.block_bytes);
            file.write_all(head)?;
            file.write_all(tail)?;
        }
        Ok(tensor.rows * format.row_bytes(tensor.row)?)
    }
}
