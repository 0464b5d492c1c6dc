//! Floor 2. The architecture `gemma4`: Gemma 4, its dense models. Gemma 3's layers, in which those that see all tokens have
//! wider heads than those with a window; each layer gets something of a token beside the stream; the last layers attend to what
//! earlier ones have kept.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;

use crate::error::{Error, Result, text};
use crate::model::description::{Description, Heads};
use crate::model::program::Activation::Gelu;
use crate::model::program::Attention;
use crate::model::program::Buffer::{Delta, Normed, Stream};

/// The base of the angles in layers with a window, where a file leaves it out.
const LOCAL_BASE: f32 = 10_000.0;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.refuse_experts()?;
    let (keys, hyper) = (model.keys, model.hyper);
    model.embedding_scale = math::sqrt(hyper.dim as f32);
    model.logits.cap = keys.factor("final_logit_softcapping")?;
    let windows = model.windows(1)?;
    let dim = keys.count_if_any("attention.key_length_swa")?.unwrap_or(hyper.head_dim);
    let local_dim = keys.count_if_any("attention.value_length_swa")?.unwrap_or(dim);
    if local_dim != dim {
        return Err(Error::Unsupported(text!(
            "keys of {dim} with values of {local_dim} per head with a window"
        )));
    }
    let rope = model.rope(RopePairs::Halves)?;
    let turned = keys.count_if_any("rope.dimension_count_swa")?.unwrap_or(dim);
    let local = model.narrow_rope(rope, "rope.freq_base_swa", Some(LOCAL_BASE), turned)?;
    // The layers that keep keys and values; those behind them see what the last of their kind has kept.
    let shared = keys.u32_if_any("attention.shared_kv_layers")?.unwrap_or(0) as usize;
    let own = hyper.layers.checked_sub(shared).filter(|&own| own > 0 && (shared == 0 || own >= 2));
    let own = own.ok_or_else(|| {
        let layers = hyper.layers;
        Error::Inconsistent(text!(
            "{shared} of {layers} layers see what others keep; the first two must keep something"
        ))
    })?;
    let inputs = keys.count_unless_zero("embedding_length_per_layer_input")?;
    inputs.map_or(Ok(()), |len| model.layer_inputs(len))?;
    // By whether they have a window.
    let mut kept = [None; 2];
    for index in 0..hyper.layers {
        let window = windows.of(index);
        let mut layer = model.layer(index);
        layer.heads = Heads {
            dim: if window.is_some() { dim } else { hyper.head_dim },
            keys: keys.of_layer("attention.head_count_kv", index)?.unwrap_or(hyper.kv_heads),
            ..layer.heads
        };
        layer.check_heads()?;
        layer.ffn = keys.of_layer("feed_forward_length", index)?.unwrap_or(hyper.ffn);
        let rope = if window.is_some() { local } else { rope };
        // Scores are products of normed heads, as they are.
        let attention = Attention { window, score: 1.0.into() };
        layer.norm(Stream, "attn_norm", Normed)?;
        if index < own {
            layer.project_heads_or_keys(Normed)?;
            layer.norm_heads()?;
            layer.norm_values()?;
            layer.rope(rope)?;
            kept[usize::from(window.is_some())] = Some(layer.attend(attention)?);
        } else {
            let seen = kept[usize::from(window.is_some())].ok_or_else(|| {
                Error::Inconsistent(text!(
                    "layer {index} sees what another keeps, and none before it is of its kind"
                ))
            })?;
            layer.leave_out_keys();
            layer.project_queries(Normed)?;
            layer.norm_queries()?;
            layer.rope_queries(rope)?;
            layer.attend_again(seen, attention)?;
        }
        layer.norm(Delta, "post_attention_norm", Normed)?;
        layer.add(Normed)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        layer.feed_forward(Normed, Gelu)?;
        layer.norm(Delta, "post_ffw_norm", Normed)?;
        layer.add(Normed)?;

        if inputs.is_some() {
            layer.let_in()?;
            layer.norm(Delta, "post_norm", Normed)?;
            layer.add(Normed)?;
        }
        layer.scale_if_any("layer_output_scale")?;
    }
    Ok(())
}
