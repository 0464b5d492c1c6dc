//! Floor 2. The architectures `granite` and `granitemoe`: Granite 3 and 4. Llama's layers, with four multipliers of their own: of
//! embeddings, scores, what is added to the stream, and logits. Those with experts may have one that all tokens share.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.embedding_scale = model.keys.factor("embedding_scale")?.unwrap_or(1.0);
    model.residual_scale = model.keys.factor("residual_scale")?.unwrap_or(1.0);
    // The key says by what logits are divided.
    let divisor = model.keys.factor("logit_scale")?;
    model.logits.scale = 1.0 / divisor.ok_or_else(|| model.keys.missing("logit_scale"))?;
    let turned = model.keys.bool_if_any("rope.scaling.finetuned")?.unwrap_or(true);
    let rope = model.rope(RopePairs::Adjacent)?;
    let attention = model.scaled_attention()?;
    let routing = model.routing()?;
    let shared = model.keys.count_unless_zero("expert_shared_feed_forward_length")?;
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        if turned {
            layer.rope(rope)?;
        }
        layer.attend(attention)?;
        layer.add(Delta)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        let Some(routing) = routing else {
            layer.feed_forward(Normed, Silu)?;
            layer.add(Delta)?;
            continue;
        };
        layer.experts(Normed, routing, Silu)?;
        layer.add(Delta)?;
        if let Some(ffn) = shared {
            layer.shared_expert(Normed, ffn, Silu)?;
            layer.add(Delta)?;
        }
    }
    Ok(())
}
