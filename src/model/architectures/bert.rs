//! Floor 2. The architecture `bert`: BERT, MiniLM, BGE, E5 and, with another tokenizer, XLM-RoBERTa. An encoder: every token sees the
//! whole text, and what comes out is a vector for each.
//!
//! ```text
//! start:       x = norm(embedding[token] + positions[position] + types[type])
//! per layer:   x = norm(x + Wo . attend(Wq . x, Wk . x, Wv . x))
//!              x = norm(x + Wdown . gelu(Wup . x))
//! ```
#![forbid(unsafe_code)]

use crate::error::Result;
use crate::model::description::Description;
use crate::model::program::Activation::Gelu;
use crate::model::program::Buffer::Normed;

pub(crate) fn describe(model: &mut Description<'_>) -> Result<()> {
    model.is_encoder = true;
    model.refuse_experts()?;
    let attention = model.attention();
    model.place(true)?;
    for index in 0..model.hyper.layers {
        let mut layer = model.layer(index);
        layer.project_heads(Normed)?;
        layer.attend(attention)?;
        layer.add_and_norm("attn_output_norm")?;
        layer.plain_feed_forward(Normed, Gelu)?;
        layer.add_and_norm("layer_output_norm")?;
    }
    Ok(())
}
