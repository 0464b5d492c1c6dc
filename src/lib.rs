//! Bantam runs 4-bit GGUF language models inside an app: weights are used where the file is mapped and never copied,
//! and nothing is allocated between two tokens.
//!
//! ```no_run
//! use bantam::{EncodeOptions, Model, Pool, Sampler, SamplerOptions, Session, SessionOptions};
//! use std::sync::Arc;
//!
//! let model = Model::open("models/SmolLM2-135M-Instruct.Q4_1.gguf")?;
//! let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &SessionOptions::default())?;
//!
//! let mut prompt = Vec::new();
//! model.tokenizer().encode("The capital of France is", EncodeOptions::default(), &mut prompt)?;
//! session.prefill(&prompt)?;
//!
//! let mut sampler = Sampler::new(SamplerOptions::default())?;
//! for _ in 0..16 {
//!     let token = session.sample(&mut sampler)?;
//!     if model.tokenizer().is_end_of_generation(token) {
//!         break;
//!     }
//!     print!("{}", String::from_utf8_lossy(model.tokenizer().piece(token)));
//!     session.decode(token)?;
//! }
//! # Ok::<(), bantam::Error>(())
//! ```
//!
//! The floors of the house, lowest first; a file uses only lower ones:
//!
//! | floor | files |
//! |---|---|
//! | 0 | the crate `bantam-kernels`: the arithmetic of every instruction set |
//! | 1 | `error`, `checksum`, `memory`, `mmap`, `format`, `gguf`, `stack` |
//! | 2 | `arena`, `cancel`, `pool`, `tokenizer`, `model`, `lora`, `kv` |
//! | 3 | `forward`, `sample`, `speculate` |
//! | 4 | `session`, `embed`, `chat`, `constrain` |
//! | 5 | `generate`, `speculate/model` |
//!
//! Words: `dim` is the width of the residual stream, `ffn` that of the feed-forward hidden layer, `kv` the cache of keys
//! and values, *prefill* the reading of a prompt, *decode* the reading of one token, *logits* the scores of every token
//! of the vocabulary as the next one.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod arena;
mod cancel;
#[cfg(feature = "chat")]
pub mod chat;
mod checksum;
#[cfg(feature = "constrain")]
pub mod constrain;
mod embed;
mod error;
pub mod format;
mod forward;
mod generate;
pub mod gguf;
#[cfg(any(feature = "chat", feature = "constrain"))]
mod json;
mod kv;
mod lora;
mod memory;
pub mod mmap;
mod model;
mod pool;
mod recurrent;
mod sample;
mod session;
mod speculate;
#[cfg(any(feature = "chat", feature = "constrain"))]
mod stack;
pub mod tokenizer;

pub use arena::Buffer;
pub use bantam_kernels::{Backend, Format, KvFormat, Origin};
pub use cancel::Cancel;
pub use embed::{EmbedOptions, Embedder, Input};
pub use error::{Error, Result, Text};
pub use generate::{Constrain, GenerateOptions, Generator, Overflow, Piece, StopReason};
pub use lora::Adapter;
pub use model::{HyperParameters, Model, ModelOptions, Pooling};
pub use pool::Pool;
#[cfg(feature = "std")]
pub use pool::{Cpus, Executor, Priority, Task};
pub use sample::{
    Choice, Confidence, ConfidenceSummary, DRY_BREAKERS, Sampler, SamplerOptions, Stage, TOP_LOGPROBS_MAX,
    TokenLogprob, TokenMask,
};
pub use session::{BATCH_DEFAULT, CONTEXT_DEFAULT, Drafts, Plan, Session, SessionOptions};
pub use speculate::{Costs, DRAFT_MAX, DraftModel, Drafter, Lookup};
pub use tokenizer::{EncodeOptions, TokenId, Tokenizer, Utf8Stream};
