//! Floor 2. The architecture `qwen3`: Qwen 3. Each head of queries and keys is normed by itself before it turns.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    let (rope, attention) = (model.rope(RopePairs::Halves)?, model.attention());
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        layer.norm_heads()?;
        layer.rope(rope)?;
        layer.attend(attention)?;
        layer.add(Delta)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        layer.feed_forward(Normed, Silu)?;
        layer.add(Delta)?;
    }
    Ok(())
}
