//! Floor 2. The architecture `gemma2`: Gemma 2. Norms before and behind each block; scores and logits level off; every other
//! layer sees the last tokens only.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Gelu;
use crate::model::program::Attention;
use crate::model::program::Buffer::{Delta, Normed, Stream};

/// Layers of the largest model, whose scores are divided by the root of another width.
const LARGEST: usize = 46;
/// What these keys are where a file leaves them out.
const SCORE_CAP: f32 = 50.0;
const LOGIT_CAP: f32 = 30.0;
const WINDOW: usize = 4096;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.embedding_scale = math::sqrt(model.hyper.dim as f32);
    model.logits.cap = Some(model.keys.factor("final_logit_softcapping")?.unwrap_or(LOGIT_CAP));
    let mut attention = model.attention_of_part(LARGEST);
    attention.score.cap = Some(model.keys.factor("attn_logit_softcapping")?.unwrap_or(SCORE_CAP));
    let windows = model.windows(2)?.or(WINDOW);
    let rope = model.rope(RopePairs::Halves)?;
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        layer.rope(rope)?;
        layer.attend(Attention { window: windows.of(index), ..attention })?;
        layer.norm(Delta, "post_attention_norm", Normed)?;
        layer.add(Normed)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        layer.feed_forward(Normed, Gelu)?;
        layer.norm(Delta, "post_ffw_norm", Normed)?;
        layer.add(Normed)?;
    }
    Ok(())
}
