//! Floor 2. The architecture `phi3`: Phi 3, 3.5 and 4. Llama's layers with joint matrices; of each head the first values may
//! turn and the rest not, by other angles in long contexts than in short ones.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.refuse_experts()?;
    // Files state a window that their models were not trained with in every layer, and llama.cpp attends to all tokens.
    let (rope, attention) = (model.rope_by_context(RopePairs::Halves)?, model.attention());
    model.turns_parts = true;
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        layer.rope(rope)?;
        layer.attend(attention)?;
        layer.add(Delta)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        layer.joint_feed_forward(Normed, Silu)?;
        layer.add(Delta)?;
    }
    Ok(())
}
