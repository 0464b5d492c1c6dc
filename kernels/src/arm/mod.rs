//! The instruction sets of AArch64, one file each, and what they share.

#![allow(clippy::needless_range_loop, reason = "the loops over a tile index several arrays alike")]

pub mod dotprod;
pub mod i8mm;
mod insn;
mod narrow;
pub mod neon;
mod panel;
mod product;
mod unpack;
