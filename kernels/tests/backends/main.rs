//! Every backend keeps the contract of each kernel, measured against exact sums in 64-bit floats, on sizes and values
//! that kernels go wrong at. Tests are named `property::backend`; each prints whether its backend ran.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod attention;
#[cfg(unix)]
mod bounds;
mod ceiling;
mod choice;
mod matmul;
mod recurrent;
mod vectors;
