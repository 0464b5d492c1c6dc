//! Floor 6. Structs that grow: the first field is the size that the caller's compiler gave them.
//!
//! Invariant: fields that the caller does not have are 0, which means the default; fields that this version does not have must
//! be 0 in what the caller hands in, and are left alone in what it wants filled.

use core::mem::MaybeUninit;

use crate::boundary::Caller;
use crate::status::{BANTAM_ARGUMENT, BANTAM_STRUCT, Result, fail};

/// A struct of the header that begins with `struct_size`.
///
/// # Safety
/// It is `repr(C)` with a `usize` first, any bytes are a value, and it needs no drop.
pub(crate) unsafe trait Struct: Copy {
    /// Its name in the header.
    const NAME: &'static str;
    /// Where the fields of its first version end.
    const SIZE_MIN: usize = size_of::<usize>();
}

/// The largest size that is believed of a struct.
const SIZE_MAX: usize = 1 << 16;

impl Caller {
    /// The caller's struct with all fields of this version; zeros, which mean defaults, for NULL.
    pub(crate) fn options<T: Struct>(self, pointer: *const T) -> Result<T> {
        // SAFETY: all zeros are a value, as any bytes are (Struct).
        let mut value: T = unsafe { MaybeUninit::zeroed().assume_init() };
        if pointer.is_null() {
            return Ok(value);
        }
        let size = self.struct_size(pointer)?;
        let known = size.min(size_of::<T>());
        // SAFETY: the caller's promise: there are as many bytes as it says. The struct has at least those that are copied.
        unsafe {
            core::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), known);
        }
        let tail = self.slice(pointer.cast::<u8>().wrapping_add(known), size - known, T::NAME)?;
        if let Some(at) = tail.iter().position(|&byte| byte != 0) {
            let (name, at, ours) = (T::NAME, known + at, size_of::<T>());
            return Err(fail!(
                BANTAM_STRUCT,
                "{name} sets a field at byte {at} that this version, whose {name} has {ours} bytes, does not know"
            )
            .with_detail(at));
        }
        Ok(value)
    }

    /// Fills the caller's struct with as many fields as it has.
    pub(crate) fn fill<T: Struct>(self, pointer: *mut T, value: &T) -> Result<()> {
        let size = self.struct_size(pointer)?.min(size_of::<T>());
        let skipped = size_of::<usize>();
        // SAFETY: the caller's promise: there are as many bytes as it says, and nobody else uses them. The size itself, which
        // comes first, stays.
        unsafe {
            let from = (&raw const *value).cast::<u8>().add(skipped);
            core::ptr::copy_nonoverlapping(from, pointer.cast::<u8>().add(skipped), size - skipped);
        }
        Ok(())
    }

    /// An error unless the caller's struct could be filled.
    pub(crate) fn check_struct<T: Struct>(self, pointer: *mut T) -> Result<()> {
        self.struct_size(pointer).map(|_| ())
    }

    fn struct_size<T: Struct>(self, pointer: *const T) -> Result<usize> {
        let name = T::NAME;
        if pointer.is_null() {
            return Err(fail!(BANTAM_ARGUMENT, "{name} is NULL"));
        }
        if !pointer.is_aligned() {
            return Err(fail!(BANTAM_ARGUMENT, "{name} is not aligned to {} bytes", align_of::<T>()));
        }
        // SAFETY: the caller's promise: a struct has at least its size, which comes first.
        let size = unsafe { pointer.cast::<usize>().read() };
        if !(T::SIZE_MIN..=SIZE_MAX).contains(&size) {
            return Err(fail!(
                BANTAM_STRUCT,
                "{name} says that it has {size} bytes: set its struct_size to sizeof({name}), {} here",
                size_of::<T>()
            )
            .with_detail(size));
        }
        Ok(size)
    }
}

/// A yes or no of the header: 0 or 1.
pub(crate) fn flag(value: i32, what: &str) -> Result<bool> {
    match value {
        0 | 1 => Ok(value == 1),
        _ => Err(fail!(BANTAM_ARGUMENT, "{what} is {value}; it must be 0 or 1")),
    }
}

/// A number of which 0 means the default.
pub(crate) fn or_default(value: usize) -> Option<usize> {
    (value != 0).then_some(value)
}
