//! Floor 0: the arithmetic of Bantam, and nothing else. No files, no heap, no threads, no state.
//!
//! A kernel is a plain function on slices, written once in [`scalar`] to be read and again in `x86/` and `arm/` to
//! be fast. A [`Backend`] is one instruction set's table of kernels; it can only be had for a CPU that has that
//! instruction set, so holding one is the proof that safe code may call it.
//!
//! Read in this order: [`blocks`] (what the bytes mean) and [`dequantize`] (the numbers they stand for), [`columns`] and
//! [`tile`] (what a kernel reads and writes), [`scalar`] (what each kernel computes), [`backend`] (how one is chosen).
//!
//! Words: a *row* is a row of a weight matrix, a *column* one token's activations, `k` the length of both; `dim` is the
//! length of an attention head, `kv` the cache of keys and values; a *tier* is the kernels of one instruction set.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

/// Features of a CPU by the compiler's names, for [`backend::Features`]. Whether one is there is asked of the operating
/// system with `std`, else it is what the compiler was told.
#[allow(unused_macros, reason = "architectures without backends of their own have nothing to ask for")]
macro_rules! features {
    ($($feature:tt),*) => {
        &[$(($feature, || {
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            { std::arch::is_x86_feature_detected!($feature) }
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            { std::arch::is_aarch64_feature_detected!($feature) }
            #[cfg(not(feature = "std"))]
            { cfg!(target_feature = $feature) }
        })),*]
    };
}

#[cfg(target_arch = "aarch64")]
pub mod arm;
pub mod attention;
pub mod backend;
pub mod blocks;
pub mod ceiling;
pub mod columns;
pub mod dequantize;
pub mod math;
pub mod recurrent;
pub mod scalar;
pub mod scan;
pub mod tile;
#[cfg(target_arch = "x86_64")]
pub mod x86;

pub use attention::KvFormat;
pub use backend::{Backend, BackendError, Origin};
pub use blocks::Format;
pub use columns::{Columns, ColumnsMut, ColumnsTileMut, Scales};
pub use half::f16;
pub use scan::{SCAN_BLOCK, SpreadMut};
pub use tile::{Rows, TileMut};
