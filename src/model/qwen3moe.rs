//! Floor 2. The architecture `qwen3moe`: Qwen 3 with experts. Qwen 3's layers, with a few chosen feed-forward layers of many.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use super::description::Description;
use super::program::Activation::Silu;
use super::program::Buffer::{Delta, Normed, Stream};
use crate::error::Result;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    let (rope, attention) = (model.rope(RopePairs::Halves)?, model.attention());
    let routing = model.routing()?;
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
