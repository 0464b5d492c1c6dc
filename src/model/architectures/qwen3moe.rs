//! Floor 2. The architecture `qwen3moe`: Qwen 3 with experts. Qwen 3's layers, with a few chosen feed-forward layers of many.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::{Description, Routing};
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    let (rope, attention) = (model.rope(RopePairs::Halves)?, model.attention());
    model.keys.count("expert_count")?;
    let routing = model.routing()?.ok_or_else(|| model.keys.missing("expert_count"))?;
    // A file that does not say so has as many hidden values in the chosen experts as in a layer without.
    let ffn = model.keys.count_if_any("expert_feed_forward_length")?;
    let routing = Routing { ffn: ffn.unwrap_or((routing.ffn / routing.used).max(1)), ..routing };
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        layer.norm_heads()?;
        layer.rope(rope)?;
        layer.attend(attention)?;
        layer.add(Delta)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        layer.experts(Normed, routing, Silu)?;
        layer.add(Delta)?;
    }
    Ok(())
}
