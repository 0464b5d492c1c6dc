//! Floor 2. The architecture `llama`: Llama 1 to 3, Mistral, SmolLM and all that share their tensors.
//!
//! ```text
//! per layer:   stream += Wo . attend(rope(Wq . n), rope(Wk . n), Wv . n)           n = norm(stream)
//!              stream += Wdown . (silu(Wgate . n) * (Wup . n))                     n = norm(stream)
//! ```
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;

use super::hyper::{HyperParameters, Keys};
use super::program::{Buffer, Program, Projection, Step, Steps};
use super::rope::Rope;
use super::weights::Tensors;
use crate::error::{Error, Result, text};

/// Writes the program of a `llama` model.
pub(crate) fn describe(keys: Keys<'_>, hyper: &HyperParameters, tensors: &Tensors<'_>) -> Result<Program> {
    if let Some(experts) = keys.u32_if_any("expert_count")?.filter(|&experts| experts > 0) {
        return Err(Error::Unsupported(text!("a llama model with {experts} experts")));
    }
    let HyperParameters { dim, ffn, heads, kv_heads, head_dim, vocab_size, .. } = *hyper;
    let (q_width, kv_width) = (heads * head_dim, kv_heads * head_dim);
    let scale = 1.0 / math::sqrt(head_dim as f32);

    let mut steps = Steps::new();
    // Hidden values need floats where a projection reads floats.
    let mut hidden_width = 0;
    for layer in 0..hyper.layers {
        let norm = |name: &str| tensors.vector(text!("blk.{layer}.{name}.weight"), dim);
        let project = |name: &str, k: usize, rows: usize| {
            Ok::<_, Error>(Projection {
                weight: tensors.matrix(text!("blk.{layer}.{name}.weight"), k, rows)?,
                bias: tensors.vector_if_any(text!("blk.{layer}.{name}.bias"), rows)?,
            })
        };

        steps.push(Step::Norm { from: Buffer::Stream, gain: norm("attn_norm")?, to: Buffer::Normed })?;
        let query = (project("attn_q", dim, q_width)?, Buffer::Query);
        let key = (project("attn_k", dim, kv_width)?, Buffer::Key);
        let value = (project("attn_v", dim, kv_width)?, Buffer::Value);
        steps.linear(Buffer::Normed, [query, key, value])?;
        steps.push(Step::Rope { buffer: Buffer::Query })?;
        steps.push(Step::Rope { buffer: Buffer::Key })?;
        steps.push(Step::Store { layer })?;
        steps.push(Step::Attend { layer, scale })?;
        steps.linear(Buffer::Attended, [(project("attn_output", q_width, dim)?, Buffer::Delta)])?;
        steps.push(Step::Add { from: Buffer::Delta, to: Buffer::Stream })?;

        steps.push(Step::Norm { from: Buffer::Stream, gain: norm("ffn_norm")?, to: Buffer::Normed })?;
        let (gate, up) = (project("ffn_gate", dim, ffn)?, project("ffn_up", dim, ffn)?);
        let down = project("ffn_down", ffn, dim)?;
        let exact = !down.weight.format.wants_q8();
        hidden_width = if exact { ffn } else { hidden_width };
        steps.push(Step::Gated { from: Buffer::Normed, gate, up, exact })?;
        steps.linear(Buffer::Hidden, [(down, Buffer::Delta)])?;
        steps.push(Step::Add { from: Buffer::Delta, to: Buffer::Stream })?;
    }

    let embedding = tensors.matrix(text!("token_embd.weight"), dim, vocab_size)?;
    let output = tensors.matrix_if_any(text!("output.weight"), dim, vocab_size)?;
    let rope = Rope::read(keys, hyper, tensors, RopePairs::Adjacent)?;
    if rope.width != head_dim {
        return Err(Error::Unsupported(text!(
            "llama.rope.dimension_count is {}; a llama model turns whole heads of {head_dim}",
            rope.width
        )));
    }
    Ok(Program {
        rope,
        steps: steps.finish(),
        output_norm: tensors.vector(text!("output_norm.weight"), dim)?,
        // Without an output matrix of its own, the model scores tokens with the embedding.
        output: output.unwrap_or_else(|| embedding.clone()),
        embedding,
        widths: Buffer::ALL.map(|buffer| match buffer {
            Buffer::Stream | Buffer::Normed | Buffer::Delta => dim,
            Buffer::Query | Buffer::Attended => q_width,
            Buffer::Key | Buffer::Value => kv_width,
            Buffer::Hidden => hidden_width,
        }),
    })
}
