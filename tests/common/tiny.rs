//! A tiny model of the architecture `llama`, whole and runnable: random weights of any format, and a byte-level
//! vocabulary with a few merges and special tokens.

use bantam::Format;

use super::Random;
use super::gguf::{Gguf, Meta, Tensor};

/// The shape of a tiny model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiny {
    pub(crate) format: Format,
    pub(crate) dim: usize,
    pub(crate) layers: usize,
    pub(crate) ffn: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    /// Whether tokens are scored with the embedding.
    pub(crate) tied: bool,
}

/// The tokens that merges make, as two halves each.
const MERGES: [(&str, &str); 14] = [
    ("t", "h"),
    ("th", "e"),
    ("Ġ", "t"),
    ("Ġt", "he"),
    ("h", "e"),
    ("i", "n"),
    ("a", "n"),
    ("an", "d"),
    ("Ġ", "a"),
    ("o", "u"),
    ("e", "r"),
    ("Ġ", "Ġ"),
    ("ĠĠ", "ĠĠ"),
    ("Ċ", "Ċ"),
];

/// The control tokens at the end of the vocabulary; the first is BOS, the second EOS.
const CONTROLS: [&str; 3] = ["<|begin|>", "<|im_end|>", "<|im_start|>"];

/// Tokens of the vocabulary: every byte, the merges, the control tokens.
pub(crate) const VOCAB_SIZE: usize = 256 + MERGES.len() + CONTROLS.len();

impl Tiny {
    /// Two layers of a width that the format's blocks divide.
    pub(crate) fn new(format: Format) -> Tiny {
        let (dim, ffn) = if format.block_len() > 32 { (256, 512) } else { (64, 96) };
        Tiny { format, dim, layers: 2, ffn, heads: 4, kv_heads: 2, tied: true }
    }

    /// The file, to be changed or written.
    pub(crate) fn gguf(self) -> Gguf {
        let Tiny { format, dim, layers, ffn, heads, kv_heads, tied } = self;
        let head_dim = dim / heads;
        let mut file = Gguf::new();
        file.set("general.architecture", "llama")
            .set("general.name", "tiny")
            .set("llama.context_length", 128)
            .set("llama.embedding_length", dim as u32)
            .set("llama.block_count", layers as u32)
            .set("llama.feed_forward_length", ffn as u32)
            .set("llama.attention.head_count", heads as u32)
            .set("llama.attention.head_count_kv", kv_heads as u32)
            .set("llama.attention.layer_norm_rms_epsilon", 1e-5)
            .set("llama.rope.dimension_count", head_dim as u32)
            .set("llama.rope.freq_base", 10_000.0);
        set_vocabulary(&mut file);

        let mut random = Random::new(42);
        let mut matrix = |name: String, k: usize, rows: usize| Tensor {
            name,
            shape: vec![k as u64, rows as u64],
            kind: number(format),
            // The sum of k products of numbers of about this size stays of the size of one.
            bytes: random.weights(format, k * rows),
            offset: None,
        };
        let (q_width, kv_width) = (heads * head_dim, kv_heads * head_dim);
        file.tensors.push(matrix("token_embd.weight".into(), dim, VOCAB_SIZE));
        if !tied {
            file.tensors.push(matrix("output.weight".into(), dim, VOCAB_SIZE));
        }
        file.tensors.push(gains("output_norm.weight".into(), dim));
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            file.tensors.extend([
                gains(name("attn_norm"), dim),
                matrix(name("attn_q"), dim, q_width),
                matrix(name("attn_k"), dim, kv_width),
                matrix(name("attn_v"), dim, kv_width),
                matrix(name("attn_output"), q_width, dim),
                gains(name("ffn_norm"), dim),
                matrix(name("ffn_gate"), dim, ffn),
                matrix(name("ffn_up"), dim, ffn),
                matrix(name("ffn_down"), ffn, dim),
            ]);
        }
        file
    }

    /// The file's bytes.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.gguf().write()
    }
}

/// A vocabulary of bytes, merges and control tokens.
pub(crate) fn set_vocabulary(file: &mut Gguf) {
    let bytes = (0..=255).map(|byte| written(byte).to_string());
    let merged = MERGES.iter().map(|(left, right)| format!("{left}{right}"));
    let controls = CONTROLS.iter().map(|text| (*text).to_string());
    let types = (0..VOCAB_SIZE).map(|id| Meta::I32(if id < 256 + MERGES.len() { 1 } else { 3 }));
    file.set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "smollm")
        .set("tokenizer.ggml.tokens", Meta::strings(bytes.chain(merged).chain(controls)))
        .set("tokenizer.ggml.token_type", Meta::Array(5, types.collect()))
        .set(
            "tokenizer.ggml.merges",
            Meta::strings(MERGES.iter().map(|(left, right)| format!("{left} {right}"))),
        )
        .set("tokenizer.ggml.bos_token_id", (256 + MERGES.len()) as u32)
        .set("tokenizer.ggml.eos_token_id", (257 + MERGES.len()) as u32)
        .set("tokenizer.ggml.add_bos_token", false);
}

/// The character that a byte is written as: itself if it can be seen, else one from U+0100 on.
fn written(byte: u8) -> char {
    let is_seen = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if is_seen(&byte) {
        return char::from(byte);
    }
    let hidden_below = (0..byte).filter(|byte| !is_seen(byte)).count() as u32;
    char::from_u32(0x100 + hidden_below).expect("a letter")
}

/// Gains of a norm, all near 1.
fn gains(name: String, dim: usize) -> Tensor {
    let values = (0..dim).flat_map(|i| (1.0 + (i % 7) as f32 / 32.0).to_le_bytes());
    Tensor { name, shape: vec![dim as u64], kind: number(Format::F32), bytes: values.collect(), offset: None }
}

/// ggml's number of a format.
pub(crate) fn number(format: Format) -> u32 {
    match format {
        Format::F32 => 0,
        Format::F16 => 1,
        Format::Q4_0 => 2,
        Format::Q4_1 => 3,
        Format::Q5_0 => 6,
        Format::Q5_1 => 7,
        Format::Q8_0 => 8,
        Format::Q2_K => 10,
        Format::Q3_K => 11,
        Format::Q4_K => 12,
        Format::Q5_K => 13,
        Format::Q6_K => 14,
        Format::IQ4_NL => 20,
        Format::IQ4_XS => 23,
        Format::BF16 => 30,
        Format::MXFP4 => 39,
    }
}
