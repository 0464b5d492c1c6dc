//! The keys and tensors that one architecture or another adds: missing or odd ones are errors that name them.

use std::sync::LazyLock;

use bantam::Error;

use crate::common::architectures::architectures;
use crate::common::gguf::{Gguf, Meta};
use crate::common::reference::Variant;
use crate::open_and_run;

/// What becomes of the tiny model of a name, changed.
fn changed(name: &str, change: impl FnOnce(&mut Gguf)) -> Result<(), Error> {
    static MODELS: LazyLock<Vec<Variant>> = LazyLock::new(architectures);
    let model = MODELS.iter().find(|model| model.name == name);
    let mut file = model.unwrap_or_else(|| panic!("no model {name}")).file.clone();
    change(&mut file);
    open_and_run(file.write())
}

fn refused(name: &str, key: &str, value: impl Into<Meta>, words: &[&str]) {
    let error = changed(name, |file| {
        file.set(key, value);
    });
    says(error.unwrap_err(), words);
}

fn says(error: Error, words: &[&str]) {
    let inside = matches!(error, Error::Inconsistent(_) | Error::Unsupported(_));
    assert!(inside, "{error:?}");
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

#[test]
fn an_unknown_architecture_is_refused_with_the_known_ones() {
    let error = changed("qwen3", |file| {
        file.set("general.architecture", "qwen9");
    });
    says(error.unwrap_err(), &["qwen9", "gemma2", "llama", "qwen3moe", "smollm3"]);
}

#[test]
fn tensors_that_are_missing() {
    for (model, tensor) in [
        ("qwen3", "blk.1.attn_q_norm.weight"),
        ("olmo2", "blk.0.attn_k_norm.weight"),
        ("olmo2", "blk.2.post_ffw_norm.weight"),
        ("gemma3", "blk.6.post_attention_norm.weight"),
        ("phi3", "rope_factors_long.weight"),
        ("qwen3moe", "blk.0.ffn_gate_inp.weight"),
        ("qwen3moe", "blk.2.ffn_down_exps.weight"),
    ] {
        let error = changed(model, |file| file.tensors.retain(|other| other.name != tensor));
        says(error.unwrap_err(), &[tensor, "missing"]);
    }
}

#[test]
fn joint_matrices_of_another_shape() {
    for (tensor, shape) in [("blk.0.attn_qkv.weight", "[96, 160]"), ("blk.1.ffn_up.weight", "[96, 320]")] {
        let error = changed("phi3", |file| file.tensor(tensor).shape[1] -= 1);
        says(error.unwrap_err(), &[tensor, "shape", shape]);
    }
}

#[test]
fn windows_that_are_none() {
    let key = "gemma3.attention.sliding_window";
    refused("gemma3", key, "wide", &[key, "string"]);
    refused("gemma3", key, Meta::I32(-1), &[key, "-1"]);
    refused("gemma3", key, u32::MAX, &[key, "4294967295"]);
    let key = "gemma3.attention.sliding_window_pattern";
    refused("gemma3", key, 0, &[key, "0"]);
    refused("gemma3", key, Meta::Array(7, vec![Meta::Bool(true); 6]), &[key, "6 layers", "7"]);
    refused("gemma3", key, Meta::strings(["yes"; 7]), &[key]);
    for truth in [Meta::Bool(true), Meta::I32(1)] {
        changed("gemma3", |file| {
            file.set(key, Meta::Array(truth.kind(), vec![truth; 9]));
        })
        .unwrap();
    }
    // None at all, one of a single token, one longer than any context.
    for window in [0, 1, 1 << 20] {
        changed("gemma3", |file| {
            file.set("gemma3.attention.sliding_window", window);
        })
        .unwrap();
    }
}

#[test]
fn factors_that_are_none() {
    for (model, key) in [
        ("granite", "granite.embedding_scale"),
        ("granite", "granite.residual_scale"),
        ("granite", "granite.logit_scale"),
        ("granite", "granite.attention.scale"),
        ("gemma2", "gemma2.attn_logit_softcapping"),
        ("gemma2", "gemma2.final_logit_softcapping"),
        ("gemma3", "gemma3.rope.freq_base_swa"),
        ("qwen3moe", "qwen3moe.expert_weights_scale"),
    ] {
        refused(model, key, -1.0, &[key, "negative"]);
        refused(model, key, f32::NAN, &[key, "finite"]);
        refused(model, key, "one", &[key, "string"]);
    }
    let key = "granitemoe.expert_shared_feed_forward_length";
    refused("granitemoe", key, 32, &["blk.0.ffn_gate_shexp.weight", "[96, 32]"]);
    refused("granitemoe", key, u32::MAX, &[key, "4294967295"]);
    refused("granitemoe", key, 0, &["ffn_gate_shexp.weight", "granitemoe"]);
    let error = changed("granite", |file| {
        file.remove("granite.logit_scale");
    });
    says(error.unwrap_err(), &["granite.logit_scale", "missing"]);
}

#[test]
fn experts_that_do_not_fit() {
    let (count, used) = ("qwen3moe.expert_count", "qwen3moe.expert_used_count");
    refused("qwen3moe", count, 0, &[count, "0"]);
    refused("qwen3moe", count, 8, &["blk.0.ffn_gate_inp.weight", "[96, 8]"]);
    refused("qwen3moe", used, 0, &[used, "0"]);
    refused("qwen3moe", used, 8, &[used, "8", "7 experts"]);
    let ffn = "qwen3moe.expert_feed_forward_length";
    refused("qwen3moe", ffn, 32, &["blk.0.ffn_gate_exps.weight", "[96, 32, 7]"]);
    for key in [count, used] {
        let error = changed("qwen3moe", |file| {
            file.remove(key);
        });
        says(error.unwrap_err(), &[key, "missing"]);
    }
    changed("qwen3moe", |file| {
        file.remove("qwen3moe.feed_forward_length");
    })
    .unwrap();
    changed("qwen3moe", |file| {
        file.set(used, 7);
    })
    .unwrap();
}
