//! Writes GGUF files: whole ones, and ones that lie. It knows where each field of the header stands, so that a test can
//! change any of them.

/// A metadata value.
#[derive(Clone, Debug)]
pub(crate) enum Meta {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(Vec<u8>),
    /// The kind of the elements, and they.
    Array(u32, Vec<Meta>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Meta {
    /// The kind's number in the file.
    pub(crate) fn kind(&self) -> u32 {
        match self {
            Meta::U8(_) => 0,
            Meta::I8(_) => 1,
            Meta::U16(_) => 2,
            Meta::I16(_) => 3,
            Meta::U32(_) => 4,
            Meta::I32(_) => 5,
            Meta::F32(_) => 6,
            Meta::Bool(_) => 7,
            Meta::String(_) => 8,
            Meta::Array(..) => 9,
            Meta::U64(_) => 10,
            Meta::I64(_) => 11,
            Meta::F64(_) => 12,
        }
    }

    /// An array of strings.
    pub(crate) fn strings<T: AsRef<[u8]>>(all: impl IntoIterator<Item = T>) -> Meta {
        Meta::Array(8, all.into_iter().map(|text| Meta::String(text.as_ref().to_vec())).collect())
    }

    /// The elements of an array.
    pub(crate) fn elements(&mut self) -> &mut Vec<Meta> {
        match self {
            Meta::Array(_, elements) => elements,
            other => panic!("{other:?} is no array"),
        }
    }
}

impl From<&str> for Meta {
    fn from(text: &str) -> Meta {
        Meta::String(text.into())
    }
}

impl From<u32> for Meta {
    fn from(number: u32) -> Meta {
        Meta::U32(number)
    }
}

impl From<f32> for Meta {
    fn from(number: f32) -> Meta {
        Meta::F32(number)
    }
}

impl From<bool> for Meta {
    fn from(truth: bool) -> Meta {
        Meta::Bool(truth)
    }
}

/// A tensor of the file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// The fastest dimension first.
    pub(crate) shape: Vec<u64>,
    /// ggml's number of the format.
    pub(crate) kind: u32,
    pub(crate) bytes: Vec<u8>,
    /// The offset to write, if not that of the bytes.
    pub(crate) offset: Option<u64>,
}

/// Where a field of the header stands, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) what: &'static str,
    pub(crate) at: usize,
    /// 4 or 8.
    pub(crate) bytes: usize,
}

/// A file to be written.
#[derive(Clone, Debug)]
pub(crate) struct Gguf {
    pub(crate) version: u32,
    pub(crate) entries: Vec<(String, Meta)>,
    pub(crate) tensors: Vec<Tensor>,
    /// The counts to write, if not the true ones: of tensors, of entries.
    pub(crate) counts: (Option<u64>, Option<u64>),
}

impl Gguf {
    /// An empty file.
    pub(crate) fn new() -> Gguf {
        Gguf { version: 3, entries: Vec::new(), tensors: Vec::new(), counts: (None, None) }
    }

    /// Sets the value of a key, which may be new.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Meta>) -> &mut Gguf {
        match self.entries.iter_mut().find(|(other, _)| other == key) {
            Some((_, old)) => *old = value.into(),
            None => self.entries.push((key.into(), value.into())),
        }
        self
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &str) -> &mut Gguf {
        self.entries.retain(|(other, _)| other != key);
        self
    }

    /// The value of a key.
    pub(crate) fn value(&mut self, key: &str) -> &mut Meta {
        let entry = self.entries.iter_mut().find(|(other, _)| other == key);
        &mut entry.unwrap_or_else(|| panic!("no key {key}")).1
    }

    /// The tensor of a name.
    pub(crate) fn tensor(&mut self, name: &str) -> &mut Tensor {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name);
        tensor.unwrap_or_else(|| panic!("no tensor {name}"))
    }

    /// The file.
    pub(crate) fn write(&self) -> Vec<u8> {
        self.write_with_fields().0
    }

    /// The file, and where its fields are.
    pub(crate) fn write_with_fields(&self) -> (Vec<u8>, Vec<Field>) {
        let mut writer = Writer::default();
        writer.bytes.extend(b"GGUF");
        writer.u32("version", self.version);
        writer.u64("tensor count", self.counts.0.unwrap_or(self.tensors.len() as u64));
        writer.u64("entry count", self.counts.1.unwrap_or(self.entries.len() as u64));
        for (key, value) in &self.entries {
            writer.string("key length", key.as_bytes());
            writer.u32("value type", value.kind());
            writer.value(value);
        }
        let alignment = self.alignment();
        let mut end = 0u64;
        for tensor in &self.tensors {
            writer.string("tensor name length", tensor.name.as_bytes());
            writer.u32("number of dimensions", tensor.shape.len() as u32);
            for &extent in &tensor.shape {
                writer.u64("dimension", extent);
            }
            writer.u32("tensor type", tensor.kind);
            let offset = end.next_multiple_of(alignment);
            writer.u64("tensor offset", tensor.offset.unwrap_or(offset));
            end = offset + tensor.bytes.len() as u64;
        }
        for tensor in &self.tensors {
            let start = writer.bytes.len().next_multiple_of(alignment as usize);
            writer.bytes.resize(start, 0);
            writer.bytes.extend(&tensor.bytes);
        }
        (writer.bytes, writer.fields)
    }

    fn alignment(&self) -> u64 {
        match self.entries.iter().find(|(key, _)| key == "general.alignment") {
            // One that makes no sense is written and not obeyed.
            Some((_, Meta::U32(alignment))) if alignment.is_power_of_two() && *alignment <= 4096 => {
                u64::from(*alignment)
            }
            _ => 32,
        }
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

impl Writer {
    fn u32(&mut self, what: &'static str, number: u32) {
        self.fields.push(Field { what, at: self.bytes.len(), bytes: 4 });
        self.bytes.extend(number.to_le_bytes());
    }

    fn u64(&mut self, what: &'static str, number: u64) {
        self.fields.push(Field { what, at: self.bytes.len(), bytes: 8 });
        self.bytes.extend(number.to_le_bytes());
    }

    fn string(&mut self, what: &'static str, text: &[u8]) {
        self.u64(what, text.len() as u64);
        self.bytes.extend(text);
    }

    fn value(&mut self, value: &Meta) {
        match value {
            Meta::U8(number) => self.bytes.push(*number),
            Meta::I8(number) => self.bytes.push(*number as u8),
            Meta::U16(number) => self.bytes.extend(number.to_le_bytes()),
            Meta::I16(number) => self.bytes.extend(number.to_le_bytes()),
            Meta::U32(number) => self.bytes.extend(number.to_le_bytes()),
            Meta::I32(number) => self.bytes.extend(number.to_le_bytes()),
            Meta::F32(number) => self.bytes.extend(number.to_le_bytes()),
            Meta::Bool(truth) => self.bytes.push(u8::from(*truth)),
            Meta::String(text) => self.string("string length", text),
            Meta::Array(kind, elements) => {
                self.u32("element type", *kind);
                self.u64("array length", elements.len() as u64);
                elements.iter().for_each(|element| self.value(element));
            }
            Meta::U64(number) => self.bytes.extend(number.to_le_bytes()),
            Meta::I64(number) => self.bytes.extend(number.to_le_bytes()),
            Meta::F64(number) => self.bytes.extend(number.to_le_bytes()),
        }
    }
}
