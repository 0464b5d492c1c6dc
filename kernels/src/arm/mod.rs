//! The instruction sets of AArch64, one file each.

pub mod dotprod;
pub mod neon;
