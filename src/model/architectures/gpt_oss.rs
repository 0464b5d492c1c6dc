//! Floor 2. The architecture `gpt-oss`. A few chosen experts of many, with biases and clamped gates; every other layer sees the
//! last tokens only; a learned sink takes its share of each head's attention.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::{Description, Routing};
use crate::model::program::Activation::ClampedSilu;
use crate::model::program::Attention;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    let (rope, attention) = (model.rope(RopePairs::Halves)?, model.attention());
    let windows = model.windows(2)?;
    model.keys.count("expert_count")?;
    let routing = model.routing()?.ok_or_else(|| model.keys.missing("expert_count"))?;
    let routing = Routing { ffn: model.keys.count("expert_feed_forward_length")?, ..routing };
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        layer.rope(rope)?;
        layer.attend(Attention { window: windows.of(index), ..attention })?;
        layer.add(Delta)?;

        layer.norm(Stream, "post_attention_norm", Normed)?;
        layer.experts(Normed, routing, ClampedSilu)?;
        layer.add(Delta)?;
    }
    Ok(())
}
