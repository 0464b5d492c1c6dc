//! Floor 2. Qwen 3.5: three of four layers remember by the gated delta rule, the fourth attends, with a gate on what its heads
//! gather. Of `qwen35moe`, the feed-forward layers are experts, beside one that all tokens go through as far as its gate lets
//! them.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::{Error, Result, text};
use crate::gguf::Value;
use crate::model::description::{Description, Routing};
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.turns_parts = true;
    let rope = model.rope(RopePairs::Halves)?;
    let attention = model.scaled_attention()?;
    check_sections(model)?;
    // What guesses further tokens stands behind the layers.
    for index in 0..model.keys.guessing_blocks()? {
        model.tensors.skip_block(model.hyper.layers + index);
    }
    let keys = model.keys;
    let (heads, key_heads) = (keys.count("ssm.time_step_rank")?, keys.count("ssm.group_count")?);
    let head_dim = keys.count("ssm.state_size")?;
    let inner = keys.count("ssm.inner_size")?;
    if heads.checked_mul(head_dim) != Some(inner) || !heads.is_multiple_of(key_heads) {
        return Err(Error::Inconsistent(text!(
            "{inner} values of {heads} heads of {head_dim}, with the keys of {key_heads}, do not fit each other"
        )));
    }
    let length = keys.count("ssm.conv_kernel")?;
    let every = keys.count_if_any("full_attention_interval")?.unwrap_or(4);
    let routing = match model.routing()? {
        // A file that does not say so has as many hidden values in the chosen experts as in a layer without.
        Some(routing) => {
            let ffn = keys.count_if_any("expert_feed_forward_length")?;
            Some(Routing { ffn: ffn.unwrap_or((routing.ffn / routing.used).max(1)), ..routing })
        }
        None => None,
    };
    let shared = keys.count_if_any("expert_shared_feed_forward_length")?.unwrap_or(model.hyper.ffn);
    for index in 0..model.hyper.layers {
        let remembers = remembers(model, index)?.unwrap_or((index + 1) % every != 0);
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        if remembers {
            layer.recall(Normed, (heads, key_heads, head_dim), length)?;
        } else {
            layer.project_gated_heads(Normed)?;
            layer.norm_heads()?;
            layer.rope(rope)?;
            layer.attend_gated(attention)?;
        }
        layer.add(Delta)?;

        layer.norm(Stream, "post_attention_norm", Normed)?;
        let Some(routing) = routing else {
            layer.feed_forward(Normed, Silu)?;
            layer.add(Delta)?;
            continue;
        };
        layer.experts(Normed, routing, Silu)?;
        layer.add(Delta)?;
        layer.shared_expert_by_share(Normed, shared, Silu)?;
        layer.add(Delta)?;
    }
    Ok(())
}

/// What the file says of a layer, if it has a list.
fn remembers(model: &Description<'_>, index: usize) -> Result<Option<bool>> {
    let key = text!("{}.attention.recurrent_layers", model.keys.architecture);
    let Some(Value::Array(list)) = model.keys.file.get(key.as_str()) else { return Ok(None) };
    match list.iter().nth(index) {
        Some(Value::Bool(truth)) => Ok(Some(truth)),
        Some(other) if other.as_integer().is_some() => Ok(other.as_integer().map(|number| number != 0)),
        _ => Err(Error::Inconsistent(text!("{key} says nothing of layer {index}"))),
    }
}

/// Positions of pictures turn some pairs by a row or a column; of text all are the same. Pairs that no section covers would
/// not turn at all.
fn check_sections(model: &Description<'_>) -> Result<()> {
    let key = text!("{}.rope.dimension_sections", model.keys.architecture);
    let Some(Value::Array(sections)) = model.keys.file.get(key.as_str()) else { return Ok(()) };
    let mut lengths = [0; 3];
    for (length, section) in lengths.iter_mut().zip(sections.iter()) {
        *length = section.as_integer().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    }
    // Of pair i, section i % 3 has to reach to it.
    let pairs = model.rope_pairs();
    if (0..pairs).any(|pair| pair >= lengths[pair % 3].saturating_mul(3)) {
        return Err(Error::Unsupported(text!("{key} of {lengths:?} for {pairs} pairs: some would not turn")));
    }
    Ok(())
}
