//! The C ABI of Bantam: `include/bantam.h` is made from this crate.
//!
//! Every function of the header is one function here, which turns pointers into slices, and calls the runtime; there is no
//! logic that Rust's users do not have. The rules that all of them follow are in `boundary` (what crosses: panics, errors,
//! callbacks), `handle` (who may use an object, and when) and `options` (structs that grow).
//!
//! | floor | files |
//! |---|---|
//! | 6 | `status`, `boundary`, `handle`, `options`, `clock`: the rules |
//! | 7 | `version`, `memory`, `bare`, `cancel`, `pool`, `model`, `metadata`, `text`, `sampler`: what stands alone |
//! | 8 | `session`, `reading`, `choosing`, `keeping`, `answer`, `lora`, `grammar`, `chat`: conversations; `embed` |
//!
//! Invariant: whatever a caller hands in, short of a pointer to memory that is not there, the process goes on.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(non_camel_case_types)]
// What makes a call sound is said once for all of them (`boundary::Caller`), and of each in its lines Ownership and Threads.
#![allow(clippy::missing_safety_doc)]

extern crate alloc;

// In the order of the header, which is made in this one.
mod status;

mod boundary;
mod clock;
mod handle;
mod options;

mod version;

#[cfg(feature = "allocator")]
mod memory;

#[cfg(all(not(feature = "std"), any(target_os = "none", target_arch = "wasm32")))]
mod bare;

mod cancel;

mod pool;

mod model;

mod source;

mod pages;

mod metadata;

mod text;

mod sampler;

mod session;

mod reading;

mod choosing;

mod keeping;

mod answer;

mod lora;

mod embed;

#[cfg(feature = "constrain")]
mod grammar;

#[cfg(feature = "chat")]
mod chat;

#[cfg(all(test, feature = "std"))]
mod tests;

pub use answer::*;
pub use boundary::BANTAM_NUL_TERMINATED;
pub use cancel::*;
#[cfg(feature = "chat")]
pub use chat::*;
pub use choosing::*;
pub use embed::*;
#[cfg(feature = "constrain")]
pub use grammar::*;
pub use keeping::*;
pub use lora::*;
#[cfg(feature = "allocator")]
pub use memory::*;
pub use metadata::*;
pub use model::*;
pub use pages::*;
pub use pool::*;
pub use reading::*;
pub use sampler::*;
pub use session::*;
pub use source::*;
pub use status::*;
pub use text::*;
pub use version::*;
