//! The GGUF reader on any bytes: an error or a file whose every promise holds, never a panic.
#![no_main]

use bantam::format::TensorType;
use bantam::gguf::{File, Value};
use bantam::mmap::Mapping;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Mapping::from_bytes(bytes.to_vec()).and_then(File::open) else { return };
    assert!(matches!(file.version(), 2 | 3));
    for (key, value) in file.entries() {
        assert_eq!(file.get(key).map(|found| found.kind()), Some(value.kind()), "{key} is found by its name");
        walk(&value);
    }
    for (name, tensor) in file.tensors() {
        assert!(file.tensor(name).is_some(), "{name} is found by its name");
        let data = &file.mapping().bytes()[tensor.data.clone()];
        if let TensorType::Known(format) = tensor.kind {
            let row_bytes = format.row_bytes(tensor.shape[0] as usize).expect("rows are whole blocks");
            let rows: u64 = tensor.shape[1..].iter().product();
            assert_eq!(data.len() as u64, row_bytes as u64 * rows, "{name} is wholly there");
        }
    }
});

/// Reads a value to its last element.
fn walk(value: &Value<'_>) {
    let _ = value.as_integer();
    if let Value::Array(array) = value {
        let read = array.iter().inspect(walk).count() as u64;
        assert_eq!(read, array.len(), "every element of an array can be read");
    }
}
