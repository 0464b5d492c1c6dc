//! The instruction sets of AArch64, one folder each, and what they share.
//!
//! How a product of quantised weights runs. All that a kernel knows of a format is [`unpack::Unpack`]: the weights of a
//! row as bytes, and the factors of four rows, a lane per row. A few columns are multiplied straight with what was
//! unpacked ([`narrow`]): a register holds weights of one row, and its lanes are added up last. One column of the
//! blocks of 32, what decoding does most, has its instructions chosen by hand (`dotprod/one.rs`). For more columns some
//! rows are unpacked into panels in the thread's scratch, in the order that a tier's instruction wants
//! ([`panel::Engine`]), and multiplied with four columns at a time ([`panel`]). [`product`] says which way a product
//! goes. Weights that are floats multiply likewise on all tiers, and so does attention (`neon/floats.rs`,
//! `neon/attention/`).
//!
//! Single instructions that stable Rust lacks are in [`insn`], runs of instructions whose order and registers decide the speed in
//! [`runs`], and what else the compiler is told in [`hint`].
//!
//! Words: a *quad* is four rows, a *group* 32 weights of a row, and a *part* what has a scale of its own: a group, or
//! each half of it.

#![allow(clippy::needless_range_loop, reason = "the loops over a tile index several arrays alike")]

pub mod dotprod;
mod hint;
pub mod i8mm;
mod insn;
mod narrow;
pub mod neon;
mod panel;
mod product;
mod runs;
mod unpack;
