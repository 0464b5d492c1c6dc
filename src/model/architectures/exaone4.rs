//! Floor 2. The architecture `exaone4`: EXAONE 4. Blocks read the stream as it is and are normed behind it; each head is normed by
//! itself. In models whose layers see the last tokens only, every fourth sees all, and does not turn its heads.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Silu;
use crate::model::program::Attention;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    let (rope, attention) = (model.rope(RopePairs::Halves)?, model.attention());
    let windows = model.windows(4)?;
    for index in 0..model.hyper.layers {
        let window = windows.of(index);
        let mut layer = model.layer(index);
        layer.project_heads(Stream)?;
        layer.norm_heads()?;
        if window.is_some() || windows.length.is_none() {
            layer.rope(rope)?;
        }
        layer.attend(Attention { window, ..attention })?;
        layer.norm(Delta, "post_attention_norm", Normed)?;
        layer.add(Normed)?;

        layer.feed_forward(Stream, Silu)?;
        layer.norm(Delta, "post_ffw_norm", Normed)?;
        layer.add(Normed)?;
    }
    Ok(())
}
