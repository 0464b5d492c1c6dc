//! Every backend is listed once, can be forced by name where the CPU has it, and computes. The lines printed here are
//! what the list of backends that must have run is held against.

#![forbid(unsafe_code)]

use bantam_kernels::{Backend, BackendError, Format, KvFormat, Origin};

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

/// The kernel's own word: Linux names some features with an underscore more.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn the_features_of_this_cpu_are_those_of_proc_cpuinfo() {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = told.lines().find(|line| line.starts_with("flags")).unwrap().replace('_', "");
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let asked =
        ["avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512bf16"];
    assert!(Backend::cpu_features().eq(asked.into_iter().filter(|name| flags.contains(name))));
}

#[test]
fn an_unknown_name_is_an_error() {
    assert_eq!(Backend::by_name("abacus").map(Backend::name), Err(BackendError::Unknown));
}

#[test]
fn every_backend_tells_where_its_products_come_from() {
    for &format in Format::ALL {
        check(Backend::origins(format), |backend| backend.origin(format), format.name());
    }
}

#[test]
fn every_backend_tells_where_its_attention_comes_from() {
    for &format in KvFormat::ALL {
        check(Backend::kv_origins(format), |backend| backend.kv_origin(format), format.name());
    }
}

/// Checks the origins of one kernel; `own` is what a backend tells of itself.
fn check(origins: impl Iterator<Item = Origin>, own: impl Fn(Backend) -> &'static str, format: &str) {
    let origins: Vec<Origin> = origins.collect();
    assert!(origins.iter().map(|origin| origin.backend).eq(Backend::names()));
    for origin in origins {
        assert!(Backend::names().any(|name| name == origin.from));
        match Backend::by_name(origin.backend) {
            Ok(backend) => assert_eq!((origin.supported, origin.from), (true, own(backend))),
            Err(error) => assert_eq!((origin.supported, error), (false, BackendError::Unsupported)),
        }
        // Nothing of a tier falls to the slow reference in silence.
        assert_eq!(origin.from == "scalar", origin.backend == "scalar", "{format}");
    }
}
