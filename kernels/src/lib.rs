//! Floor 0.
#![no_std]

#[cfg(feature = "std")]
extern crate std;
