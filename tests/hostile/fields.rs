//! The bytes tampered with from outside: cut off anywhere, every field of the header changed, bits flipped.

use std::sync::Arc;

use bantam::Error;

use crate::common::Random;
use crate::common::gguf::Gguf;
use crate::{Case, Part, TINY, open, open_and_run};

/// A model with every kind of metadata that a reader may meet.
fn file() -> Gguf {
    use crate::common::gguf::Meta;
    let mut file = TINY.gguf();
    let scalars = [
        Meta::U8(1),
        Meta::I8(-1),
        Meta::U16(1),
        Meta::I16(-1),
        Meta::I32(-1),
        Meta::Bool(true),
        Meta::U64(1),
        Meta::I64(-1),
        Meta::F64(1.0),
    ];
    for scalar in scalars {
        file.set(&format!("test.scalar.{}", scalar.kind()), scalar.clone());
        file.set(&format!("test.array.{}", scalar.kind()), Meta::Array(scalar.kind(), vec![scalar; 3]));
    }
    let inner = Meta::strings(["a", "", "ü"]);
    file.set("test.nested", Meta::Array(9, vec![inner.clone(), Meta::Array(9, vec![inner])]));
    file
}

#[test]
fn the_file_itself_is_a_model() {
    open_and_run(file().write()).unwrap();
    let mut old = file();
    old.version = 2;
    open_and_run(old.write()).unwrap();
}

#[test]
fn cut_off_at_any_byte() {
    let bytes: Arc<[u8]> = file().write().into();
    for len in 0..bytes.len() {
        let _case = Case(format!("{len} bytes of {}", bytes.len()));
        match open(Part(bytes.clone(), len)) {
            Err(Error::NotGguf(_)) if len < 4 => {}
            Err(Error::Malformed { offset, .. }) if len >= 4 => assert!(offset <= len as u64),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_field_of_the_header_is_zero_or_huge_or_random() {
    let (bytes, fields) = file().write_with_fields();
    let mut random = Random::new(1);
    let mut refused = 0;
    for field in &fields {
        for value in [0, u64::MAX, u64::MAX >> 1, random.bits(), random.bits() >> 48, random.bits() >> 56] {
            let _case = Case(format!("{} at byte {} is {value}", field.what, field.at));
            let mut bytes = bytes.clone();
            bytes[field.at..][..field.bytes].copy_from_slice(&value.to_le_bytes()[..field.bytes]);
            refused += usize::from(open_and_run(bytes).is_err());
        }
    }
    println!("{} fields, six values each: {refused} refused", fields.len());
    assert!(refused > 4 * fields.len());
}

#[test]
fn bits_are_flipped() {
    let (bytes, _) = file().write_with_fields();
    let header = bytes.len() - file().tensors.iter().map(|tensor| tensor.bytes.len()).sum::<usize>();
    let mut refused = 0;
    for seed in 0..3000 {
        let _case = Case(format!("seed {seed}"));
        let mut random = Random::new(seed);
        let mut bytes = bytes.clone();
        for _ in 0..=random.below(4) {
            // Mostly in the header: most flips in the weights are only other weights.
            let end = if random.below(8) == 0 { bytes.len() } else { header };
            let at = random.below(end);
            bytes[at] ^= 1 << random.below(8);
        }
        refused += usize::from(open_and_run(bytes).is_err());
    }
    println!("3000 files with flipped bits: {refused} refused");
    assert!((300..2950).contains(&refused));
}

/// Where a file says the most with the fewest bytes, what is held of it is the largest in proportion.
#[test]
fn the_smallest_of_everything() {
    use crate::common::gguf::{Meta, Tensor};
    const COUNT: usize = 20_000;
    let name = |i: usize| format!("{i:04x}");
    let mut entries = Gguf::new();
    entries.entries = (0..COUNT).map(|i| (name(i), Meta::U8(0))).collect();
    let mut tensors = Gguf::new();
    let tensor = |i| Tensor { name: name(i), shape: vec![], kind: 99, bytes: vec![], offset: None };
    tensors.tensors = (0..COUNT).map(tensor).collect();
    let list = |key: &str, text: &str| {
        let mut file = TINY.gguf();
        file.remove("tokenizer.ggml.token_type");
        *file.value(key).elements() = vec![Meta::String(text.into()); COUNT];
        file
    };
    let files = [
        ("entries", entries),
        ("tensors", tensors),
        ("tokens", list("tokenizer.ggml.tokens", "")),
        ("merges", list("tokenizer.ggml.merges", "")),
        ("merges that are all the same", list("tokenizer.ggml.merges", "t h")),
    ];
    for (what, file) in files {
        let bytes: Arc<[u8]> = file.write().into();
        let size = bytes.len();
        let (outcome, taken) = crate::counting::during(|| open(Part(bytes, size)).map(drop));
        println!("{what}: {:.1} bytes held per byte, {outcome:?}", taken.peak_bytes as f64 / size as f64);
    }
}

#[test]
fn random_bytes() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut bytes: Vec<u8> = (0..random.below(400)).map(|_| random.bits() as u8).collect();
        if bytes.len() >= 24 && seed % 2 == 0 {
            bytes[..8].copy_from_slice(b"GGUF\x03\0\0\0");
            // Few tensors and entries, so that the reader comes further.
            for count in [8, 16] {
                bytes[count..count + 8].copy_from_slice(&(random.below(4) as u64).to_le_bytes());
            }
        }
        open_and_run(bytes).unwrap_err();
    }
}
