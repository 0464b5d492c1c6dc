//! The F32 form of a model: the same file with every weight written out as the number that its block stands for.
//! Products with it round no activation to 8 bits, so two engines can be compared to the last digits.

use bantam::Backend;
use bantam::format::TensorType;
use bantam::gguf::File;
use zerocopy::IntoBytes;

/// ggml's number of F32, and the alignment of tensors where the metadata states none.
const F32: u32 = 0;
const ALIGNMENT: usize = 32;

/// The bytes of the F32 form, a whole GGUF file.
pub(crate) fn dequantized(file: &File) -> Vec<u8> {
    let backend = Backend::detect();
    let source = file.mapping().bytes();
    let mut bytes = source[..directory_start(file)].to_vec();
    let mut offset = 0;
    for (name, tensor) in file.tensors() {
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend((tensor.dimensions as u32).to_le_bytes());
        for extent in &tensor.shape[..tensor.dimensions] {
            bytes.extend(extent.to_le_bytes());
        }
        bytes.extend(F32.to_le_bytes());
        bytes.extend((offset as u64).to_le_bytes());
        offset += (4 * tensor.len() as usize).next_multiple_of(ALIGNMENT);
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.reserve_exact(offset);
    for (name, tensor) in file.tensors() {
        let TensorType::Known(format) = tensor.kind else { panic!("{name}: no format of ours") };
        let row_bytes = format.row_bytes(tensor.shape[0] as usize).unwrap();
        let mut row = vec![0.0; tensor.shape[0] as usize];
        for weights in source[tensor.data.clone()].chunks_exact(row_bytes) {
            backend.dequantize(format, weights, &mut row);
            bytes.extend_from_slice(row.as_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
    bytes
}

/// Where the directory of tensors starts: its first line is searched for, since all before it is copied as it is.
fn directory_start(file: &File) -> usize {
    let (name, tensor) = file.tensors().next().expect("a tensor");
    let length = (name.len() as u64).to_le_bytes();
    let dimensions = (tensor.dimensions as u32).to_le_bytes();
    let line = [&length[..], name.as_bytes(), &dimensions].concat();
    let bytes = &file.mapping().bytes()[..tensor.data.start];
    bytes.windows(line.len()).position(|window| window == line).expect("the tensor's line")
}
