//! Floor 1. The GGUF container: header, metadata, directory of tensors.
//!
//! Invariant: total on hostile input. Every count, length and offset is checked against the bytes that are there
//! before it is used, nothing is allocated on the word of a number in the file, and whatever is read again after open
//! is checked again, since mapped bytes can change.
//!
//! ```text
//! "GGUF" | version: u32 | tensors: u64 | entries: u64
//! entries x { key: string | kind: u32 | value }
//! tensors x { name: string | dimensions: u32 | dimension: u64 ... | type: u32 | offset: u64 }
//! padding to general.alignment
//! data: each tensor at its offset from here
//! ```
//! A string is a `u64` length and its bytes. All numbers are little-endian.
//! Layout: the GGUF specification of ggml, versions 2 and 3.
#![forbid(unsafe_code)]

mod cursor;
mod directory;
mod parts;
mod value;

use core::ops::Range;

use crate::checksum::Checksum;
use crate::error::{Error, Result, text};
use crate::format::TensorType;
use crate::mmap::Mapping;
use cursor::{Cursor, malformed};
use directory::{Directory, Named, name_of};
use parts::{Part, Reading};
pub use value::{Array, Kind, Value};

/// The most dimensions a tensor has.
pub const DIMENSIONS_MAX: usize = 4;

/// An open file: its directory is held, its strings, arrays and weights stay where they are mapped.
#[derive(Debug)]
pub struct File {
    mapping: Mapping,
    version: u32,
    metadata: Directory<Entry>,
    tensors: Directory<TensorInfo>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Range<usize>,
    /// Where the value's kind stands.
    value: usize,
}

/// Where a tensor lies and what it holds. Row `r` is `shape[0]` weights long; `shape[1]` rows make a matrix.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    name: Range<usize>,
    /// Extent of each dimension, the fastest first; unused ones are 1.
    pub shape: [u64; DIMENSIONS_MAX],
    /// How many dimensions the file states.
    pub dimensions: usize,
    /// The type.
    pub kind: TensorType,
    /// Bytes from the start of the file, or of all parts of a model in several. Only the start is known of a type that is not ours.
    pub data: Range<usize>,
}

impl Named for Entry {
    const WHAT: &'static str = "metadata key";

    fn name(&self) -> &Range<usize> {
        &self.key
    }
}

impl Named for TensorInfo {
    const WHAT: &'static str = "tensor";

    fn name(&self) -> &Range<usize> {
        &self.name
    }
}

impl TensorInfo {
    /// The number of weights.
    pub fn len(&self) -> u64 {
        // The product was checked when the directory was read.
        self.shape.iter().product()
    }

    /// Whether the tensor has no weights, which the reader refuses.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl File {
    /// Reads the directory of a mapped file and checks all of it.
    pub fn open(mapping: Mapping) -> Result<File> {
        let bytes = mapping.bytes();
        let parts = parts::read(&mapping)?;
        let count = parts.iter().map(|part| part.tensor_count).sum();
        let mut reading = Reading::new(parts);
        let mut tensors = Directory::read(bytes, count, || reading.tensor())?;
        let mut placed = tensors.iter_mut();
        for part in &reading.parts {
            let mut place = || {
                let start = part.data_start()?;
                let mut tensors = placed.by_ref().take(part.tensor_count as usize);
                tensors.try_for_each(|tensor| place_tensor(tensor, start, bytes, &part.range))
            };
            place().map_err(|error| part.blame(error))?;
        }
        drop(placed);
        let mut parts = reading.parts;
        let Part { version, metadata, .. } = parts.swap_remove(0);
        Ok(File { mapping, version, metadata, tensors })
    }

    /// The version the file states: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The bytes the file lies in.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Every metadata entry in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let bytes = self.mapping.bytes();
        self.metadata.iter().filter_map(move |entry| {
            let key = core::str::from_utf8(&bytes[entry.key.clone()]).ok()?;
            Some((key, Value::read_again(&mut Cursor::new(bytes, entry.value)).ok()?))
        })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        find(&self.metadata, self.mapping.bytes(), key)
    }

    /// A key's value as an unsigned number: any integer kind that holds one which fits.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let Some(number) = value.as_integer() else { return Err(wrong_kind(key, &value, "an integer")) };
        u32::try_from(number).map(Some).map_err(|_| {
            // No kind of integer has more than 64 bits.
            let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs() as u64);
            Error::Inconsistent(text!("{key} is {sign}{size}; it may be from 0 to {}", u32::MAX))
        })
    }

    /// A key's value as a float.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::F32(number)) => Ok(Some(number)),
            Some(Value::F64(number)) => Ok(Some(number as f32)),
            Some(other) => Err(wrong_kind(key, &other, "a float")),
        }
    }

    /// A key's value as a truth value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(other) => Err(wrong_kind(key, &other, "a bool")),
        }
    }

    /// A key's value as UTF-8 text.
    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(bytes)) => match core::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(Error::Inconsistent(text!("{key} is not UTF-8 text"))),
            },
            Some(other) => Err(wrong_kind(key, &other, "a string")),
        }
    }

    /// A key's value as an array of one kind.
    pub fn array(&self, key: &str, kind: Kind) -> Result<Option<Array<'_>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(array)) if array.kind() == kind => Ok(Some(array)),
            Some(Value::Array(array)) => Err(Error::Inconsistent(text!(
                "{key} is an array of {}, not of {}",
                array.kind().name(),
                kind.name()
            ))),
            Some(other) => Err(wrong_kind(key, &other, "an array")),
        }
    }

    /// Every tensor in the order of the file, with its name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        let bytes = self.mapping.bytes();
        self.tensors.iter().map(move |tensor| (name_of(bytes, &tensor.name), tensor))
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.find(self.mapping.bytes(), name)
    }

    /// A sum of the metadata, the directory of tensors, and a few weights of each.
    pub(crate) fn fingerprint(&self) -> u64 {
        /// Bytes taken of each tensor.
        const SAMPLE: usize = 64;
        let bytes = self.mapping.bytes();
        let ranges = || self.tensors().map(|(_, tensor)| tensor.data.clone());
        let data = ranges().map(|range| range.start).min().unwrap_or(bytes.len());
        let mut checksum = Checksum::new();
        // What lies before and between files of a model in several is not theirs.
        let files = (0..).map_while(|i| self.mapping.part(i));
        files.for_each(|file| checksum.add(&bytes[file.start.min(data)..file.end.min(data)]));
        for range in ranges() {
            let middle = range.start + range.len().saturating_sub(SAMPLE) / 2;
            checksum.add(&bytes[middle..range.end.min(middle + SAMPLE)]);
        }
        checksum.sum()
    }

    /// Where the tensor of a name comes in [`File::tensors`].
    pub(crate) fn tensor_position(&self, name: &str) -> Option<usize> {
        self.tensors.position(self.mapping.bytes(), name)
    }
}

/// The value of a key.
fn find<'a>(metadata: &Directory<Entry>, bytes: &'a [u8], key: &str) -> Option<Value<'a>> {
    let entry = metadata.find(bytes, key)?;
    Value::read_again(&mut Cursor::new(bytes, entry.value)).ok()
}

const ALIGNMENT: &str = "general.alignment";

/// What every tensor's offset is a multiple of.
fn read_alignment(value: Option<Value<'_>>) -> Result<u64> {
    match value {
        None => Ok(32),
        Some(Value::U32(alignment)) if alignment.is_power_of_two() => Ok(alignment.into()),
        Some(Value::U32(other)) => {
            Err(Error::Inconsistent(text!("{ALIGNMENT} is {other}; it must be a power of two")))
        }
        Some(other) => Err(wrong_kind(ALIGNMENT, &other, "a u32")),
    }
}

fn wrong_kind(key: &str, value: &Value<'_>, wanted: &str) -> Error {
    Error::Inconsistent(text!("{key} is of kind {}, not {wanted}", value.kind().name()))
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32> {
    let magic = cursor.take(4.min(cursor.left() as u64), "the magic")?;
    if magic != b"GGUF" {
        return Err(Error::NotGguf(if magic.is_empty() {
            text!("there are no bytes")
        } else {
            text!("it starts with {magic:02x?}, not with 47 47 55 46 (GGUF)")
        }));
    }
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => Ok(version),
        // A small number in the other byte order has its low half empty.
        _ if version & 0xffff == 0 && version != 0 => Err(Error::Unsupported(text!(
            "the file is big-endian GGUF version {}; convert it to little-endian",
            version.swap_bytes()
        ))),
        _ => Err(Error::Unsupported(text!("GGUF version {version}; versions 2 and 3 can be read"))),
    }
}

/// The number of something of which each takes at least `bytes_min`.
fn read_count(cursor: &mut Cursor<'_>, bytes_min: u64, what: &str) -> Result<u64> {
    let at = *cursor;
    let count = cursor.u64(what)?;
    let left = cursor.left();
    // Sorted indices are u32.
    if count > u64::from(u32::MAX) || count.checked_mul(bytes_min).is_none_or(|bytes| bytes > left as u64) {
        return Err(at.malformed(format_args!("{what} is {count}; so many cannot fit into {left} bytes")));
    }
    Ok(count)
}

/// A string that names something: UTF-8, and its place.
fn read_name(cursor: &mut Cursor<'_>, what: &str) -> Result<Range<usize>> {
    let name = cursor.string(what)?;
    let range = cursor.position() - name.len()..cursor.position();
    match core::str::from_utf8(name) {
        Ok(_) => Ok(range),
        Err(_) => Err(malformed(range.start, format_args!("{what} is not UTF-8"))),
    }
}

fn read_entry(cursor: &mut Cursor<'_>) -> Result<Entry> {
    let key = read_name(cursor, "a metadata key")?;
    let value = cursor.position();
    Value::read_typed(cursor)?;
    Ok(Entry { key, value })
}

/// Reads a tensor's line of the directory; `data.start` is still relative to the start of the data.
fn read_tensor(cursor: &mut Cursor<'_>, alignment: u64) -> Result<TensorInfo> {
    let name = read_name(cursor, "a tensor's name")?;
    let at = *cursor;
    let dimensions = cursor.u32("a tensor's number of dimensions")? as usize;
    if dimensions > DIMENSIONS_MAX {
        return Err(at.malformed(format_args!(
            "a tensor of {dimensions} dimensions; there are at most {DIMENSIONS_MAX}"
        )));
    }
    let mut shape = [1; DIMENSIONS_MAX];
    for extent in &mut shape[..dimensions] {
        *extent = cursor.u64("a tensor's shape")?;
    }
    let len = shape.iter().try_fold(1u64, |len, &extent| len.checked_mul(extent));
    if len.is_none_or(|len| len == 0 || len > i64::MAX as u64) {
        return Err(at.malformed(format_args!("no tensor has the shape {:?}", &shape[..dimensions])));
    }
    let kind = TensorType::from_number(cursor.u32("a tensor's type")?);
    let at = *cursor;
    let offset = cursor.u64("a tensor's offset")?;
    let start = usize::try_from(offset).ok().filter(|_| offset.is_multiple_of(alignment));
    let start = start.ok_or_else(|| {
        at.malformed(format_args!("tensor offset {offset} is not a multiple of the alignment {alignment}"))
    })?;
    Ok(TensorInfo { name, shape, dimensions, kind, data: start..start })
}

/// Makes a tensor's place absolute and checks that its bytes are there, in its file.
fn place_tensor(tensor: &mut TensorInfo, start: usize, bytes: &[u8], file: &Range<usize>) -> Result<()> {
    let len = match tensor.kind {
        TensorType::Other(_) => Some(0),
        TensorType::Known(format) => {
            let row = usize::try_from(tensor.shape[0]).ok().and_then(|k| format.row_bytes(k));
            let Some(row) = row else {
                let (name, format) = (name_of(bytes, &tensor.name), format.name());
                return Err(malformed(
                    tensor.name.start,
                    format_args!(
                        "tensor {name}: a row of {} is not whole blocks of {format}",
                        tensor.shape[0]
                    ),
                ));
            };
            // The product of all extents was checked; without the first it is smaller.
            let rows = usize::try_from(tensor.shape[1..].iter().product::<u64>()).ok();
            rows.and_then(|rows| rows.checked_mul(row))
        }
    };
    let begin = tensor.data.start.checked_add(start);
    let end = begin.zip(len).and_then(|(begin, len)| begin.checked_add(len));
    match begin.zip(end).filter(|&(_, end)| end <= file.end) {
        Some((begin, end)) => {
            tensor.data = begin..end;
            Ok(())
        }
        None => {
            let (name, size) = (name_of(bytes, &tensor.name), file.len());
            Err(malformed(
                tensor.name.start,
                format_args!("tensor {name} lies beyond the file's end ({size} bytes)"),
            ))
        }
    }
}
