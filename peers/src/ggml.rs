//! ggml's own conversions between f32 and its block formats: the reference of the formats' golden files.
//!
//! Invariant: every buffer that crosses into C is sized here from ggml's own type table.

use anyhow::{Result, bail, ensure};
use llama_cpp_sys_2 as sys;

/// Facts of one tensor type, read from ggml's table.
pub(crate) struct Type {
    /// Number of the type in GGUF files.
    pub(crate) id: u32,
    /// Values of one block.
    pub(crate) block_values: usize,
    /// Bytes of one block.
    pub(crate) block_bytes: usize,
    to_float: sys::ggml_to_float_t,
}

impl Type {
    /// Reads the facts of the type numbered `id`.
    pub(crate) fn by_id(id: u32) -> Result<Self> {
        ensure!(id < sys::GGML_TYPE_COUNT, "ggml has no type {id}");
        // SAFETY: `id` is below GGML_TYPE_COUNT (checked above), so the pointer is to a static table row.
        let traits = unsafe { &*sys::ggml_get_type_traits(id) };
        ensure!(traits.blck_size > 0 && traits.type_size > 0, "ggml no longer has type {id}");
        Ok(Self {
            id,
            block_values: usize::try_from(traits.blck_size)?,
            block_bytes: traits.type_size,
            to_float: traits.to_float,
        })
    }

    /// Bytes of `values` values, which must fill whole blocks.
    pub(crate) fn row_bytes(&self, values: usize) -> Result<usize> {
        ensure!(values.is_multiple_of(self.block_values), "{values} values are no whole number of blocks");
        Ok(values / self.block_values * self.block_bytes)
    }

    /// Converts one row to blocks, as ggml's quantiser does without an importance matrix.
    pub(crate) fn quantize(&self, values: &[f32]) -> Result<Vec<u8>> {
        let mut blocks = vec![0u8; self.row_bytes(values.len())?];
        let count = i64::try_from(values.len())?;
        // SAFETY: the source holds `count` values and the target the bytes of as many (row_bytes above); these
        // types need no importance matrix, so null is allowed.
        let written = unsafe {
            sys::ggml_quantize_chunk(
                self.id,
                values.as_ptr(),
                blocks.as_mut_ptr().cast(),
                0,
                1,
                count,
                std::ptr::null(),
            )
        };
        ensure!(written == blocks.len(), "ggml wrote {written} of {} bytes", blocks.len());
        Ok(blocks)
    }

    /// Converts blocks to f32, as ggml's reference conversion does. F32 itself is copied: ggml has no conversion for it.
    pub(crate) fn dequantize(&self, blocks: &[u8]) -> Result<Vec<f32>> {
        ensure!(blocks.len().is_multiple_of(self.block_bytes), "{} bytes are no whole blocks", blocks.len());
        let count = blocks.len() / self.block_bytes * self.block_values;
        if self.id == sys::GGML_TYPE_F32 {
            let (words, _) = blocks.as_chunks::<4>();
            return Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect());
        }
        let Some(to_float) = self.to_float else { bail!("ggml cannot convert type {} to f32", self.id) };
        // The copy into u64s aligns the blocks, which ggml reads through their C types.
        let mut aligned = vec![0u64; blocks.len().div_ceil(8)];
        for (word, bytes) in aligned.iter_mut().zip(blocks.chunks(8)) {
            let mut padded = [0u8; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(padded);
        }
        let mut values = vec![0f32; count];
        // SAFETY: `aligned` holds the bytes of `count` values and `values` has room for them (both sized above).
        unsafe { to_float(aligned.as_ptr().cast(), values.as_mut_ptr(), i64::try_from(count)?) };
        Ok(values)
    }
}
