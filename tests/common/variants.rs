//! Tiny models that each use a part of the architecture `llama` which the demo model does not. Their files are the same on
//! every machine; `tests/golden/logits/variants.json` holds what llama.cpp makes of them.

use bantam::Format;
use half::f16;

use super::Random;
use super::gguf::{Gguf, Meta, Tensor};
pub(crate) use super::reference::{CONTEXT, Variant};
use super::tiny::{Tiny, number};

/// The model that most variants change.
const PLAIN: Tiny =
    Tiny { format: Format::F32, dim: 64, layers: 2, ffn: 96, heads: 4, kv_heads: 2, tied: true };

/// The names of a layer's matrices and the length of their rows' biases.
const BIASES: [(&str, usize); 7] = [
    ("attn_q", 64),
    ("attn_k", 32),
    ("attn_v", 32),
    ("attn_output", 64),
    ("ffn_gate", 96),
    ("ffn_up", 96),
    ("ffn_down", 64),
];

/// All of them.
pub(crate) fn variants() -> Vec<Variant> {
    let mut all = Vec::new();
    let mut add = |name, file: Gguf| all.push(Variant { name, file: tuned(file) });
    let changed = |change: &dyn Fn(&mut Gguf)| {
        let mut file = PLAIN.gguf();
        change(&mut file);
        file
    };
    let rope = |keys: &[(&str, Meta)]| {
        changed(&|file| {
            for (key, value) in keys {
                file.set(&format!("llama.rope.{key}"), value.clone());
            }
        })
    };
    let (factor, kind, original) = ("scaling.factor", "scaling.type", "scaling.original_context_length");

    add("plain", PLAIN.gguf());
    add("untied", Tiny { tied: false, ..PLAIN }.gguf());
    add("heads_of_their_own", Tiny { kv_heads: 4, ..PLAIN }.gguf());
    add("one_key_head", Tiny { kv_heads: 1, ..PLAIN }.gguf());
    add("odd_widths", Tiny { dim: 60, ffn: 100, heads: 5, kv_heads: 5, ..PLAIN }.gguf());
    add("wide_heads", wide_heads());
    add("biases", changed(&|file| file.tensors.extend(biases())));
    add(
        "counts_as_arrays",
        changed(&|file| {
            let twice = |count| Meta::Array(4, vec![Meta::U32(count); 2]);
            file.set("llama.attention.head_count", twice(4));
            file.set("llama.attention.head_count_kv", twice(2));
            file.set("llama.feed_forward_length", twice(96));
        }),
    );
    add(
        "large_epsilon",
        changed(&|file| {
            file.set("llama.attention.layer_norm_rms_epsilon", 0.5);
        }),
    );

    add("freq_base", rope(&[("freq_base", 500_000.0.into())]));
    add("rope_none", rope(&[(kind, "none".into()), (factor, 4.0.into())]));
    add("rope_linear", rope(&[(kind, "linear".into()), (factor, 4.0.into())]));
    add("rope_scale_linear", rope(&[("scale_linear", 2.0.into())]));
    add("rope_attn_factor", rope(&[("scaling.attn_factor", 1.3.into())]));
    let yarn = |more: &[(&str, Meta)]| {
        let keys = [(kind, "yarn".into()), (factor, 4.0.into()), (original, 32.into())];
        rope(&[&keys, more].concat())
    };
    add("yarn", yarn(&[]));
    add("yarn_whole_context", rope(&[(kind, "yarn".into()), (factor, 4.0.into())]));
    add("yarn_attn_factor", yarn(&[("scaling.attn_factor", 0.7.into())]));
    add(
        "yarn_betas",
        yarn(&[("scaling.yarn_beta_fast", 4.0.into()), ("scaling.yarn_beta_slow", 0.5.into())]),
    );
    add("yarn_half", yarn(&[("scaling.yarn_ext_factor", 0.5.into())]));
    add("yarn_interpolated", yarn(&[("scaling.yarn_ext_factor", 0.0.into())]));
    add("yarn_unset", yarn(&[("scaling.yarn_ext_factor", (-1.0).into())]));
    add("yarn_shrunk", yarn(&[(factor, 0.5.into())]));
    // A session of as many positions as the original context still has the short divisors.
    add("longrope_short", longrope(CONTEXT as u32));
    add("longrope_long", longrope(128));
    add(
        "rope_freqs",
        changed(&|file| {
            let divisor = |i: usize| if i < 3 { 1.0 } else { 1.0 + i as f32 };
            file.tensors.push(vector("rope_freqs.weight", (0..8).map(divisor)));
        }),
    );

    for (name, format) in [
        ("f16", Format::F16),
        ("bf16", Format::BF16),
        ("q8_0", Format::Q8_0),
        ("q4_0", Format::Q4_0),
        ("q4_k", Format::Q4_K),
        ("q6_k", Format::Q6_K),
    ] {
        add(name, Tiny { tied: false, ..Tiny::new(format) }.gguf());
    }
    add("mixed", mixed());
    all
}

/// Heads of 32 values in a model whose width has only 16 for each.
fn wide_heads() -> Gguf {
    let mut file = PLAIN.gguf();
    for key in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
        file.set(&format!("llama.{key}"), 32);
    }
    let mut random = Random::new(7);
    for layer in 0..PLAIN.layers {
        let shapes =
            [("attn_q", [64, 128]), ("attn_k", [64, 64]), ("attn_v", [64, 64]), ("attn_output", [128, 64])];
        for (name, shape) in shapes {
            let tensor = file.tensor(&format!("blk.{layer}.{name}.weight"));
            tensor.shape = shape.to_vec();
            tensor.bytes = random.weights(Format::F32, (shape[0] * shape[1]) as usize);
        }
    }
    file
}

/// A bias for every matrix of every layer.
fn biases() -> Vec<Tensor> {
    let mut random = Random::new(11);
    let layers = (0..PLAIN.layers).flat_map(|layer| BIASES.map(|bias| (layer, bias)));
    layers
        .map(|(layer, (name, len))| {
            vector(&format!("blk.{layer}.{name}.bias"), random.units(len).into_iter())
        })
        .collect()
}

/// Divisors of their own for short and long contexts, and louder keys and queries.
fn longrope(original_context: u32) -> Gguf {
    let mut file = PLAIN.gguf();
    file.set("llama.rope.scaling.type", "longrope")
        .set("llama.rope.scaling.original_context_length", original_context)
        .set("llama.rope.scaling.attn_factor", 1.2);
    file.tensors.push(vector("rope_factors_short.weight", (0..8).map(|i| 1.0 + i as f32 / 8.0)));
    file.tensors.push(vector("rope_factors_long.weight", (0..8).map(|i| 2.0 + i as f32)));
    file
}

/// Matrices of one layer in many formats.
fn mixed() -> Gguf {
    let mut file = Tiny { tied: false, ..Tiny::new(Format::Q4_K) }.gguf();
    let mut random = Random::new(13);
    for (name, format) in [
        ("token_embd", Format::Q8_0),
        ("output", Format::Q6_K),
        ("blk.0.attn_q", Format::Q4_0),
        ("blk.0.attn_k", Format::F16),
        ("blk.0.attn_v", Format::Q6_K),
        ("blk.0.ffn_up", Format::BF16),
        ("blk.0.ffn_down", Format::Q8_0),
        ("blk.1.attn_q", Format::F32),
        ("blk.1.attn_v", Format::Q8_0),
        ("blk.1.ffn_gate", Format::Q4_0),
        ("blk.1.ffn_down", Format::Q6_K),
    ] {
        let tensor = file.tensor(&format!("{name}.weight"));
        tensor.kind = number(format);
        tensor.bytes = random.weights(format, tensor.shape.iter().product::<u64>() as usize);
    }
    file
}

pub(crate) fn vector(name: &str, values: impl ExactSizeIterator<Item = f32>) -> Tensor {
    let shape = vec![values.len() as u64];
    let bytes = values.flat_map(f32::to_le_bytes).collect();
    Tensor { name: name.into(), shape, kind: number(Format::F32), bytes, offset: None }
}

/// Scales every matrix so that its products have a deviation of about 1, those with queries and keys one of 1.5: then
/// attention looks at several tokens, prefers some, and every angle counts.
fn tuned(mut file: Gguf) -> Gguf {
    file.set("llama.context_length", CONTEXT as u32);
    tune(&mut file);
    file
}

/// The same for matrices of any names, those of experts among them.
pub(crate) fn tune(file: &mut Gguf) {
    for tensor in file.tensors.iter_mut().filter(|tensor| tensor.shape.len() > 1) {
        let sharper = tensor.name.contains("attn_q") || tensor.name.contains("attn_k");
        let scale = if sharper { 1.5 } else { 1.0 } / (tensor.shape[0] as f32).sqrt();
        let format = *Format::ALL.iter().find(|format| number(**format) == tensor.kind).unwrap();
        for block in tensor.bytes.chunks_exact_mut(format.block_bytes()) {
            rescale(format, block, scale);
        }
    }
}

/// Gives a block of random weights a deviation of `scale`: random numbers, or random quants under a scale of their own.
fn rescale(format: Format, block: &mut [u8], scale: f32) {
    let mut half = |at: usize, value: f32| {
        block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
    };
    match format {
        // Numbers between -1 and 1 have a deviation of 1 / sqrt(3).
        Format::F32 => {
            let weight = f32::from_le_bytes(block.try_into().unwrap()) * 3f32.sqrt() * scale;
            block.copy_from_slice(&weight.to_le_bytes());
        }
        Format::F16 => {
            let weight = f16::from_le_bytes(block.try_into().unwrap()).to_f32() * 3f32.sqrt() * scale;
            block.copy_from_slice(&f16::from_f32(weight).to_le_bytes());
        }
        Format::BF16 => {
            let weight = f32::from_le_bytes([0, 0, block[0], block[1]]) * 3f32.sqrt() * scale;
            block.copy_from_slice(&weight.to_le_bytes()[2..]);
        }
        Format::Q8_0 => half(0, scale / 74.0),
        Format::Q4_0 => half(0, scale / 4.6),
        // Scales and minima of 0..64, quants of 0..16: the minimum's scale takes the mean away.
        Format::Q4_K => {
            half(0, scale / 257.0);
            half(2, scale / 257.0 * 7.5);
        }
        // Scales of -128..128, quants of -32..32.
        Format::Q6_K => half(208, scale / 1369.0),
        // Levels of a deviation of 5.85 under a power of two.
        Format::MXFP4 => block[0] = (128.0 + (scale / 5.85).log2().round()) as u8,
        other => panic!("no variant is in {other:?}"),
    }
}
