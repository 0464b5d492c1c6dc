//! The instruction sets of AArch64, one file each, and what they share.

#![allow(clippy::needless_range_loop, reason = "the loops over a tile index several arrays alike")]

pub mod dotprod;
mod insn;
mod narrow;
pub mod neon;
mod unpack;
