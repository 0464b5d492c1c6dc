//! Floor 2. The architecture `olmo2`: OLMo 2 and 3. Blocks read the stream as it is and are normed behind it; queries and
//! keys are normed over all heads. OLMo 3 has layers that see the last tokens only, whose angles are never stretched.
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
    let plain = match windows.length {
        Some(_) => model.unscaled_rope(rope, "rope.freq_base_swa", None)?,
        None => rope,
    };
    for index in 0..model.hyper.layers {
        let window = windows.of(index);
        let mut layer = model.layer(index);
        layer.project_heads(Stream)?;
        layer.norm_all_heads()?;
        layer.rope(if window.is_some() { plain } else { rope })?;
        layer.attend(Attention { window, ..attention })?;
        layer.norm(Delta, "post_attention_norm", Normed)?;
        layer.add(Normed)?;

        layer.feed_forward(Stream, Silu)?;
        layer.norm(Delta, "post_ffw_norm", Normed)?;
        layer.add(Normed)?;
    }
    Ok(())
}
