//! Floor 6. What a call says: a number, and for whoever wants to know more, the caller's own [`bantam_error`].
//!
//! Invariant: a number keeps its meaning for ever; new ones are added at the end.

use core::ffi::c_char;

use bantam::{Error, Text};

/// What a call says of itself: 0 if it did what it was asked to, else one of the numbers below.
pub type bantam_status = i32;

/// Done.
pub const BANTAM_OK: bantam_status = 0;
/// The caller's cancel object was set, or a progress function did not return 0. No failure: what was done until then is kept, and every object stays usable.
pub const BANTAM_CANCELLED: bantam_status = 1;
/// A value makes no sense. Change the call.
pub const BANTAM_ARGUMENT: bantam_status = 2;
/// The system refused a file. Check the path and its permissions.
pub const BANTAM_IO: bantam_status = 3;
/// The path or descriptor is a directory, a pipe, a socket or a device, which cannot be mapped. Copy it to a file.
pub const BANTAM_NOT_A_FILE: bantam_status = 4;
/// The bytes are no GGUF file. Check that the path names a model.
pub const BANTAM_NOT_GGUF: bantam_status = 5;
/// The file is damaged; `detail` is the offset in bytes. Fetch it again.
pub const BANTAM_MALFORMED: bantam_status = 6;
/// The file is sound, but what is in it makes no model, or no adapter of this model: convert it again, or use another file. Or what it computes is no
/// number: fetch it again.
pub const BANTAM_INCONSISTENT: bantam_status = 7;
/// This version cannot run the model, or the library was built without this part. Use another file, or another build.
pub const BANTAM_UNSUPPORTED: bantam_status = 8;
/// The file grew shorter after it was opened. Open it again.
pub const BANTAM_CHANGED: bantam_status = 9;
/// Memory cannot be had; `detail` is how many bytes were asked for. Ask for a smaller context.
pub const BANTAM_MEMORY: bantam_status = 10;
/// The tokens do not fit into the context; `detail` is how many positions it would take. Shorten the prompt.
pub const BANTAM_CONTEXT_FULL: bantam_status = 11;
/// A saved session is damaged, or another model's. Read the prompt again.
pub const BANTAM_SAVED: bantam_status = 12;
/// A grammar or a JSON schema is wrong, or too large. Change it.
pub const BANTAM_GRAMMAR: bantam_status = 13;
/// A chat template cannot be parsed or rendered, or there is none. Use another, or plain text.
pub const BANTAM_TEMPLATE: bantam_status = 14;
/// A handle is NULL, of another kind, or freed already. Change the call.
pub const BANTAM_HANDLE: bantam_status = 15;
/// Another call uses the handle, or this one comes from inside a callback. Call again when that one has returned.
pub const BANTAM_BUSY: bantam_status = 16;
/// A bug in the library was caught. The handle is good for nothing but to be freed; please report it.
pub const BANTAM_PANIC: bantam_status = 17;
/// The caller's buffer is too short; `detail` is the room it takes. Call again with so much.
pub const BANTAM_TOO_SMALL: bantam_status = 18;
/// A struct has a size that cannot be, or fields that this version does not know. Compare header and library.
pub const BANTAM_STRUCT: bantam_status = 19;
/// There is nothing to do this with: no logits, no answer in progress. Do what comes before it first.
pub const BANTAM_STATE: bantam_status = 20;

/// The names of all statuses, by number.
const NAMES: [&core::ffi::CStr; 21] = [
    c"BANTAM_OK",
    c"BANTAM_CANCELLED",
    c"BANTAM_ARGUMENT",
    c"BANTAM_IO",
    c"BANTAM_NOT_A_FILE",
    c"BANTAM_NOT_GGUF",
    c"BANTAM_MALFORMED",
    c"BANTAM_INCONSISTENT",
    c"BANTAM_UNSUPPORTED",
    c"BANTAM_CHANGED",
    c"BANTAM_MEMORY",
    c"BANTAM_CONTEXT_FULL",
    c"BANTAM_SAVED",
    c"BANTAM_GRAMMAR",
    c"BANTAM_TEMPLATE",
    c"BANTAM_HANDLE",
    c"BANTAM_BUSY",
    c"BANTAM_PANIC",
    c"BANTAM_TOO_SMALL",
    c"BANTAM_STRUCT",
    c"BANTAM_STATE",
];

/// The name of a status, `BANTAM_CONTEXT_FULL`; `BANTAM_?` for a number that is none. It is never NULL.
///
/// Ownership: the text is the library's and stays. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_status_name(status: bantam_status) -> *const c_char {
    let name = usize::try_from(status).ok().and_then(|status| NAMES.get(status));
    name.unwrap_or(&c"BANTAM_?").as_ptr()
}

/// Bytes of a message, the 0 at its end included.
pub const BANTAM_MESSAGE_BYTES: usize = 240;

/// What went wrong, in words. It is the caller's: put one on the stack, and hand its address to any call, or NULL.
///
/// It is written by calls that fail, and left alone by those that succeed.
#[repr(C)]
pub struct bantam_error {
    /// What the call returned.
    pub status: bantam_status,
    /// 0.
    pub reserved: i32,
    /// A number that belongs to the status, such as an offset or a count of bytes; 0 if there is none.
    pub detail: i64,
    /// What was wrong, where, and what to do: UTF-8 that ends with a 0, and never holds text of a prompt or an answer.
    pub message: [c_char; BANTAM_MESSAGE_BYTES],
}

/// Why a call failed.
pub(crate) struct Failure {
    pub(crate) status: bantam_status,
    pub(crate) detail: i64,
    pub(crate) message: Text,
}

/// What the body of a call returns.
pub(crate) type Result<T> = core::result::Result<T, Failure>;

/// `fail!(BANTAM_ARGUMENT, "no {name}")`: the failure of that status with a message.
macro_rules! fail {
    ($status:expr, $($arguments:tt)*) => {
        $crate::status::Failure::new($status, format_args!($($arguments)*))
    };
}
pub(crate) use fail;

impl Failure {
    /// The failure of that status with a message: see [`fail`].
    #[cold]
    #[inline(never)]
    pub(crate) fn new(status: bantam_status, message: core::fmt::Arguments<'_>) -> Failure {
        Failure { status, detail: 0, message: Text::format(message) }
    }

    /// The same with a number.
    #[cold]
    #[inline(never)]
    pub(crate) fn with_detail(mut self, detail: usize) -> Failure {
        self.detail = i64::try_from(detail).unwrap_or(i64::MAX);
        self
    }

    /// Writes it where the caller wants it.
    pub(crate) fn write(&self, error: &mut bantam_error) {
        let mut message = [0; BANTAM_MESSAGE_BYTES];
        // A text is shorter than a message, so that a 0 is left at the end.
        for (to, byte) in message[..BANTAM_MESSAGE_BYTES - 1].iter_mut().zip(self.message.as_str().bytes()) {
            *to = byte as c_char;
        }
        *error = bantam_error { status: self.status, reserved: 0, detail: self.detail, message };
    }
}

impl From<Error> for Failure {
    #[cold]
    #[inline(never)]
    fn from(error: Error) -> Failure {
        let (status, detail) = match error {
            Error::Io(_) => (BANTAM_IO, 0),
            Error::NotAFile(_) => (BANTAM_NOT_A_FILE, 0),
            Error::NotGguf(_) => (BANTAM_NOT_GGUF, 0),
            Error::Malformed { offset, .. } => (BANTAM_MALFORMED, offset),
            Error::Inconsistent(_) => (BANTAM_INCONSISTENT, 0),
            Error::Changed(_) => (BANTAM_CHANGED, 0),
            Error::Memory { bytes, .. } => (BANTAM_MEMORY, bytes),
            Error::Argument(_) => (BANTAM_ARGUMENT, 0),
            Error::ContextFull { needed, .. } => (BANTAM_CONTEXT_FULL, needed as u64),
            Error::Cancelled => (BANTAM_CANCELLED, 0),
            Error::Saved(_) => (BANTAM_SAVED, 0),
            Error::Grammar(_) => (BANTAM_GRAMMAR, 0),
            Error::Template(_) => (BANTAM_TEMPLATE, 0),
            _ => (BANTAM_UNSUPPORTED, 0),
        };
        let detail = i64::try_from(detail).unwrap_or(i64::MAX);
        Failure { status, detail, message: Text::format(format_args!("{error}")) }
    }
}
