//! Floor 2. The cache of keys and values of past tokens.
//!
//! ```text
//! keys:   layer | key head | position | head_dim values, in blocks of the cache's format
//! values: the same
//! ```
//! So one head's keys lie in order of position, which is how attention reads them.
#![forbid(unsafe_code)]

use bantam_kernels::{Backend, KvFormat};

use crate::arena::{Arena, Slab};
use crate::error::{Error, Result, text};

/// Shape of a cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Positions.
    pub(crate) context: usize,
    pub(crate) format: KvFormat,
}

impl KvShape {
    /// Bytes of one head's keys at one position. A product that overflows asks for more than there can be, which the
    /// arena refuses.
    fn row_bytes(&self) -> usize {
        self.format.row_bytes(self.head_dim).unwrap_or(usize::MAX)
    }

    /// An error if heads cannot be kept so.
    pub(crate) fn check(&self) -> Result<()> {
        let (name, block) = (self.format.name(), self.format.format().block_len());
        if self.head_dim.is_multiple_of(block) {
            return Ok(());
        }
        Err(Error::Argument(text!(
            "a {name} cache keeps heads in blocks of {block} values, and this model's heads have {}; use an f16 cache",
            self.head_dim
        )))
    }
}

pub(crate) struct KvCache {
    shape: KvShape,
    row_bytes: usize,
    keys: Slab<u8>,
    values: Slab<u8>,
}

impl KvCache {
    pub(crate) fn carve(shape: KvShape, arena: &mut Arena) -> Result<KvCache> {
        let row_bytes = shape.row_bytes();
        let len = [shape.layers, shape.kv_heads, shape.context, row_bytes]
            .iter()
            .try_fold(1usize, |len, &n| len.checked_mul(n))
            .unwrap_or(usize::MAX);
        Ok(KvCache { shape, row_bytes, keys: arena.slab(len)?, values: arena.slab(len)? })
    }

    /// Writes the keys and values of a position: `kv_heads` heads of `head_dim`.
    pub(crate) fn store(
        &mut self,
        backend: Backend,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let KvShape { head_dim, format, .. } = self.shape;
        let heads = keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim));
        for (head, (key, value)) in heads.enumerate() {
            let start = self.start(layer, head, position);
            backend.store_kv(format, key, &mut self.keys[start..start + self.row_bytes]);
            backend.store_kv(format, value, &mut self.values[start..start + self.row_bytes]);
        }
    }

    pub(crate) fn format(&self) -> KvFormat {
        self.shape.format
    }

    /// Gives the memory of all keys and values back to the system; how many bytes.
    #[cfg(feature = "std")]
    pub(crate) fn release(&mut self) -> usize {
        self.keys.release() + self.values.release()
    }

    /// Bytes of `positions` positions.
    pub(crate) fn bytes(&self, positions: usize) -> usize {
        let KvShape { layers, kv_heads, .. } = self.shape;
        2 * layers * kv_heads * positions * self.row_bytes
    }

    /// The first `positions` of every head: the keys of all layers, then the values.
    pub(crate) fn heads(&self, positions: usize) -> impl Iterator<Item = &[u8]> {
        let (head, held) = (self.shape.context * self.row_bytes, positions * self.row_bytes);
        self.keys.chunks_exact(head).chain(self.values.chunks_exact(head)).map(move |rows| &rows[..held])
    }

    /// As [`KvCache::heads`], to write.
    pub(crate) fn heads_mut(&mut self, positions: usize) -> impl Iterator<Item = &mut [u8]> {
        let (head, held) = (self.shape.context * self.row_bytes, positions * self.row_bytes);
        let keys = self.keys.chunks_exact_mut(head);
        keys.chain(self.values.chunks_exact_mut(head)).map(move |rows| &mut rows[..held])
    }

    /// All keys and all values, and how many bytes of each one head has: the heads of a layer follow each other, the layers
    /// do as well.
    pub(crate) fn parts_mut(&mut self) -> (&mut [u8], &mut [u8], usize) {
        (&mut self.keys, &mut self.values, self.shape.context * self.row_bytes)
    }

    /// The cache's shape.
    pub(crate) fn shape(&self) -> KvShape {
        self.shape
    }

    /// The keys and values of one head at positions `from..to`.
    pub(crate) fn head(&self, layer: usize, head: usize, from: usize, to: usize) -> (&[u8], &[u8]) {
        let range = self.start(layer, head, from)..self.start(layer, head, to);
        (&self.keys[range.clone()], &self.values[range])
    }

    fn start(&self, layer: usize, head: usize, position: usize) -> usize {
        let KvShape { kv_heads, context, .. } = self.shape;
        ((layer * kv_heads + head) * context + position) * self.row_bytes
    }
}
