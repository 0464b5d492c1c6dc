//! Hostile files: whatever the bytes, opening them gives an error that says where, or a model that runs; never a panic,
//! and never an allocation that the file's size does not justify.
#![cfg(feature = "std")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/counting.rs"]
mod counting;

mod architectures;
mod fields;
mod files;
mod metadata;
mod named;

use std::sync::Arc;

use bantam::{Error, Format, Model, Pool, Sampler, SamplerOptions, Session};

use common::tiny::Tiny;
use common::{sized, tokens};
use counting::{Counting, during};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What opening a file may hold at once: so many bytes per byte of the file, since the least that a tensor takes in the
/// directory is 24 bytes, what is held of it 80, and a vector that grows holds three times its values while it moves.
const PEAK_PER_BYTE: usize = 12;
/// And so many whatever the size.
const PEAK_LEAST: usize = 1 << 10;

/// The model that is tampered with.
const TINY: Tiny =
    Tiny { format: Format::Q4_0, dim: 64, layers: 2, ffn: 96, heads: 4, kv_heads: 2, tied: true };

/// Bytes that are shared, not copied, and cut off at a length.
struct Part(Arc<[u8]>, usize);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

/// Opens the bytes, within the memory that they justify.
fn open(bytes: Part) -> Result<Model, Error> {
    let size = bytes.1;
    let (model, taken) = during(|| Model::from_bytes(bytes));
    let most = PEAK_LEAST + PEAK_PER_BYTE * size;
    assert!(
        taken.peak_bytes <= most,
        "{} bytes at once to open {size} bytes, {:?}",
        taken.peak_bytes,
        model.err()
    );
    model
}

/// Opens the bytes and, if they are a model, has it read, choose and read again.
fn open_and_run(bytes: Vec<u8>) -> Result<(), Error> {
    let size = bytes.len();
    let model = open(Part(bytes.into(), size))?;
    let mut session = Session::open(&model, Arc::new(Pool::new(1)?), &sized(32, 8))?;
    let tokens = tokens(&model, 10);
    session.prefill(&tokens)?;
    let mut sampler = Sampler::new(SamplerOptions::default())?;
    for _ in 0..2 {
        // Weights may be moved to where no numbers are.
        let token = match session.sample(&mut sampler) {
            Err(Error::Inconsistent(_)) => 0,
            token => token.unwrap(),
        };
        assert!((token as usize) < model.hyper().vocab_size);
        let _ = model.tokenizer().piece(token);
        session.decode(token)?;
    }
    let mut ids = Vec::new();
    let options = bantam::EncodeOptions { add_special: true, parse_special: true };
    model.tokenizer().encode("the <|im_end|> \u{1F414}\n\n", options, &mut ids)?;
    Ok(())
}

/// Says which case it was, if the test ends in it.
struct Case(String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while: {}", self.0);
        }
    }
}
