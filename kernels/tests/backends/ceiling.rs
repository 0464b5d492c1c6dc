//! The loops that show the machine's limits read what they are given, and count what they do.

#![forbid(unsafe_code)]

use bantam_kernels::Backend;
use bantam_kernels::ceiling::READ;

use crate::common::{Placed, Random};

properties! {
    reading_depends_on_every_byte
    multiplying_counts_its_products
}

fn reading_depends_on_every_byte(backend: Backend) {
    let mut random = Random::new(1);
    let mut bytes = Placed::copy(&vec![0; 3 * READ], 0);
    let nothing = backend.read_ceiling(&bytes);
    for _ in 0..500 {
        let at = random.below(3 * READ);
        bytes[at] ^= 1 + random.below(255) as u8;
        assert_ne!(backend.read_ceiling(&bytes), nothing, "byte {at}");
        bytes[at] = 0;
    }
}

fn multiplying_counts_its_products(backend: Backend) {
    let one = backend.multiply_ceiling(1);
    assert!(one > 0);
    assert_eq!(backend.multiply_ceiling(1000), 1000 * one);
    assert_eq!(backend.multiply_ceiling(0), 0);
}
