//! Floor 3. What each layer gets of a token beside the stream: made once for all layers, and let in by each.
#![forbid(unsafe_code)]

use super::Forward;
use crate::model::program::Buffer;
use crate::model::weights::Matrix;
use crate::tokenizer::TokenId;

impl Forward<'_> {
    /// `Inputs = (norm(Inputs * projected) * gain + row of the token * embedded) / sqrt(2)`, each layer's part normed by itself.
    pub(super) fn inputs(
        &mut self,
        tokens: &[TokenId],
        embedding: &Matrix,
        gain: &[f32],
        layers: usize,
        [projected, embedded]: [f32; 2],
    ) {
        let (backend, file, eps) = (self.backend, self.file, self.model.hyper().norm_eps);
        let (range, len) = (self.scratch.range(Buffer::Inputs, tokens.len()), gain.len());
        let width = len * layers;
        let scratch = &mut *self.scratch;
        let own = &mut scratch.threads.floats;
        self.pool.parts((&mut scratch.buffers[range], width), own, None, &|c, inputs, own| {
            let (row, rest) = own.split_at_mut(width);
            let token = tokens[c] as usize;
            backend.dequantize(embedding.format, embedding.rows(file, token, token + 1), row);
            for (input, row) in inputs.chunks_exact_mut(len).zip(row.chunks_exact(len)) {
                let from = &mut rest[..len];
                from.copy_from_slice(input);
                backend.scale(from, projected);
                backend.rms_norm(from, gain, eps, input);
                backend.add_scaled(input, row, embedded);
                backend.scale(input, core::f32::consts::FRAC_1_SQRT_2);
            }
        });
    }

    /// `Inlet = gelu(Inlet) * Inputs[layer]`
    pub(super) fn inlet(&mut self, n: usize, layer: usize, len: usize) {
        let (backend, width) = (self.backend, self.scratch.width(Buffer::Inputs));
        let (inputs, inlet) = self.scratch.pair(Buffer::Inputs, Buffer::Inlet, n);
        self.pool.columns(inlet, len, &|c, inlet| {
            backend.gelu_mul(inlet, &inputs[c * width + layer * len..][..len]);
        });
    }
}
