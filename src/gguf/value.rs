//! Floor 1. A metadata value: thirteen kinds, each checked when the file is opened and read in place afterwards.
#![forbid(unsafe_code)]

use super::cursor::Cursor;
use crate::error::Result;

/// The kind of a value, by its number in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl Kind {
    const ALL: [Kind; 13] = [
        Kind::U8,
        Kind::I8,
        Kind::U16,
        Kind::I16,
        Kind::U32,
        Kind::I32,
        Kind::F32,
        Kind::Bool,
        Kind::String,
        Kind::Array,
        Kind::U64,
        Kind::I64,
        Kind::F64,
    ];

    /// The kind's name, as the format's specification spells it.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 13] =
            ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"];
        NAMES[self as usize]
    }

    /// Bytes of a value of fixed size.
    fn size(self) -> Option<u64> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::String | Kind::Array => None,
        }
    }

    /// The fewest bytes that a value of this kind takes.
    fn size_min(self) -> u64 {
        match self {
            Kind::Array => 12,
            _ => self.size().unwrap_or(8),
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Kind> {
        let at = *cursor;
        let number = cursor.u32("a value's type")?;
        let kind = Kind::ALL.get(number as usize).copied();
        kind.ok_or_else(|| at.malformed(format_args!("value type {number} is none of 0 to 12")))
    }
}

/// A value, read from the mapped bytes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    /// Text, not necessarily UTF-8.
    String(&'a [u8]),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value<'_> {
    /// The value's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Value::U8(_) => Kind::U8,
            Value::I8(_) => Kind::I8,
            Value::U16(_) => Kind::U16,
            Value::I16(_) => Kind::I16,
            Value::U32(_) => Kind::U32,
            Value::I32(_) => Kind::I32,
            Value::F32(_) => Kind::F32,
            Value::Bool(_) => Kind::Bool,
            Value::String(_) => Kind::String,
            Value::Array(_) => Kind::Array,
            Value::U64(_) => Kind::U64,
            Value::I64(_) => Kind::I64,
            Value::F64(_) => Kind::F64,
        }
    }

    /// The value of any integer kind.
    pub fn as_integer(&self) -> Option<i128> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::I8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::I16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::I32(v) => Some(v.into()),
            Value::U64(v) => Some(v.into()),
            Value::I64(v) => Some(v.into()),
            _ => None,
        }
    }
}

/// An array value: `len` elements of one kind.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    kind: Kind,
    len: u64,
    elements: Cursor<'a>,
}

impl<'a> Array<'a> {
    /// The kind of every element.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of elements.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the elements begin, in bytes from the start of the file: a number that no other array of it has, unless both are empty.
    pub fn place(&self) -> usize {
        self.elements.position()
    }

    /// The elements of an array of bytes, with a sign or without; `None` for any other.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        let Array { kind, len, elements: mut cursor } = *self;
        let is_bytes = matches!(kind, Kind::U8 | Kind::I8);
        cursor.take(len, "an array of bytes").ok().filter(|_| is_bytes)
    }

    /// The `i`-th element, and how many bytes behind the start of the elements the next one begins. Texts and arrays have to be
    /// stepped over one by one: `known` is the number of an element and what this told of the one before it, for a
    /// search to start there and not at the first.
    pub fn element(&self, i: u64, known: (u64, usize)) -> Option<(Value<'a>, usize)> {
        let Array { kind, len, elements } = *self;
        if i >= len {
            return None;
        }
        let (mut at, start) = match kind.size() {
            Some(size) => (i, usize::try_from(i * size).ok()?),
            None if known.0 <= i => known,
            None => (0, 0),
        };
        let mut cursor = elements;
        cursor.take(start as u64, "elements").ok()?;
        loop {
            let value = Value::read(kind, &mut cursor, 0).ok()?;
            if at == i {
                return Some((value, elements.left() - cursor.left()));
            }
            at += 1;
        }
    }

    /// The elements in order. They were checked at open; should the mapped bytes have changed since, the iterator
    /// ends early.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + Clone + use<'a> {
        let Array { kind, len, elements: mut cursor } = *self;
        (0..len).map_while(move |_| Value::read(kind, &mut cursor, 0).ok())
    }
}

impl core::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "[{}; {}]", self.kind.name(), self.len)
    }
}

impl<'a> Value<'a> {
    /// How deep arrays may lie in arrays.
    const DEPTH_MAX: u32 = 4;

    /// Reads the kind and the value behind it.
    pub(crate) fn read_typed(cursor: &mut Cursor<'a>) -> Result<Value<'a>> {
        let kind = Kind::read(cursor)?;
        Value::read(kind, cursor, 0)
    }

    /// As [`Value::read_typed`], of a value that was read when its file was opened: an array's elements are not gone through again.
    pub(crate) fn read_again(cursor: &mut Cursor<'a>) -> Result<Value<'a>> {
        match Kind::read(cursor)? {
            Kind::Array => Value::read_array_start(cursor).map(Value::Array),
            kind => Value::read(kind, cursor, 0),
        }
    }

    fn read(kind: Kind, cursor: &mut Cursor<'a>, depth: u32) -> Result<Value<'a>> {
        if kind == Kind::String {
            return cursor.string("a string").map(Value::String);
        }
        if kind == Kind::Array {
            return Value::read_array(cursor, depth).map(Value::Array);
        }
        let at = *cursor;
        let bytes = cursor.take(kind.size().unwrap_or(0), kind.name())?;
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let wide = u64::from_le_bytes(wide);
        Ok(match kind {
            Kind::U8 => Value::U8(wide as u8),
            Kind::I8 => Value::I8(wide as i8),
            Kind::U16 => Value::U16(wide as u16),
            Kind::I16 => Value::I16(wide as i16),
            Kind::U32 => Value::U32(wide as u32),
            Kind::I32 => Value::I32(wide as i32),
            Kind::F32 => Value::F32(f32::from_bits(wide as u32)),
            Kind::U64 => Value::U64(wide),
            Kind::I64 => Value::I64(wide as i64),
            Kind::F64 => Value::F64(f64::from_bits(wide)),
            Kind::Bool | Kind::String | Kind::Array => match wide {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(at.malformed(format_args!("a bool is {other}, neither 0 nor 1"))),
            },
        })
    }

    /// Reads past every element, so that all of them are known to be inside the file.
    fn read_array(cursor: &mut Cursor<'a>, depth: u32) -> Result<Array<'a>> {
        if depth == Value::DEPTH_MAX {
            return Err(cursor.malformed(format_args!("arrays in arrays deeper than {}", Value::DEPTH_MAX)));
        }
        let array = Value::read_array_start(cursor)?;
        let Array { kind, len, .. } = array;
        match kind.size() {
            Some(size) if kind != Kind::Bool => {
                cursor.take(len * size, "an array")?;
            }
            _ => {
                for _ in 0..len {
                    Value::read(kind, cursor, depth + 1)?;
                }
            }
        }
        Ok(array)
    }

    /// Reads what stands before the elements, for which there has to be room.
    fn read_array_start(cursor: &mut Cursor<'a>) -> Result<Array<'a>> {
        let kind = Kind::read(cursor)?;
        let len = cursor.u64("an array's length")?;
        let left = cursor.left();
        if len.checked_mul(kind.size_min()).is_none_or(|bytes| bytes > left as u64) {
            let name = kind.name();
            return Err(cursor
                .malformed(format_args!("an array of {len} {name} values cannot fit into {left} bytes")));
        }
        Ok(Array { kind, len, elements: *cursor })
    }
}
