//! Floor 2. The architecture `llama`: Llama 1 to 3, Mistral, SmolLM and all that share their tensors.
//!
//! ```text
//! per layer:   stream += Wo . attend(rope(Wq . n), rope(Wk . n), Wv . n)           n = norm(stream)
//!              stream += Wdown . (silu(Wgate . n) * (Wup . n))                     n = norm(stream)
//! ```
//! Mixtral has several of the latter in each layer, of which a token chooses a few.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Silu;
use crate::model::program::Buffer::{Delta, Normed, Stream};

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    let routing = model.routing()?;
    let (rope, attention) = (model.rope(RopePairs::Adjacent)?, model.attention());
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.norm(Stream, "attn_norm", Normed)?;
        layer.project_heads(Normed)?;
        layer.rope(rope)?;
        layer.attend(attention)?;
        layer.add(Delta)?;

        layer.norm(Stream, "ffn_norm", Normed)?;
        match routing {
            Some(routing) => layer.experts(Normed, routing, Silu)?,
            None => layer.feed_forward(Normed, Silu)?,
        }
        layer.add(Delta)?;
    }
    Ok(())
}
