//! Bantam runs 4-bit GGUF language models inside an app.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod error;
pub mod format;
pub mod gguf;
pub mod mmap;

pub use error::{Error, Result, Text};
