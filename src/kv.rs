//! Floor 2. The cache of keys and values of past tokens, as halves.
//!
//! ```text
//! keys:   layer | key head | position | head_dim values
//! values: the same
//! ```
//! So one head's keys lie in order of position, which is how attention reads them.
#![forbid(unsafe_code)]

use bantam_kernels::{Backend, f16};

use crate::arena::{Arena, Slab};
use crate::error::Result;

/// Shape of a cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Positions.
    pub(crate) context: usize,
}

pub(crate) struct KvCache {
    shape: KvShape,
    keys: Slab<f16>,
    values: Slab<f16>,
}

impl KvCache {
    pub(crate) fn carve(shape: KvShape, arena: &mut Arena) -> Result<KvCache> {
        // A product that overflows asks for more than there can be, which the arena refuses.
        let len = [shape.layers, shape.kv_heads, shape.head_dim, shape.context]
            .iter()
            .try_fold(1usize, |len, &n| len.checked_mul(n))
            .unwrap_or(usize::MAX);
        Ok(KvCache { shape, keys: arena.slab(len)?, values: arena.slab(len)? })
    }

    /// Writes the keys and values of consecutive positions from `position` on: columns of `kv_heads * head_dim`.
    pub(crate) fn store(
        &mut self,
        backend: Backend,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let KvShape { kv_heads, head_dim, .. } = self.shape;
        let heads = keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim));
        for (i, (key, value)) in heads.enumerate() {
            let start = self.start(layer, i % kv_heads, position + i / kv_heads);
            backend.to_f16(key, &mut self.keys[start..start + head_dim]);
            backend.to_f16(value, &mut self.values[start..start + head_dim]);
        }
    }

    /// The keys and values of one head at positions `from..to`.
    pub(crate) fn head(&self, layer: usize, head: usize, from: usize, to: usize) -> (&[f16], &[f16]) {
        let range = self.start(layer, head, from)..self.start(layer, head, to);
        (&self.keys[range.clone()], &self.values[range])
    }

    fn start(&self, layer: usize, head: usize, position: usize) -> usize {
        let KvShape { kv_heads, head_dim, context, .. } = self.shape;
        ((layer * kv_heads + head) * context + position) * head_dim
    }
}
