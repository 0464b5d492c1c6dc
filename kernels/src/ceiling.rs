//! What the machine can do at most: loops that only read memory, and loops that only multiply bytes. Benchmarks hold the
//! kernels against them; nothing else calls them.
//!
//! A product cannot be faster than its weights come from memory, nor than the instruction that multiplies them:
//! ```text
//! seconds >= max(bytes of the weights / bytes read per second, multiplications / multiplications per second)
//! ```
//! Both limits are those of one thread here; a benchmark runs as many threads as it compares with.

use core::hint::black_box;

/// Bytes that a reading loop takes at once.
pub const READ: usize = 4096;

/// The two loops of one instruction set.
#[derive(Clone, Copy)]
pub struct Ceiling {
    /// Reads all of `bytes`, a multiple of [`READ`], with the widest loads. The result depends on every byte.
    pub read: unsafe fn(bytes: &[u8]) -> u64,
    /// Multiplies signed bytes and adds the products up, as the backend's matrix products do, in registers alone.
    pub multiply: unsafe fn(rounds: usize),
    /// Products of one round of `multiply`.
    pub products: usize,
}

/// The loops that any CPU runs.
pub const SCALAR: Ceiling = Ceiling { read, multiply, products: PRODUCTS };

fn read(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |all, word| all ^ u64::from_le_bytes(*word))
}

/// Products of a round without vector instructions.
const PRODUCTS: usize = 64;

fn multiply(rounds: usize) {
    let (w, x) = ([3i8; PRODUCTS], [5i8; PRODUCTS]);
    for _ in 0..rounds {
        let (w, x) = (black_box(&w), black_box(&x));
        black_box(w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>());
    }
}
