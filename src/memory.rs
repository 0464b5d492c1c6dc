//! Floor 1. Boxes whose memory may be refused: `Box::new` would end the process.
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
