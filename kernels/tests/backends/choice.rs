//! Every backend is listed once, can be forced by name where the CPU has it, and computes. The lines printed here are
//! what the list of backends that must have run is held against.

#![forbid(unsafe_code)]

use bantam_kernels::{Backend, BackendError, Format};

#[test]
fn every_backend_of_this_cpu_runs_when_forced_by_name() {
    for name in Backend::names() {
        match Backend::by_name(name) {
            Ok(backend) => {
                // 19 values: whole vectors of every width, and a rest.
                let (mut x, y) = ([0.25; 19], [1.5; 19]);
                backend.add(&mut x, &y);
                assert_eq!(x, [1.75; 19], "{name}");
                assert_eq!(backend.name(), name);
                println!("backend {name}: ran");
            }
            Err(BackendError::Unsupported) => println!("skipped: this CPU has no {name}"),
            Err(BackendError::Unknown) => panic!("{name} is listed, and not known by its name"),
        }
    }
}

#[test]
fn the_detected_backend_is_the_first_that_is_available() {
    assert_eq!(Backend::available().next().map(Backend::name), Some(Backend::detect().name()));
}

#[test]
fn an_unknown_name_is_an_error() {
    assert_eq!(Backend::by_name("abacus").map(Backend::name), Err(BackendError::Unknown));
}

#[test]
fn every_backend_tells_where_its_products_come_from() {
    for &format in Format::ALL {
        assert!(Backend::origins(format).map(|origin| origin.backend).eq(Backend::names()));
        for origin in Backend::origins(format) {
            assert!(Backend::names().any(|name| name == origin.matmul));
            match Backend::by_name(origin.backend) {
                Ok(backend) => assert_eq!((origin.supported, origin.matmul), (true, backend.origin(format))),
                Err(error) => assert_eq!((origin.supported, error), (false, BackendError::Unsupported)),
            }
            // No format of a tier falls to the slow reference in silence.
            assert_eq!(origin.matmul == "scalar", origin.backend == "scalar", "{format:?}");
        }
    }
}
