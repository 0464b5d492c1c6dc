//! Floor 2. LFM2: short convolutions between layers that attend, all with a gated feed-forward layer behind them. A layer
//! attends where the file gives it key heads. Of `lfm2moe`, all layers but the first few have experts instead.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::{Error, Result, text};
use crate::model::description::{Description, Routing};
use crate::model::program::Activation::Silu;
use crate::model::program::Attention;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.output_norm = "token_embd_norm";
    let rope = model.rope(RopePairs::Halves)?;
    let length = model.keys.count("shortconv.l_cache")?;
    let window = model.keys.count_unless_zero("attention.sliding_window")?;
    let attention = Attention { window, ..model.attention() };
    let (routing, dense) = routing(model)?;
    for index in 0..model.hyper.layers {
        let attends = model.keys.has_keys(index);
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        if attends {
            layer.project_heads(Normed)?;
            layer.norm_heads()?;
            layer.rope(rope)?;
            layer.attend(attention)?;
        } else {
            layer.short_convolution(Normed, length)?;
        }
        layer.add(Delta)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        match routing.filter(|_| index >= dense) {
            Some(routing) => layer.experts(Normed, routing, Silu)?,
            None => layer.feed_forward(Normed, Silu)?,
        }
        layer.add(Delta)?;
    }
    Ok(())
}

/// How experts are chosen, if there are any, and how many layers at the start have none.
fn routing(model: &Description<'_>) -> Result<(Option<Routing>, usize)> {
    let Some(routing) = model.routing()? else { return Ok((None, 0)) };
    let sigmoid = match model.keys.count("expert_gating_func")? {
        1 => false,
        2 => true,
        other => {
            return Err(Error::Unsupported(text!("experts chosen by function {other}; 1 and 2 can be")));
        }
    };
    let ffn = model.keys.count("expert_feed_forward_length")?;
    let dense = model.keys.u32_if_any("leading_dense_block_count")?.unwrap_or(0);
    Ok((Some(Routing { ffn, sigmoid, ..routing }), dense as usize))
}
