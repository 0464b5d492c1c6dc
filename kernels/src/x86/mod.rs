//! The instruction sets of x86-64, one file each.

#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of registers")]

pub mod avx2;
pub mod avx512;
