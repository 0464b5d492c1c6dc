//! Floor 2. The architecture `smollm3`: SmolLM 3. Llama's layers, of which every fourth knows nothing of positions.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::{Delta, Normed, Stream};

/// Of so many layers, the last does not turn its heads.
const TURNED_AND_NOT: usize = 4;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    let rope = model.rope(RopePairs::Adjacent)?;
    let attention = model.scaled_attention()?;
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        if !(index + 1).is_multiple_of(TURNED_AND_NOT) {
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
