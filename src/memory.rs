//! Floor 1. Memory that may be refused, where the standard library would end the process: boxes, and room for what it takes for threads.
#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::error::{Error, Result};

/// A box of one value; `what` says in an error what it is for.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn boxed<T>(value: T, what: &'static str) -> Result<Box<[T; 1]>> {
    let refused = Error::Memory { what, bytes: size_of::<T>() as u64 };
    // Vectors can be refused; one of a single value and no more room turns into a box without being moved.
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| refused)?;
    one.push(value);
    one.into_boxed_slice().try_into().map_err(|_| refused)
}

/// Asks for so many bytes and gives them back: what the standard library takes next without being able to be refused, for a thread
/// or an `Arc`, is refused here. It is no promise while other threads take memory too.
///
/// # Errors
/// [`Error::Memory`].
#[cfg(feature = "std")]
#[inline(never)]
pub(crate) fn room(bytes: usize, what: &'static str) -> Result<()> {
    let mut asked: Vec<u8> = Vec::new();
    asked.try_reserve_exact(bytes).map_err(|_| Error::Memory { what, bytes: bytes as u64 })?;
    // Seen by nobody, it would not be asked for.
    core::hint::black_box(&mut asked);
    Ok(())
}
