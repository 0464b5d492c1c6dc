//! Floor 7. What the library is, and what the machine can do.

use core::ffi::c_char;

use bantam::Backend;

/// The version of the functions and structs of this header. Compare it with bantam_abi_version() when the library is loaded: before
/// version 1.0 of the library they have to be equal, from then on the library's must not be lower.
pub const BANTAM_ABI_VERSION: u32 = 1;

/// The version of the ABI that the library was built with.
///
/// Ownership: none. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_abi_version() -> u32 {
    BANTAM_ABI_VERSION
}

/// The version of the library, "0.1.0".
///
/// Ownership: the text is the library's and stays. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Chat templates can be rendered: see bantam_chat_new. A library without this has no function bantam_chat_...
pub const BANTAM_FEATURE_CHAT: u32 = 1;
/// Answers can be held to a grammar: see bantam_grammar_new. A library without this has no function bantam_grammar_..., and no bantam_chat_grammar.
pub const BANTAM_FEATURE_CONSTRAIN: u32 = 2;
/// There are files and threads: what needs them is BANTAM_UNSUPPORTED in a library without this.
pub const BANTAM_FEATURE_STD: u32 = 4;

/// What the library was built with: a sum of `BANTAM_FEATURE_...`.
///
/// Ownership: none. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_features() -> u32 {
    let has = |present: bool, feature: u32| if present { feature } else { 0 };
    has(cfg!(feature = "chat"), BANTAM_FEATURE_CHAT)
        + has(cfg!(feature = "constrain"), BANTAM_FEATURE_CONSTRAIN)
        + has(cfg!(feature = "std"), BANTAM_FEATURE_STD)
}

/// The name of the `i`-th backend that this CPU can run, the best first: "avx2". NULL behind the last.
///
/// Ownership: the text is the library's and stays. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_backend_name(i: usize) -> *const c_char {
    Backend::available().nth(i).map_or(core::ptr::null(), |backend| c_name(backend.name()))
}

/// The name of the `i`-th feature that this CPU has of those that some backend asks for: "avx2", "fma", "dotprod". NULL behind the last.
///
/// Ownership: the text is the library's and stays. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_cpu_feature(i: usize) -> *const c_char {
    Backend::cpu_features().nth(i).map_or(core::ptr::null(), c_name)
}

/// The name of a backend, or of what one asks a CPU for, as C has it.
pub(crate) fn c_name(name: &str) -> *const c_char {
    #[rustfmt::skip]
    const NAMES: [&core::ffi::CStr; 14] = [
        c"scalar", c"avx2", c"avxvnni", c"avx512", c"avx512bf16", c"neon", c"dotprod", c"i8mm",
        c"fma", c"f16c", c"avx512f", c"avx512bw", c"avx512vl", c"avx512vnni",
    ];
    let known = NAMES.iter().find(|known| known.to_bytes() == name.as_bytes());
    known.map_or(core::ptr::null(), |name| name.as_ptr())
}

/// The number of threads that suits this machine: that of its fast cores.
///
/// Ownership: none. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_threads_default() -> usize {
    #[cfg(feature = "std")]
    return bantam::Cpus::detect().threads();
    #[cfg(not(feature = "std"))]
    1
}
