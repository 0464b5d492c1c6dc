//! What only shows from inside: panics that are caught, handles that they poison, and names that must not be forgotten.

use core::ffi::CStr;
use core::ptr::null_mut;

use bantam::Backend;

use crate::boundary::{call, call_back};
use crate::cancel::{bantam_cancel, bantam_cancel_free, bantam_cancel_is_set, bantam_cancel_new};
use crate::handle::{Noun, create};
use crate::status::*;
use crate::version::c_name;

struct Counter(());

impl Noun for Counter {
    const MAGIC: u32 = 1;
    const NAME: &'static str = "the counter";
    type Inside = u32;
}

fn message(error: &bantam_error) -> &str {
    // SAFETY: a message ends with a 0.
    unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap()
}

fn error() -> bantam_error {
    bantam_error { status: -1, reserved: 0, detail: 0, message: [0; BANTAM_MESSAGE_BYTES] }
}

#[test]
fn a_panic_becomes_a_status_and_poisons_the_handle() {
    let counter: *mut Counter = create(0).unwrap_or_else(|_| panic!("memory"));
    let mut e = error();
    let add = |panics: bool, e: &mut bantam_error| {
        // SAFETY: the pointers are this test's own.
        unsafe {
            call(e, |caller| {
                caller.exclusive(counter, |n| {
                    *n += 1;
                    assert!(!panics, "with the text of a prompt");
                    Ok(())
                })
            })
        }
    };
    assert_eq!(add(false, &mut e), BANTAM_OK);
    assert_eq!(e.status, -1, "a call that succeeds leaves the error alone");
    assert_eq!(add(true, &mut e), BANTAM_PANIC);
    assert!(e.status == BANTAM_PANIC && !message(&e).contains("prompt"));
    // From then on it can only be freed.
    assert_eq!(add(false, &mut e), BANTAM_PANIC);
    assert!(message(&e).contains("the counter is no longer usable"), "{}", message(&e));
    // SAFETY: as above.
    assert_eq!(unsafe { call(&mut e, |caller| caller.free(counter)) }, BANTAM_OK);
}

#[test]
fn a_call_within_a_call_finds_the_handle_in_use() {
    let counter: *mut Counter = create(0).unwrap_or_else(|_| panic!("memory"));
    // SAFETY: the pointers are this test's own.
    unsafe {
        let outer = call(null_mut(), |caller| {
            caller.exclusive(counter, |_| {
                assert_eq!(call(null_mut(), |caller| caller.exclusive(counter, |_| Ok(()))), BANTAM_BUSY);
                assert_eq!(call(null_mut(), |caller| caller.free(counter)), BANTAM_BUSY);
                Ok(())
            })
        });
        assert_eq!(outer, BANTAM_OK);
        assert_eq!(call(null_mut(), |caller| caller.free(counter)), BANTAM_OK);
    }
}

#[test]
fn inside_of_a_callback_only_cancel_works() {
    let mut cancel: *mut bantam_cancel = null_mut();
    // SAFETY: the pointers are this test's own.
    unsafe {
        assert_eq!(bantam_cancel_new(&mut cancel, null_mut()), BANTAM_OK);
        call_back(|| {
            let mut other = null_mut();
            assert_eq!(bantam_cancel_new(&mut other, null_mut()), BANTAM_BUSY);
            assert_eq!(bantam_cancel_free(cancel), BANTAM_BUSY);
            assert_eq!(crate::cancel::bantam_cancel_set(cancel), BANTAM_OK);
            // A callback in a callback leaves the outer one running.
            call_back(|| ());
            assert_eq!(bantam_cancel_free(cancel), BANTAM_BUSY);
        });
        assert_eq!(bantam_cancel_is_set(cancel), 1);
        assert_eq!(bantam_cancel_free(cancel), BANTAM_OK);
    }
}

#[test]
fn a_panic_on_another_thread_of_the_host_is_still_told() {
    // The hook that was there before is asked for panics that are not the library's.
    use std::sync::atomic::{AtomicUsize, Ordering};
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    // SAFETY: no pointer is followed.
    unsafe { call(null_mut(), |_| Ok(())) };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        TOLD.fetch_add(1, Ordering::Relaxed);
        if std::thread::current().name() != Some("host") {
            before(info);
        }
    }));
    let host = std::thread::Builder::new().name("host".into());
    assert!(host.spawn(|| panic!("the host's own")).unwrap().join().is_err());
    assert!(TOLD.load(Ordering::Relaxed) >= 1);
}

#[test]
fn every_backend_and_feature_has_a_name_in_c() {
    for name in Backend::names().chain(Backend::cpu_features()) {
        assert!(!c_name(name).is_null(), "{name} is missing in version.rs");
    }
}

#[test]
fn every_status_has_its_name() {
    let source = include_str!("status.rs");
    let mut count = 0;
    for line in source.lines().filter_map(|line| line.strip_prefix("pub const BANTAM_")) {
        let Some((name, value)) = line.split_once(": bantam_status = ") else { continue };
        let value: i32 = value.trim_end_matches(';').parse().unwrap();
        // SAFETY: the name ends with a 0.
        let found = unsafe { CStr::from_ptr(bantam_status_name(value)) };
        assert_eq!(found.to_str().unwrap(), format!("BANTAM_{name}"));
        assert_eq!(value, count, "numbers are given in their order");
        count += 1;
    }
    assert!(count > 20);
}

#[test]
fn errors_of_the_runtime_keep_their_numbers() {
    let damaged =
        Failure::from(bantam::Error::Malformed { offset: 77, what: bantam::Text::format(format_args!("x")) });
    assert_eq!((damaged.status, damaged.detail), (BANTAM_MALFORMED, 77));
    let full = Failure::from(bantam::Error::ContextFull { needed: 5, context: 4 });
    assert_eq!((full.status, full.detail), (BANTAM_CONTEXT_FULL, 5));
    assert_eq!(Failure::from(bantam::Error::Cancelled).status, BANTAM_CANCELLED);
    // The longest message is cut at a character, and ends with a 0.
    let mut e = error();
    fail!(BANTAM_ARGUMENT, "{}", "é".repeat(500)).write(&mut e);
    assert!(message(&e).ends_with("é..."));
}
