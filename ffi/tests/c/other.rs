//! Another library of Rust in the same program: it has its own copy of the standard library, threads, panics that it catches.
use std::panic::{catch_unwind, set_hook};

/// Half of an even number, -1 of an odd one, which panics inside.
#[unsafe(no_mangle)]
pub extern "C" fn other_half(n: i32) -> i32 {
    set_hook(Box::new(|_| {}));
    let half =
        move || std::thread::spawn(move || if n % 2 == 0 { n / 2 } else { panic!("odd") }).join().unwrap();
    catch_unwind(half).unwrap_or(-1)
}
