//! Floor 2. The architecture `granite`: Granite 3 and 4 without experts. Llama's layers, with four multipliers of their own: of
//! embeddings, scores, what is added to the stream, and logits.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use super::description::Description;
use super::program::Activation::Silu;
use super::program::Buffer::{Delta, Normed, Stream};
use crate::error::Result;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.refuse_experts()?;
    model.embedding_scale = model.keys.factor("embedding_scale")?.unwrap_or(1.0);
    model.residual_scale = model.keys.factor("residual_scale")?.unwrap_or(1.0);
    // The key says by what logits are divided.
    let divisor = model.keys.factor("logit_scale")?;
    model.logits.scale = 1.0 / divisor.ok_or_else(|| model.keys.missing("logit_scale"))?;
    let turned = model.keys.bool_if_any("rope.scaling.finetuned")?.unwrap_or(true);
    let rope = model.rope(RopePairs::Adjacent)?;
    let attention = model.scaled_attention()?;
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
        layer.feed_forward(Normed, Silu)?;
        layer.add(Delta)?;
    }
    Ok(())
}
