//! Floor 6. Structs that grow: the first field is the size that the caller's compiler gave them.
//!
//! Invariant: fields that the caller does not have are 0, which means the default; fields that this version does not have must
//! be 0 in what the caller hands in, and are left alone in what it wants filled.

use core::mem::MaybeUninit;

use crate::boundary::{Caller, check};
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

/// What is to be known of a [`Struct`], so that one function serves them all.
struct Shape {
    name: &'static str,
    bytes: usize,
    bytes_min: usize,
    alignment: usize,
}

impl Shape {
    const fn of<T: Struct>() -> Shape {
        Shape { name: T::NAME, bytes: size_of::<T>(), bytes_min: T::SIZE_MIN, alignment: align_of::<T>() }
    }
}

/// The largest size that is believed of a struct.
const SIZE_MAX: usize = 1 << 16;

impl Caller {
    /// The caller's struct with all fields of this version; zeros, which mean defaults, for NULL.
    pub(crate) fn options<T: Struct>(self, pointer: *const T) -> Result<T> {
        // SAFETY: all zeros are a value, as any bytes are (Struct).
        let mut value: T = unsafe { MaybeUninit::zeroed().assume_init() };
        if !pointer.is_null() {
            let bytes = self.known_fields(pointer.cast(), &Shape::of::<T>())?;
            // SAFETY: any bytes are a value (Struct), and the struct has at least as many as are known of the caller's.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut value).cast(), bytes.len()) };
        }
        Ok(value)
    }

    /// The bytes of the caller's struct that this version knows; an error if it sets others.
    fn known_fields<'a>(self, pointer: *const u8, shape: &Shape) -> Result<&'a [u8]> {
        let size = self.struct_size(pointer, shape)?;
        let (known, tail) = self.slice(pointer, size, shape.name)?.split_at(size.min(shape.bytes));
        match tail.iter().position(|&byte| byte != 0) {
            None => Ok(known),
            Some(at) => {
                let (name, at, ours) = (shape.name, known.len() + at, shape.bytes);
                Err(fail!(
                    BANTAM_STRUCT,
                    "{name} sets a field at byte {at} that this version, whose {name} has {ours} bytes, does not know"
                )
                .with_detail(at))
            }
        }
    }

    /// Fills the caller's struct with as many fields as it has.
    pub(crate) fn fill<T: Struct>(self, pointer: *mut T, value: &T) -> Result<()> {
        let size = self.struct_size(pointer.cast(), &Shape::of::<T>())?.min(size_of::<T>());
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
        self.struct_size(pointer.cast(), &Shape::of::<T>()).map(|_| ())
    }

    /// How many bytes the caller's struct has.
    fn struct_size(self, pointer: *const u8, shape: &Shape) -> Result<usize> {
        let Shape { name, bytes, .. } = *shape;
        check(pointer, 1, (shape.bytes, shape.alignment), name)?;
        // SAFETY: the caller's promise: a struct has at least its size, which comes first; it is aligned to more.
        let size = unsafe { pointer.cast::<usize>().read() };
        if !(shape.bytes_min..=SIZE_MAX).contains(&size) {
            return Err(fail!(
                BANTAM_STRUCT,
                "{name} says that it has {size} bytes: set its struct_size to sizeof({name}), {bytes} here"
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

/// A field that means nothing yet: an error unless it is 0, as it may mean something in a newer version.
pub(crate) fn unused(value: i32, name: &str) -> Result<()> {
    match value {
        0 => Ok(()),
        _ => Err(fail!(
            BANTAM_STRUCT,
            "reserved of {name} is {value}; it means nothing in this version, and has to be 0"
        )),
    }
}

/// A number of which 0 means the default.
pub(crate) fn or_default(value: usize) -> Option<usize> {
    (value != 0).then_some(value)
}
