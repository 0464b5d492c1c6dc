//! Floor 2. The architecture `nomic-bert`: an encoder as BERT, but positions turn queries and keys, and the feed-forward layer is
//! gated.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::Normed;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.is_encoder = true;
    model.refuse_experts()?;
    let (rope, attention) = (model.rope(RopePairs::Halves)?, model.attention());
    model.place(false)?;
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.project_heads(Normed)?;
        layer.rope(rope)?;
        layer.attend(attention)?;
        layer.add_and_norm("attn_output_norm")?;
        layer.feed_forward(Normed, Silu)?;
        layer.add_and_norm("layer_output_norm")?;
    }
    Ok(())
}
