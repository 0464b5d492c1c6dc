//! The headers of GGUF files, read and written by ggml's own code: what tensors a file has, and a new header with the
//! metadata of another file.
//!
//! Invariant: a key is given to ggml as a C string, an id only where it was found, a tensor only while the context has
//! room for it.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr::NonNull;

use anyhow::{Context as _, Result, anyhow, ensure};
use llama_cpp_sys_2 as sys;

use crate::ggml::Type;

/// A header that grows.
pub(crate) struct Header {
    raw: NonNull<sys::gguf_context>,
    /// Where ggml makes the tensors, without data.
    tensors: NonNull<sys::ggml_context>,
    /// Tensors that the context still has room for.
    room: usize,
}

impl Header {
    /// A header with the metadata of `file`, and room for `room` tensors.
    pub(crate) fn with_metadata_of(file: &Path, room: usize) -> Result<Self> {
        // SAFETY: the function only adds up constants.
        let bytes = unsafe { sys::ggml_tensor_overhead() } * room;
        let options =
            sys::ggml_init_params { mem_size: bytes, mem_buffer: std::ptr::null_mut(), no_alloc: true };
        // SAFETY: without a buffer of ours ggml makes its own, of the size that is passed.
        let tensors = NonNull::new(unsafe { sys::ggml_init(options) }).context("ggml has no memory")?;
        // SAFETY: the function takes nothing.
        let raw = NonNull::new(unsafe { sys::gguf_init_empty() }).context("ggml has no memory")?;
        let header = Self { raw, tensors, room };

        let from = open(file)?;
        // SAFETY: both are open; the values are copied, so the source may go.
        unsafe {
            sys::gguf_set_kv(header.raw.as_ptr(), from.as_ptr());
            sys::gguf_free(from.as_ptr());
        }
        Ok(header)
    }

    /// Elements of the array at `key`.
    pub(crate) fn array_len(&self, key: &str) -> Result<usize> {
        let name = CString::new(key)?;
        // SAFETY: the header is open and `name` is a C string that lives through the call.
        let id = unsafe { sys::gguf_find_key(self.raw.as_ptr(), name.as_ptr()) };
        ensure!(id >= 0, "the metadata has no `{key}`");
        // SAFETY: `id` was just found in this header.
        let kind = unsafe { sys::gguf_get_kv_type(self.raw.as_ptr(), id) };
        ensure!(kind == sys::GGUF_TYPE_ARRAY, "`{key}` is no array");
        // SAFETY: `id` was just found in this header and is an array.
        Ok(unsafe { sys::gguf_get_arr_n(self.raw.as_ptr(), id) })
    }

    /// Sets a number, whatever was there before.
    pub(crate) fn set_u32(&mut self, key: &str, value: u32) -> Result<()> {
        let key = CString::new(key)?;
        // SAFETY: the header is open and `key` is a C string that lives through the call.
        unsafe { sys::gguf_set_val_u32(self.raw.as_ptr(), key.as_ptr(), value) };
        Ok(())
    }

    /// Sets a text, whatever was there before.
    pub(crate) fn set_text(&mut self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (CString::new(key)?, CString::new(value)?);
        // SAFETY: the header is open; both are C strings that live through the call, which copies them.
        unsafe { sys::gguf_set_val_str(self.raw.as_ptr(), key.as_ptr(), value.as_ptr()) };
        Ok(())
    }

    /// Adds a tensor whose rows have `row` values, and returns the offset of its data behind the header.
    pub(crate) fn add(&mut self, name: &str, format: &Type, row: usize, rows: usize) -> Result<usize> {
        ensure!(self.room > 0, "no room for the tensor {name}");
        format.row_bytes(row).with_context(|| format!("tensor {name}"))?;
        let (text, row, rows) = (CString::new(name)?, i64::try_from(row)?, i64::try_from(rows)?);
        // SAFETY: the context has room (checked above) and no data; the type comes from ggml's table, and `row` is a
        // whole number of its blocks (checked above). The header copies the tensor's description.
        let id = unsafe {
            let tensor = sys::ggml_new_tensor_2d(self.tensors.as_ptr(), format.id, row, rows);
            sys::ggml_set_name(tensor, text.as_ptr());
            sys::gguf_add_tensor(self.raw.as_ptr(), tensor);
            sys::gguf_find_tensor(self.raw.as_ptr(), text.as_ptr())
        };
        self.room -= 1;
        ensure!(id >= 0, "ggml did not take the name {name}: it is too long");
        // SAFETY: `id` was just found in this header.
        Ok(unsafe { sys::gguf_get_tensor_offset(self.raw.as_ptr(), id) })
    }

    /// The bytes of the header, padded to where the data of the tensors starts.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // SAFETY: the header is open.
        let mut bytes = vec![0u8; unsafe { sys::gguf_get_meta_size(self.raw.as_ptr()) }];
        // SAFETY: the header is open and `bytes` has the size that it wants.
        unsafe { sys::gguf_get_meta_data(self.raw.as_ptr(), bytes.as_mut_ptr().cast()) };
        bytes
    }
}

/// What a file says of a tensor.
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// ggml's number of its type.
    pub(crate) format: u32,
    pub(crate) bytes: usize,
}

/// The tensors of a file.
pub(crate) fn tensors(file: &Path) -> Result<Vec<Tensor>> {
    let raw = open(file)?.as_ptr();
    // SAFETY: `raw` is open until the end of the block, the ids are those that it counts, and the names are C strings that
    // live as long as it.
    unsafe {
        let all = (0..sys::gguf_get_n_tensors(raw)).map(|id| Tensor {
            name: CStr::from_ptr(sys::gguf_get_tensor_name(raw, id)).to_string_lossy().into_owned(),
            format: sys::gguf_get_tensor_type(raw, id),
            bytes: sys::gguf_get_tensor_size(raw, id),
        });
        let all = all.collect();
        sys::gguf_free(raw);
        Ok(all)
    }
}

/// Reads the header of a file; the caller frees it.
fn open(file: &Path) -> Result<NonNull<sys::gguf_context>> {
    let name = CString::new(file.as_os_str().as_encoded_bytes())?;
    let options = sys::gguf_init_params { no_alloc: true, ctx: std::ptr::null_mut() };
    // SAFETY: `name` is a C string that lives through the call; nobody asks for a context of the tensors.
    let raw = unsafe { sys::gguf_init_from_file(name.as_ptr(), options) };
    NonNull::new(raw).ok_or_else(|| anyhow!("ggml cannot read {}", file.display()))
}

impl Drop for Header {
    fn drop(&mut self) {
        // SAFETY: this type owns both.
        unsafe {
            sys::gguf_free(self.raw.as_ptr());
            sys::ggml_free(self.tensors.as_ptr());
        }
    }
}
