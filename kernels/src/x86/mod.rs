//! The instruction sets of x86-64, one folder each, and what they share.
//!
//! How a product runs. Blocks of a strip of rows are unpacked into [`chunk::Chunk`]s, where a SIMD lane is a row, so that
//! a sum over `k` never crosses lanes ([`small`], [`large`]: one function per format, for registers of any width, whose
//! operations are a tier's [`lanes::Lanes`]). One micro-kernel of each tier multiplies chunks of any format with columns
//! ([`matmul::Dot`]): straight after unpacking for a few columns, else from a panel of rows in the thread's scratch,
//! unpacked once for all columns. For a few columns AVX2 leaves weights where they lie, and moves sums ([`avx2`],
//! `pairs`). Weights that are floats multiply likewise ([`floats`]).
//!
//! Attention is written once for all tiers likewise, on registers of floats ([`attention`], [`register::Floats`]).
//!
//! Invariant: of quantised formats the sums inside a block are integers, hence exact, and the scaled sums of the blocks
//! are added in order of `k` by the same operations. So every element of a product has the same bits for any number of
//! columns, any range of rows and every tier.

#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of registers")]

mod activations;
mod attention;
pub mod avx2;
#[cfg(feature = "avx512")]
pub mod avx512;
#[cfg(feature = "avx512")]
pub mod avx512bf16;
pub mod avxvnni;
mod chunk;
mod curves;
mod floats;
mod lanes;
mod large;
mod matmul;
mod register;
mod small;
mod vnni;
