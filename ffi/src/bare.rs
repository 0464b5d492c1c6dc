//! Floor 7. Machines without an operating system, and WebAssembly: where a panic goes.

use core::ffi::c_char;
use core::panic::PanicInfo;

unsafe extern "C" {
    /// A function of the program's, which a library without an operating system (no BANTAM_FEATURE_STD) calls when it has found a bug of its own, as
    /// there is nothing to go on with. Programs with any other library need none. `message` says where in the library that was, without a 0 at its end. It
    /// must not return.
    ///
    /// Ownership: the message is the library's. Threads: that which called the library. Errors: none.
    fn bantam_host_panic(message: *const c_char, bytes: usize) -> !;
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let at = info.location().map_or(bantam::Text::format(format_args!("a bug in the library")), |at| {
        bantam::Text::format(format_args!("a bug in the library, at {}:{}", at.file(), at.line()))
    });
    // SAFETY: the program has this function, or it could not have been linked.
    unsafe { bantam_host_panic(at.as_str().as_ptr().cast(), at.as_str().len()) }
}
