//! A tiny model of every architecture, with random weights, once in F32 and once quantised: odd head counts, windows shorter
//! than the prompt, and enough layers that each kind of layer appears. Their files are the same on every machine;
//! `tests/golden/logits/architectures.json` holds what llama.cpp makes of them.

pub(crate) mod encoders;

use bantam::Format;

use super::Random;
use super::gguf::{Gguf, Meta, Tensor};
use super::reference::{CONTEXT, Variant};
use super::tiny::{VOCAB_SIZE, number, set_vocabulary};
use super::variants::{tune, vector};

/// Writes a model's keys and tensors.
type Fill = fn(&mut Maker);

/// All of them.
pub(crate) fn architectures() -> Vec<Variant> {
    let all: [(&str, &str, Fill); 21] = [
        ("qwen2", "qwen2-q4_0", qwen2),
        ("qwen3", "qwen3-q4_0", qwen3),
        ("qwen3moe", "qwen3moe-q4_0", qwen3moe),
        ("olmo2", "olmo2-q4_0", olmo2),
        ("olmo3", "olmo3-q4_0", olmo3),
        ("gemma3-all", "gemma3-all-q4_0", gemma3_without_windows),
        ("exaone4", "exaone4-q4_0", exaone4),
        ("smollm3", "smollm3-q4_0", smollm3),
        ("granite", "granite-q4_0", granite),
        ("granitemoe", "granitemoe-q4_0", granitemoe),
        ("mixtral", "mixtral-q4_0", mixtral),
        ("phi3", "phi3-q4_0", phi3),
        ("gemma2", "gemma2-q4_0", gemma2),
        ("gemma3", "gemma3-q4_0", gemma3),
        ("gpt-oss", "gpt-oss-mxfp4", gpt_oss),
        ("lfm2", "lfm2-q4_0", lfm2),
        ("lfm2moe", "lfm2moe-q4_0", lfm2moe),
        ("qwen35", "qwen35-q4_0", qwen35),
        ("qwen35moe", "qwen35moe-q4_0", qwen35moe),
        ("gemma4", "gemma4-q4_0", gemma4),
        ("gemma4-plain", "gemma4-plain-q4_0", gemma4_without_inputs),
    ];
    let make = |name, architecture, format, fill: Fill| {
        let mut maker = Maker::new(architecture, format);
        fill(&mut maker);
        tune(&mut maker.file);
        Variant { name, file: maker.file }
    };
    let both = |(name, quantised, fill): (&'static str, &'static str, Fill)| {
        let architecture = match name {
            "olmo3" => "olmo2",
            "gemma3-all" => "gemma3",
            "gemma4-plain" => "gemma4",
            "mixtral" => "llama",
            name => name,
        };
        let format = if quantised.ends_with("mxfp4") { Format::MXFP4 } else { Format::Q4_0 };
        [make(name, architecture, Format::F32, fill), make(quantised, architecture, format, fill)]
    };
    all.into_iter().flat_map(both).collect()
}

/// The widths of a model.
#[derive(Clone, Copy)]
struct Shape {
    dim: usize,
    layers: usize,
    ffn: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Three heads that share one, and widths of whole blocks.
const ODD: Shape = Shape { dim: 96, layers: 3, ffn: 160, heads: 3, kv_heads: 1, head_dim: 32 };

/// A file that grows, key by key and tensor by tensor.
struct Maker {
    architecture: &'static str,
    format: Format,
    random: Random,
    shape: Shape,
    file: Gguf,
}

impl Maker {
    fn new(architecture: &'static str, format: Format) -> Maker {
        let mut file = Gguf::new();
        file.set("general.architecture", architecture);
        set_vocabulary(&mut file);
        Maker { architecture, format, random: Random::new(42), shape: ODD, file }
    }

    fn set(&mut self, key: &str, value: impl Into<Meta>) {
        self.file.set(&format!("{}.{key}", self.architecture), value);
    }

    /// The keys of every decoder, and the tensors around its layers.
    fn start(&mut self, shape: Shape) {
        self.shape = shape;
        for (key, value) in [
            ("context_length", CONTEXT),
            ("embedding_length", shape.dim),
            ("block_count", shape.layers),
            ("feed_forward_length", shape.ffn),
            ("attention.head_count", shape.heads),
            ("attention.head_count_kv", shape.kv_heads),
            ("attention.key_length", shape.head_dim),
            ("attention.value_length", shape.head_dim),
            ("rope.dimension_count", shape.head_dim),
        ] {
            self.set(key, value as u32);
        }
        self.set("attention.layer_norm_rms_epsilon", 1e-5);
        self.set("rope.freq_base", 10_000.0);
        self.matrix("token_embd", shape.dim, VOCAB_SIZE);
        self.gains("output_norm", shape.dim);
    }

    fn matrix(&mut self, name: &str, k: usize, rows: usize) {
        let bytes = self.random.weights(self.format, k * rows);
        let shape = vec![k as u64, rows as u64];
        let name = format!("{name}.weight");
        self.file.tensors.push(Tensor { name, shape, kind: number(self.format), bytes, offset: None });
    }

    /// Matrices of the same shape, one for each expert.
    fn matrices(&mut self, name: &str, k: usize, rows: usize, count: usize) {
        self.matrix(name, k, rows * count);
        let tensor = self.file.tensors.last_mut().expect("the matrix");
        tensor.shape = vec![k as u64, rows as u64, count as u64];
    }

    /// A matrix that no converter quantises.
    fn exact(&mut self, name: &str, k: usize, rows: usize) {
        let format = std::mem::replace(&mut self.format, Format::F32);
        self.matrix(name, k, rows);
        self.format = format;
    }

    /// Gains of a norm, between a half and three halves.
    fn gains(&mut self, name: &str, len: usize) {
        let gains = self.random.units(len).into_iter().map(|unit| 1.0 + unit / 2.0);
        self.file.tensors.push(vector(&format!("{name}.weight"), gains));
    }

    fn bias(&mut self, name: &str, len: usize) {
        let values = self.random.units(len);
        self.file.tensors.push(vector(&format!("{name}.bias"), values.into_iter()));
    }

    fn layers(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.shape.layers).map(|layer| format!("blk.{layer}"))
    }

    /// Gains of the stream's width.
    fn norm(&mut self, name: String) {
        self.gains(&name, self.shape.dim);
    }

    fn attention(&mut self, layer: &str) {
        let Shape { dim, heads, kv_heads, head_dim, .. } = self.shape;
        self.matrix(&format!("{layer}.attn_q"), dim, heads * head_dim);
        self.matrix(&format!("{layer}.attn_k"), dim, kv_heads * head_dim);
        self.matrix(&format!("{layer}.attn_v"), dim, kv_heads * head_dim);
        self.matrix(&format!("{layer}.attn_output"), heads * head_dim, dim);
    }

    /// Norms of each head.
    fn head_norms(&mut self, layer: &str) {
        self.gains(&format!("{layer}.attn_q_norm"), self.shape.head_dim);
        self.gains(&format!("{layer}.attn_k_norm"), self.shape.head_dim);
    }

    fn routing(&mut self, count: u32, used: u32) {
        self.set("expert_count", count);
        self.set("expert_used_count", used);
    }

    /// Feed-forward layers to choose from. What chooses is kept in F32, as converters do: where it is rounded, other experts
    /// are chosen.
    fn experts(&mut self, layer: &str, count: usize, ffn: usize) {
        let dim = self.shape.dim;
        self.exact(&format!("{layer}.ffn_gate_inp"), dim, count);
        self.matrices(&format!("{layer}.ffn_gate_exps"), dim, ffn, count);
        self.matrices(&format!("{layer}.ffn_up_exps"), dim, ffn, count);
        self.matrices(&format!("{layer}.ffn_down_exps"), ffn, dim, count);
    }

    /// What the router and the experts of a layer add: to some hidden values more than any weight does.
    fn expert_biases(&mut self, layer: &str, count: usize, ffn: usize) {
        self.bias(&format!("{layer}.ffn_gate_inp"), count);
        let dim = self.shape.dim;
        for (name, len, size) in
            [("ffn_gate_exps", ffn, 40.0), ("ffn_up_exps", ffn, 40.0), ("ffn_down_exps", dim, 1.0)]
        {
            let values = self.random.units(len * count).into_iter().map(|unit| size * unit);
            let mut bias = vector(&format!("{layer}.{name}.bias"), values);
            bias.shape = vec![len as u64, count as u64];
            self.file.tensors.push(bias);
        }
    }

    fn feed_forward(&mut self, layer: &str) {
        let Shape { dim, ffn, .. } = self.shape;
        self.matrix(&format!("{layer}.ffn_gate"), dim, ffn);
        self.matrix(&format!("{layer}.ffn_up"), dim, ffn);
        self.matrix(&format!("{layer}.ffn_down"), ffn, dim);
    }
}

fn qwen2(maker: &mut Maker) {
    maker.start(ODD);
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.attention(&layer);
        for (name, len) in [("attn_q", 96), ("attn_k", 32), ("attn_v", 32)] {
            maker.bias(&format!("{layer}.{name}"), len);
        }
        maker.norm(format!("{layer}.ffn_norm"));
        maker.feed_forward(&layer);
    }
}

/// Heads wider than their part of the stream.
fn qwen3(maker: &mut Maker) {
    maker.start(Shape { dim: 64, heads: 6, kv_heads: 2, ..ODD });
    maker.set("rope.freq_base", 1e6);
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.attention(&layer);
        maker.head_norms(&layer);
        maker.norm(format!("{layer}.ffn_norm"));
        maker.feed_forward(&layer);
    }
}

/// Three experts of seven.
fn qwen3moe(maker: &mut Maker) {
    maker.start(ODD);
    maker.set("expert_feed_forward_length", 64);
    maker.routing(7, 3);
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.attention(&layer);
        maker.head_norms(&layer);
        maker.norm(format!("{layer}.ffn_norm"));
        maker.experts(&layer, 7, 64);
    }
}

/// Two experts of five: a shape whose choices both engines make alike. See tests/golden/README.md.
fn mixtral(maker: &mut Maker) {
    maker.start(Shape { heads: 6, kv_heads: 2, head_dim: 16, ffn: 96, layers: 2, ..ODD });
    maker.routing(5, 2);
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.attention(&layer);
        maker.norm(format!("{layer}.ffn_norm"));
        maker.experts(&layer, 5, 96);
    }
}

/// Five experts of nine, and one that all tokens go through.
fn granitemoe(maker: &mut Maker) {
    maker.start(ODD);
    maker.set("logit_scale", 4.0);
    maker.set("residual_scale", 0.6);
    maker.set("embedding_scale", 3.0);
    maker.set("attention.scale", 0.25);
    maker.set("expert_shared_feed_forward_length", 64);
    maker.routing(9, 5);
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.attention(&layer);
        maker.norm(format!("{layer}.ffn_norm"));
        maker.experts(&layer, 9, ODD.ffn);
        maker.matrix(&format!("{layer}.ffn_gate_shexp"), ODD.dim, 64);
        maker.matrix(&format!("{layer}.ffn_up_shexp"), ODD.dim, 64);
        maker.matrix(&format!("{layer}.ffn_down_shexp"), 64, ODD.dim);
    }
}

fn olmo2(maker: &mut Maker) {
    maker.start(ODD);
    post_normed_alone(maker);
}

/// The fourth layer sees all tokens, and stretches its angles; the others do neither.
fn olmo3(maker: &mut Maker) {
    maker.start(Shape { layers: 5, heads: 6, kv_heads: 3, head_dim: 16, ..ODD });
    maker.set("attention.sliding_window", 20);
    maker.set("rope.scaling.type", "yarn");
    maker.set("rope.scaling.factor", 4.0);
    maker.set("rope.scaling.original_context_length", 64);
    post_normed_alone(maker);
}

/// Layers with norms behind each block alone, and of all heads together.
fn post_normed_alone(maker: &mut Maker) {
    let Shape { dim, heads, kv_heads, head_dim, .. } = maker.shape;
    maker.matrix("output", dim, VOCAB_SIZE);
    for layer in maker.layers() {
        maker.attention(&layer);
        maker.gains(&format!("{layer}.attn_q_norm"), heads * head_dim);
        maker.gains(&format!("{layer}.attn_k_norm"), kv_heads * head_dim);
        maker.norm(format!("{layer}.post_attention_norm"));
        maker.feed_forward(&layer);
        maker.norm(format!("{layer}.post_ffw_norm"));
    }
}

/// Norms behind each block alone, and of each head. llama.cpp obeys windows in models of 64 layers alone.
fn exaone4(maker: &mut Maker) {
    maker.start(Shape { heads: 6, kv_heads: 2, head_dim: 16, ..ODD });
    maker.set("rope.freq_base", 1e6);
    for layer in maker.layers() {
        maker.attention(&layer);
        maker.head_norms(&layer);
        maker.norm(format!("{layer}.post_attention_norm"));
        maker.feed_forward(&layer);
        maker.norm(format!("{layer}.post_ffw_norm"));
    }
}

/// The fourth layer does not turn.
fn smollm3(maker: &mut Maker) {
    maker.start(Shape { layers: 5, ..ODD });
    plain_layers(maker);
}

fn granite(maker: &mut Maker) {
    maker.start(ODD);
    maker.set("logit_scale", 4.0);
    maker.set("residual_scale", 0.4);
    maker.set("embedding_scale", 3.0);
    maker.set("attention.scale", 0.25);
    plain_layers(maker);
}

/// Queries, keys and values in one matrix, gates and what they gate in another; a part of each head is turned, by other
/// angles in longer contexts.
fn phi3(maker: &mut Maker) {
    maker.start(ODD);
    maker.set("rope.dimension_count", 24);
    maker.set("rope.scaling.original_context_length", 128);
    maker.set("rope.scaling.attn_factor", 1.2);
    let divisors = |start: f32| (0..12).map(move |i| start + i as f32 / 4.0);
    maker.file.tensors.push(vector("rope_factors_short.weight", divisors(1.0)));
    maker.file.tensors.push(vector("rope_factors_long.weight", divisors(2.0)));
    let Shape { dim, ffn, .. } = ODD;
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.matrix(&format!("{layer}.attn_qkv"), dim, 96 + 32 + 32);
        maker.matrix(&format!("{layer}.attn_output"), 96, dim);
        maker.norm(format!("{layer}.ffn_norm"));
        maker.matrix(&format!("{layer}.ffn_up"), dim, 2 * ffn);
        maker.matrix(&format!("{layer}.ffn_down"), ffn, dim);
    }
}

/// The second layer sees all tokens, the others the last ones alone.
fn gemma2(maker: &mut Maker) {
    maker.start(Shape { dim: 64, ..ODD });
    maker.set("attention.sliding_window", 24);
    maker.set("attn_logit_softcapping", 2.0);
    maker.set("final_logit_softcapping", 3.0);
    for layer in maker.layers() {
        post_normed(maker, &layer);
    }
}

/// The sixth layer sees all tokens, and turns them by other angles.
fn gemma3(maker: &mut Maker) {
    maker.start(Shape { layers: 7, ..ODD });
    maker.set("attention.sliding_window", 24);
    maker.set("rope.freq_base", 1e6);
    maker.set("rope.scaling.type", "linear");
    maker.set("rope.scaling.factor", 8.0);
    for layer in maker.layers() {
        post_normed(maker, &layer);
        maker.head_norms(&layer);
    }
}

/// Of six layers the third and the sixth see all tokens, with wider heads; the last three keep nothing and have twice
/// the hidden values, and the third has no values but its keys.
fn gemma4(maker: &mut Maker) {
    maker.start(Shape { dim: 64, layers: 6, heads: 4, kv_heads: 2, head_dim: 64, ..ODD });
    two_widths_of_heads(maker, 3, 32);
}

/// Nothing of a token comes in beside the stream, and every layer keeps its own keys.
fn gemma4_without_inputs(maker: &mut Maker) {
    maker.start(Shape { layers: 3, head_dim: 64, ..ODD });
    two_widths_of_heads(maker, 0, 0);
}

/// Gemma 4's layers, of which the last `shared` keep nothing, with `inputs` values beside the stream.
fn two_widths_of_heads(maker: &mut Maker, shared: usize, inputs: usize) {
    let shape = maker.shape;
    let (layers, own) = (shape.layers, shape.layers - shared);
    maker.set("attention.sliding_window", 24);
    maker.set(
        "attention.sliding_window_pattern",
        Meta::Array(7, (0..layers).map(|layer| Meta::Bool(layer % 3 != 2)).collect()),
    );
    maker.set("attention.shared_kv_layers", shared as u32);
    for key in ["attention.key_length_swa", "attention.value_length_swa", "rope.dimension_count_swa"] {
        maker.set(key, 32);
    }
    maker.set("rope.freq_base", 1e6);
    maker.set("rope.freq_base_swa", 10_000.0);
    maker.set("final_logit_softcapping", 3.0);
    maker.set("embedding_length_per_layer_input", inputs as u32);
    // Twice as many in the layers that keep nothing.
    let ffn = |layer: usize| if layer < own { 96 } else { 192 };
    maker.set(
        "feed_forward_length",
        Meta::Array(4, (0..layers).map(|layer| Meta::U32(ffn(layer) as u32)).collect()),
    );
    // Most pairs of the wide heads do not turn.
    let divisors = (0..32).map(|pair| if pair < 8 { 1.0 } else { 1e30 });
    maker.file.tensors.push(vector("rope_freqs.weight", divisors));
    if inputs > 0 {
        maker.matrix("per_layer_token_embd", inputs * layers, VOCAB_SIZE);
        maker.matrix("per_layer_model_proj", shape.dim, inputs * layers);
        maker.gains("per_layer_proj_norm", inputs);
    }
    for (index, layer) in maker.layers().enumerate() {
        maker.shape = Shape { head_dim: if index % 3 == 2 { 64 } else { 32 }, ffn: ffn(index), ..shape };
        post_normed(maker, &layer);
        maker.head_norms(&layer);
        if inputs > 0 {
            maker.matrix(&format!("{layer}.inp_gate"), shape.dim, inputs);
            maker.matrix(&format!("{layer}.proj"), inputs, shape.dim);
            maker.norm(format!("{layer}.post_norm"));
        }
        maker.gains(&format!("{layer}.layer_output_scale"), 1);
        let left_out: &[&str] = match index {
            2 => &["attn_v.weight"],
            _ if index >= own => &["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"],
            _ => &[],
        };
        maker
            .file
            .tensors
            .retain(|tensor| left_out.iter().all(|name| tensor.name != format!("{layer}.{name}")));
    }
    maker.shape = shape;
}

/// Every layer sees all tokens; logits level off.
fn gemma3_without_windows(maker: &mut Maker) {
    maker.start(Shape { heads: 4, kv_heads: 2, head_dim: 40, layers: 2, ..ODD });
    maker.set("final_logit_softcapping", 3.0);
    for layer in maker.layers() {
        post_normed(maker, &layer);
        maker.head_norms(&layer);
    }
}

/// Every other layer sees the last tokens alone. Two experts of six, whose gates and what they let through reach the limits.
fn gpt_oss(maker: &mut Maker) {
    maker.start(Shape { heads: 6, kv_heads: 2, ..ODD });
    maker.set("attention.sliding_window", 24);
    maker.set("rope.freq_base", 150_000.0);
    maker.set("rope.scaling.type", "yarn");
    maker.set("rope.scaling.factor", 32.0);
    maker.set("rope.scaling.original_context_length", 64);
    maker.set("expert_feed_forward_length", 64);
    maker.routing(6, 2);
    maker.matrix("output", ODD.dim, VOCAB_SIZE);
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.attention(&layer);
        for (name, len) in [("attn_q", 192), ("attn_k", 64), ("attn_v", 64), ("attn_output", ODD.dim)] {
            maker.bias(&format!("{layer}.{name}"), len);
        }
        let sinks = maker.random.units(6).into_iter().map(|unit| 2.0 * unit);
        maker.file.tensors.push(vector(&format!("{layer}.attn_sinks.weight"), sinks));
        maker.norm(format!("{layer}.post_attention_norm"));
        maker.experts(&layer, 6, 64);
        maker.expert_biases(&layer, 6, 64);
    }
}

/// Two of five layers attend.
fn lfm2(maker: &mut Maker) {
    maker.start(Shape { layers: 5, ..ODD });
    convolving_layers(maker, &[false, false, true, false, true], |maker, _, layer| maker.feed_forward(layer));
}

/// Three experts of four in all layers but the first; the second of three layers attends.
fn lfm2moe(maker: &mut Maker) {
    maker.start(ODD);
    maker.set("expert_feed_forward_length", 64);
    maker.set("leading_dense_block_count", 1);
    maker.set("expert_gating_func", 2);
    maker.routing(4, 3);
    convolving_layers(maker, &[false, true, false], |maker, index, layer| match index {
        0 => maker.feed_forward(layer),
        _ => {
            maker.experts(layer, 4, 64);
            maker.bias(&format!("{layer}.exp_probs_b"), 4);
        }
    });
}

/// Layers that attend, and others that convolve three tokens.
fn convolving_layers(maker: &mut Maker, attends: &[bool], feed_forward: fn(&mut Maker, usize, &str)) {
    let norm = maker.file.tensors.last_mut().expect("the norm behind all layers");
    norm.name = "token_embd_norm.weight".into();
    let key_heads = attends.iter().map(|&attends| Meta::I32(attends.into()));
    maker.set("attention.head_count_kv", Meta::Array(5, key_heads.collect()));
    maker.set("shortconv.l_cache", 3);
    maker.set("vocab_size", VOCAB_SIZE as u32);
    for (index, layer) in maker.layers().enumerate() {
        maker.norm(format!("{layer}.attn_norm"));
        if attends[index] {
            maker.attention(&layer);
            maker.head_norms(&layer);
        } else {
            maker.matrix(&format!("{layer}.shortconv.in_proj"), ODD.dim, 3 * ODD.dim);
            maker.exact(&format!("{layer}.shortconv.conv"), 3, ODD.dim);
            maker.matrix(&format!("{layer}.shortconv.out_proj"), ODD.dim, ODD.dim);
        }
        maker.norm(format!("{layer}.ffn_norm"));
        feed_forward(maker, index, &layer);
    }
}

fn qwen35(maker: &mut Maker) {
    maker.start(Shape { layers: 5, ..ODD });
    remembering_layers(maker, Maker::feed_forward);
}

/// Three experts of four, and a share of one that all tokens go through.
fn qwen35moe(maker: &mut Maker) {
    maker.start(Shape { layers: 4, ..ODD });
    maker.set("expert_feed_forward_length", 64);
    maker.set("expert_shared_feed_forward_length", 32);
    maker.routing(4, 3);
    remembering_layers(maker, |maker, layer| {
        maker.experts(layer, 4, 64);
        let gate = maker.random.units(ODD.dim);
        maker.file.tensors.push(vector(&format!("{layer}.ffn_gate_inp_shexp.weight"), gate.into_iter()));
        maker.matrix(&format!("{layer}.ffn_gate_shexp"), ODD.dim, 32);
        maker.matrix(&format!("{layer}.ffn_up_shexp"), ODD.dim, 32);
        maker.matrix(&format!("{layer}.ffn_down_shexp"), 32, ODD.dim);
    });
}

/// The fourth layer attends, turning half of each head; the others remember in six heads, which share the keys of two.
fn remembering_layers(maker: &mut Maker, feed_forward: fn(&mut Maker, &str)) {
    let (heads, key_heads, head_dim) = (6, 2, 32);
    let (inner, channels) = (heads * head_dim, (heads + 2 * key_heads) * head_dim);
    maker.set("rope.dimension_count", 16);
    maker.set("rope.dimension_sections", Meta::Array(5, [3, 3, 2, 0].map(Meta::I32).into()));
    maker.set("full_attention_interval", 4);
    for (key, value) in [
        ("conv_kernel", 4),
        ("state_size", head_dim),
        ("group_count", key_heads),
        ("time_step_rank", heads),
        ("inner_size", inner),
    ] {
        maker.set(&format!("ssm.{key}"), value as u32);
    }
    for (index, layer) in maker.layers().enumerate() {
        maker.norm(format!("{layer}.attn_norm"));
        if index % 4 == 3 {
            maker.matrix(&format!("{layer}.attn_q"), 96, 2 * 96);
            maker.matrix(&format!("{layer}.attn_k"), 96, 32);
            maker.matrix(&format!("{layer}.attn_v"), 96, 32);
            maker.matrix(&format!("{layer}.attn_output"), 96, 96);
            maker.head_norms(&layer);
        } else {
            maker.matrix(&format!("{layer}.attn_qkv"), 96, channels);
            maker.matrix(&format!("{layer}.attn_gate"), 96, inner);
            maker.exact(&format!("{layer}.ssm_conv1d"), 4, channels);
            maker.bias(&format!("{layer}.ssm_dt"), heads);
            let slopes = maker.random.units(heads).into_iter().map(|unit| -1.0 - 0.8 * unit);
            maker.file.tensors.push(vector(&format!("{layer}.ssm_a"), slopes));
            maker.matrix(&format!("{layer}.ssm_alpha"), 96, heads);
            maker.matrix(&format!("{layer}.ssm_beta"), 96, heads);
            maker.gains(&format!("{layer}.ssm_norm"), head_dim);
            maker.matrix(&format!("{layer}.ssm_out"), inner, 96);
        }
        maker.norm(format!("{layer}.post_attention_norm"));
        feed_forward(maker, &layer);
    }
}

/// Layers as Llama has them.
fn plain_layers(maker: &mut Maker) {
    for layer in maker.layers() {
        maker.norm(format!("{layer}.attn_norm"));
        maker.attention(&layer);
        maker.norm(format!("{layer}.ffn_norm"));
        maker.feed_forward(&layer);
    }
}

/// A layer with norms before and behind each block.
fn post_normed(maker: &mut Maker, layer: &str) {
    maker.norm(format!("{layer}.attn_norm"));
    maker.attention(layer);
    maker.norm(format!("{layer}.post_attention_norm"));
    maker.norm(format!("{layer}.ffn_norm"));
    maker.feed_forward(layer);
    maker.norm(format!("{layer}.post_ffw_norm"));
}
