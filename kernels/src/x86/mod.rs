//! The instruction sets of x86-64, one file each.

pub mod avx2;
