//! Floor 2. The architecture `gemma3`: Gemma 3. Gemma 2's layers with normed heads instead of levelled scores; of six layers
//! five see the last tokens only, and turn their heads by angles of their own.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Gelu;
use crate::model::program::Attention;
use crate::model::program::Buffer::{Delta, Normed, Stream};

/// Layers of the largest model, whose scores are divided by the root of another width.
const LARGEST: usize = 62;
/// The base of the angles in layers with a window, where a file leaves it out.
const LOCAL_BASE: f32 = 10_000.0;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.embedding_scale = math::sqrt(model.hyper.dim as f32);
    model.logits.cap = model.keys.factor("final_logit_softcapping")?;
    let attention = model.attention_of_part(LARGEST);
    let windows = model.windows(6)?;
    let rope = model.rope(RopePairs::Halves)?;
    let local = match windows.length {
        Some(_) => model.unscaled_rope(rope, "rope.freq_base_swa", Some(LOCAL_BASE))?,
        None => rope,
    };
    for index in 0..model.hyper.layers {
        let window = windows.of(index);
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        layer.norm_heads()?;
        layer.rope(if window.is_some() { local } else { rope })?;
        layer.attend(Attention { window, ..attention })?;
        layer.norm(Delta, "post_attention_norm", Normed)?;
        layer.add(Normed)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        layer.feed_forward(Normed, Gelu)?;
        layer.norm(Delta, "post_ffw_norm", Normed)?;
        layer.add(Normed)?;
    }
    Ok(())
}
