//! Floor 7. What is in a model's file: its metadata and its tensors.

use core::ffi::c_char;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use bantam::Backend;
use bantam::format::TensorType;
use bantam::gguf::{Array, TensorInfo, Value};

use crate::boundary::{Caller, Out, call};
use crate::model::bantam_model;
use crate::options::Struct;
use crate::status::{BANTAM_ARGUMENT, Result, bantam_error, bantam_status, fail};
use crate::version::c_name;

/// A whole number: in `integer`.
pub const BANTAM_VALUE_INTEGER: i32 = 1;
/// A number that need not be whole: in `number`.
pub const BANTAM_VALUE_NUMBER: i32 = 2;
/// A yes or no: 1 or 0 in `integer`.
pub const BANTAM_VALUE_BOOL: i32 = 3;
/// Text: in `text`, not always UTF-8.
pub const BANTAM_VALUE_TEXT: i32 = 4;
/// A list of `count` values: see bantam_model_metadata_element.
pub const BANTAM_VALUE_ARRAY: i32 = 5;

/// A value of the metadata.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_value {
    /// sizeof(bantam_value), set by the caller.
    pub struct_size: usize,
    /// BANTAM_VALUE_...
    pub kind: i32,
    /// The kind of an array's values.
    pub element_kind: i32,
    /// The whole number; those beyond 2^63 are negative.
    pub integer: i64,
    /// The number, whole ones too.
    pub number: f64,
    /// The text, without a 0 at its end; it is the model's.
    pub text: *const c_char,
    /// Bytes of it.
    pub text_bytes: usize,
    /// Values of an array.
    pub count: usize,
}

// SAFETY: repr(C), a usize first, and integers, numbers and pointers of any bytes.
unsafe impl Struct for bantam_value {
    const NAME: &'static str = "bantam_value";
}

/// The number of metadata entries.
///
/// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_CHANGED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_metadata_count(
    model: *const bantam_model,
    count: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let entries = caller.mapped(model)?.model.file().entries();
        caller.out(count, "count")?.write(entries.count());
        Ok(())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The `i`-th metadata entry in the order of the file: its key, and its value if that is wanted.
///
/// Ownership: the texts are the model's, and stay as long as it does. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there are not as many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_metadata_at(
    model: *const bantam_model,
    i: usize,
    key: *mut *const c_char,
    key_bytes: *mut usize,
    value: *mut bantam_value,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let file = caller.mapped(model)?.model.file();
        let (key, key_bytes) = (caller.out(key, "key")?, caller.out(key_bytes, "key_bytes")?);
        let count =
            || fail!(BANTAM_ARGUMENT, "there is no entry {i}: the file has {}", file.entries().count());
        let (name, found) = file.entries().nth(i).ok_or_else(count)?;
        if !value.is_null() {
            caller.fill(value, &in_c(found))?;
        }
        key.write(name.as_ptr().cast());
        key_bytes.write(name.len());
        Ok(())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The value of a metadata key, "general.name".
///
/// Ownership: the text is the model's, and stays as long as it does. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there is no such key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_metadata(
    model: *const bantam_model,
    key: *const c_char,
    key_bytes: usize,
    value: *mut bantam_value,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| caller.fill(value, &in_c(find(caller, model, key, key_bytes)?));
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The `i`-th value of the array under a metadata key. To read all of them in order takes one pass over the array.
///
/// Ownership: the text is the model's, and stays as long as it does. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there is no such key, or not as many values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_metadata_element(
    model: *const bantam_model,
    key: *const c_char,
    key_bytes: usize,
    i: usize,
    value: *mut bantam_value,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let Value::Array(array) = find(caller, model, key, key_bytes)? else {
            return Err(fail!(BANTAM_ARGUMENT, "the value is no array"));
        };
        let missing = || fail!(BANTAM_ARGUMENT, "there is no value {i}: the array has {}", array.len());
        let place = &caller.shared(model)?.place;
        // Arrays are told apart by where their key lies.
        let (entry, i) = (array.place(), i as u64);
        let (found, end) = array.element(i, place.of(entry)).ok_or_else(missing)?;
        place.set(entry, (i + 1, end));
        caller.fill(value, &in_c(found))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Where the last element of an array was found that somebody asked for, so that the next one is not looked for from the first on.
///
/// Any threads may ask at once: a place is taken over whole or not at all (a count that is odd while it is written), and whoever would
/// have to wait starts at the first.
#[derive(Default)]
pub(crate) struct Place {
    written: AtomicUsize,
    array: AtomicUsize,
    /// The number of an element, and where it begins.
    element: AtomicUsize,
    start: AtomicUsize,
}

impl Place {
    /// The element of the array that is known, and where it begins.
    fn of(&self, array: usize) -> (u64, usize) {
        let before = self.written.load(Ordering::Acquire);
        let known = self.array.load(Ordering::Relaxed) == array;
        let found = (self.element.load(Ordering::Relaxed) as u64, self.start.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let is_whole = before.is_multiple_of(2) && before == self.written.load(Ordering::Relaxed);
        if known && is_whole { found } else { (0, 0) }
    }

    fn set(&self, array: usize, (element, start): (u64, usize)) {
        let before = self.written.load(Ordering::Relaxed);
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        let is_free = before.is_multiple_of(2);
        if !is_free || self.written.compare_exchange(before, before + 1, acquire, relaxed).is_err() {
            return;
        }
        fence(Ordering::Release);
        self.array.store(array, relaxed);
        self.element.store(element as usize, relaxed);
        self.start.store(start, relaxed);
        self.written.store(before + 2, Ordering::Release);
    }
}

fn find<'a>(
    caller: Caller,
    model: *const bantam_model,
    key: *const c_char,
    key_bytes: usize,
) -> Result<Value<'a>> {
    let key = caller.text(key, key_bytes, "the key")?;
    let value = caller.mapped(model)?.model.file().get(key);
    value.ok_or_else(|| fail!(BANTAM_ARGUMENT, "the model's metadata has no key {key:?}"))
}

fn in_c(value: Value<'_>) -> bantam_value {
    let mut out = bantam_value {
        struct_size: 0,
        kind: 0,
        element_kind: 0,
        integer: 0,
        number: 0.0,
        text: core::ptr::null(),
        text_bytes: 0,
        count: 0,
    };
    match value {
        Value::Bool(yes) => (out.kind, out.integer) = (BANTAM_VALUE_BOOL, i64::from(yes)),
        Value::F32(number) => (out.kind, out.number) = (BANTAM_VALUE_NUMBER, f64::from(number)),
        Value::F64(number) => (out.kind, out.number) = (BANTAM_VALUE_NUMBER, number),
        Value::String(text) => {
            (out.kind, out.text, out.text_bytes) = (BANTAM_VALUE_TEXT, text.as_ptr().cast(), text.len());
        }
        Value::Array(array) => {
            (out.kind, out.element_kind) = (BANTAM_VALUE_ARRAY, element_kind(array));
            out.count = usize::try_from(array.len()).unwrap_or(usize::MAX);
        }
        integer => {
            let integer = integer.as_integer().unwrap_or(0);
            (out.kind, out.integer, out.number) = (BANTAM_VALUE_INTEGER, integer as i64, integer as f64);
        }
    }
    out
}

fn element_kind(array: Array<'_>) -> i32 {
    array.iter().next().map_or(0, |first| match first {
        Value::Bool(_) => BANTAM_VALUE_BOOL,
        Value::F32(_) | Value::F64(_) => BANTAM_VALUE_NUMBER,
        Value::String(_) => BANTAM_VALUE_TEXT,
        Value::Array(_) => BANTAM_VALUE_ARRAY,
        _ => BANTAM_VALUE_INTEGER,
    })
}

/// A tensor of a model's file.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_tensor {
    /// sizeof(bantam_tensor), set by the caller.
    pub struct_size: usize,
    /// The name, UTF-8 without a 0 at its end; it is the model's.
    pub name: *const c_char,
    /// Bytes of it.
    pub name_bytes: usize,
    /// The type by ggml's number.
    pub type_number: u32,
    /// How many dimensions the file states.
    pub dimensions: u32,
    /// The extent of each dimension, the fastest first; unused ones are 1.
    pub shape: [u64; 4],
    /// Where it begins, in bytes from the start of what was opened: the file, the part of it, the memory. Of a model in several files they count as one,
    /// with gaps between them.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The name of the backend whose kernels multiply with it, with a 0 at its end: the model's, or one that this takes the format's from. NULL if
    /// no kernel reads the type.
    pub kernels: *const c_char,
}

// SAFETY: repr(C), a usize first, and integers and pointers of any bytes.
unsafe impl Struct for bantam_tensor {
    const NAME: &'static str = "bantam_tensor";
}

/// The number of tensors.
///
/// Ownership: none taken. Threads: any. Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_CHANGED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_tensor_count(
    model: *const bantam_model,
    count: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let tensors = caller.mapped(model)?.model.file().tensors();
        let count: Out<usize> = caller.out(count, "count")?;
        count.write(tensors.count());
        Ok(())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The `i`-th tensor in the order of the file.
///
/// Ownership: the name is the model's, and stays as long as it does. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_ARGUMENT if there are not as many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_tensor_at(
    model: *const bantam_model,
    i: usize,
    tensor: *mut bantam_tensor,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let model = &caller.mapped(model)?.model;
        let file = model.file();
        let missing =
            || fail!(BANTAM_ARGUMENT, "there is no tensor {i}: the file has {}", file.tensors().count());
        let (name, found) = file.tensors().nth(i).ok_or_else(missing)?;
        caller.fill(tensor, &tensor_in_c(name, found, model.backend()))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

fn tensor_in_c(name: &str, tensor: &TensorInfo, backend: Backend) -> bantam_tensor {
    let kernels = match tensor.kind {
        TensorType::Known(format) => c_name(backend.origin(format)),
        TensorType::Other(_) => core::ptr::null(),
    };
    bantam_tensor {
        struct_size: 0,
        name: name.as_ptr().cast(),
        name_bytes: name.len(),
        type_number: tensor.kind.number(),
        dimensions: tensor.dimensions as u32,
        shape: tensor.shape,
        offset: tensor.data.start as u64,
        bytes: tensor.data.len() as u64,
        kernels,
    }
}
