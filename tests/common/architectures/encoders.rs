//! Tiny models that make vectors or scores of texts, with random weights, in F32 and quantised; what llama.cpp makes of them is
//! in `tests/golden/embeddings/embeddings.json`.

use bantam::Format;

use super::super::gguf::Meta;
use super::super::reference::{CONTEXT, Variant};
use super::super::variants::tune;
use super::{Fill, Maker, ODD, Shape};

/// All of them.
pub(crate) fn encoders() -> Vec<Variant> {
    let all: [(&str, &str, &str, Fill); 6] = [
        ("bert", "bert-q4_0", "bert", bert),
        ("bert-rank", "bert-rank-q4_0", "bert", bert_rank),
        ("nomic-bert", "nomic-bert-q4_0", "nomic-bert", nomic_bert),
        ("qwen3", "qwen3-q4_0", "qwen3", qwen3),
        ("qwen3-rank", "qwen3-rank-q4_0", "qwen3", qwen3_rank),
        ("gemma2", "gemma2-q4_0", "gemma2", gemma2),
    ];
    let make = |name, architecture, format, fill: Fill| {
        let mut maker = Maker::new(architecture, format);
        fill(&mut maker);
        tune(&mut maker.file);
        Variant { name, file: maker.file }
    };
    let both = |(name, quantised, architecture, fill)| {
        [make(name, architecture, Format::F32, fill), make(quantised, architecture, Format::Q4_0, fill)]
    };
    all.into_iter().flat_map(both).collect()
}

impl Maker {
    /// The keys of every encoder, and the tensors in front of its layers.
    fn start_encoder(&mut self, shape: Shape, types: usize) {
        self.start(shape);
        self.file.tensors.retain(|tensor| tensor.name != "output_norm.weight");
        self.file.entries.retain(|(key, _)| !key.ends_with("layer_norm_rms_epsilon"));
        self.set("attention.layer_norm_epsilon", 1e-5);
        self.set("attention.causal", false);
        self.file.set("tokenizer.ggml.token_type_count", types as u32);
        self.exactly("token_types", shape.dim, types);
        self.layer_norm("token_embd_norm");
    }

    /// A matrix that converters leave in F32.
    fn exactly(&mut self, name: &str, k: usize, rows: usize) {
        let format = std::mem::replace(&mut self.format, Format::F32);
        self.matrix(name, k, rows);
        self.format = format;
    }

    fn layer_norm(&mut self, name: &str) {
        self.gains(name, self.shape.dim);
        self.bias(name, self.shape.dim);
    }

    /// The head that scores texts, without and with a layer before it.
    fn head(&mut self, dense: bool, labels: usize) {
        let dim = self.shape.dim;
        self.set("pooling_type", 4);
        if dense {
            self.exactly("cls", dim, dim);
            self.bias("cls", dim);
        }
        self.exactly("cls.output", dim, labels);
        if dense {
            self.bias("cls.output", labels);
        }
    }
}

/// Two types of texts, and biases everywhere.
fn bert(maker: &mut Maker) {
    maker.start_encoder(Shape { kv_heads: 3, ..ODD }, 2);
    maker.set("pooling_type", 1);
    bert_layers(maker);
}

fn bert_layers(maker: &mut Maker) {
    let Shape { dim, ffn, .. } = maker.shape;
    maker.exactly("position_embd", dim, CONTEXT);
    for layer in maker.layers() {
        maker.attention(&layer);
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            maker.bias(&format!("{layer}.{name}"), dim);
        }
        maker.layer_norm(&format!("{layer}.attn_output_norm"));
        maker.matrix(&format!("{layer}.ffn_up"), dim, ffn);
        maker.bias(&format!("{layer}.ffn_up"), ffn);
        maker.matrix(&format!("{layer}.ffn_down"), ffn, dim);
        maker.bias(&format!("{layer}.ffn_down"), dim);
        maker.layer_norm(&format!("{layer}.layer_output_norm"));
    }
}

/// Two layers score texts.
fn bert_rank(maker: &mut Maker) {
    maker.start_encoder(Shape { kv_heads: 3, layers: 2, ..ODD }, 1);
    maker.head(true, 1);
    bert_layers(maker);
}

/// Queries, keys and values in one matrix.
fn nomic_bert(maker: &mut Maker) {
    maker.start_encoder(Shape { heads: 5, kv_heads: 5, dim: 160, ..ODD }, 1);
    maker.set("pooling_type", 1);
    maker.set("rope.freq_base", 1000.0);
    let dim = maker.shape.dim;
    for layer in maker.layers() {
        maker.matrix(&format!("{layer}.attn_qkv"), dim, 3 * dim);
        maker.matrix(&format!("{layer}.attn_output"), dim, dim);
        maker.layer_norm(&format!("{layer}.attn_output_norm"));
        maker.feed_forward(&layer);
        maker.layer_norm(&format!("{layer}.layer_output_norm"));
    }
}

/// A decoder, whose last token has seen all others.
fn qwen3(maker: &mut Maker) {
    super::qwen3(maker);
    maker.set("pooling_type", 3);
}

/// One that is asked to choose between two labels.
fn qwen3_rank(maker: &mut Maker) {
    super::qwen3(maker);
    maker.set("classifier.output_labels", Meta::strings(["yes", "no"]));
    maker.head(false, 2);
}

/// A decoder with windows that are shorter than some texts.
fn gemma2(maker: &mut Maker) {
    super::gemma2(maker);
    maker.set("pooling_type", 1);
}
