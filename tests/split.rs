//! Models in several files: the same as in one, and every file that is missing, foreign, out of order or cut off is an error.
#![cfg(all(feature = "std", unix))]
#![forbid(unsafe_code)]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bantam::mmap::Mapping;
use bantam::{Error, Format, Model, ModelOptions, Pool, Session};

use common::gguf::{Gguf, Meta};
use common::tiny::Tiny;
use common::{bits, sized, tokens};

fn whole() -> Gguf {
    Tiny { heads: 2, kv_heads: 1, ..Tiny::new(Format::Q4_0) }.gguf()
}

/// The parts that gguf-split makes: metadata and some tensors in the first, more tensors in the others.
fn parts(whole: &Gguf, tensors: [usize; 3]) -> Vec<Gguf> {
    let mut left = whole.tensors.clone().into_iter();
    let part = |(i, count): (usize, usize)| {
        let mut part = if i == 0 { whole.clone() } else { Gguf::new() };
        part.set("split.no", Meta::U16(i as u16)).set("split.count", Meta::U16(3));
        part.set("split.tensors.count", Meta::I32(whole.tensors.len() as i32));
        part.tensors = left.by_ref().take(count).collect();
        part
    };
    tensors.into_iter().enumerate().map(part).collect()
}

fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("tiny-{number:05}-of-00003.gguf"))
}

fn write(folder: &Path, parts: &[Gguf]) {
    for (i, part) in parts.iter().enumerate() {
        std::fs::write(path(folder, i + 1), part.write()).unwrap();
    }
}

fn logits(model: &Model) -> Vec<u32> {
    let mut session = Session::open(model, Arc::new(Pool::new(1).unwrap()), &sized(64, 16)).unwrap();
    session.prefill(&tokens(model, 20)).unwrap();
    bits(&session)
}

#[test]
fn a_model_in_parts_is_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let whole = whole();
    let all = whole.tensors.len();
    let expected = logits(&Model::from_bytes(whole.write()).unwrap());
    for counts in [[1, 2, all - 3], [0, all - 1, 1], [all, 0, 0]] {
        write(folder.path(), &parts(&whole, counts));
        let model = Model::open(path(folder.path(), 1)).unwrap();
        assert_eq!(model.file().tensors().count(), all);
        assert!(model.file().mapping().is_file_backed());
        assert!(logits(&model) == expected, "{counts:?}");
    }
    // From descriptors, each in the middle of an archive.
    let split = parts(&whole, [1, 2, all - 3]);
    let mut files = Vec::new();
    for (i, part) in split.iter().enumerate() {
        let (path, bytes) = (folder.path().join(format!("archive-{i}")), part.write());
        let offset = 4 * (1 + 1500 * i);
        std::fs::write(&path, [vec![7; offset], bytes.clone(), vec![9; 100]].concat()).unwrap();
        files.push((File::open(path).unwrap(), offset as u64, Some(bytes.len() as u64)));
    }
    let model = Model::from_mapping(Mapping::join(files).unwrap(), &ModelOptions::default()).unwrap();
    assert!(logits(&model) == expected);
    let mapping = model.file().mapping();
    // Saved sessions know their model again, wherever its parts lie.
    write(folder.path(), &split);
    let beside = Model::open(path(folder.path(), 1)).unwrap();
    assert_eq!(model.fingerprint(), beside.fingerprint());
    let written: usize = split.iter().map(|part| part.write().len()).sum();
    assert_eq!((mapping.file_bytes(), beside.file().mapping().file_bytes()), (written, written));
    mapping.warm(|_, _| true).unwrap();
    assert_eq!(mapping.resident_bytes(), Ok(mapping.bytes().len()));
    // One of the files is cut short: told, and not read.
    let file = std::fs::OpenOptions::new().write(true).open(folder.path().join("archive-2")).unwrap();
    file.set_len(100).unwrap();
    assert!(matches!(mapping.check(), Err(Error::Changed(_))));
}

#[test]
fn parts_that_do_not_belong_together_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let whole = whole();
    let good = parts(&whole, [1, 2, whole.tensors.len() - 3]);
    let open = |parts: &[Gguf]| {
        write(folder.path(), parts);
        Model::open(path(folder.path(), 1)).map(drop).unwrap_err()
    };
    // Another order, one twice, a part of a model with fewer parts, and tensors that are missing.
    let with = |i: usize, other: &Gguf| {
        let mut parts = good.clone();
        parts[i] = other.clone();
        parts
    };
    let error = open(&[good[0].clone(), good[2].clone(), good[1].clone()]);
    assert!(error.to_string().contains("file 2 says that it is part 3"), "{error}");
    assert!(matches!(open(&with(2, &good[1])), Error::Inconsistent(_)));
    let mut other = good[2].clone();
    other.set("split.count", Meta::U16(2));
    assert!(open(&with(2, &other)).to_string().contains("split into 2 files"));
    let mut fewer = good[2].clone();
    fewer.tensors.pop();
    assert!(matches!(open(&with(2, &fewer)), Error::Inconsistent(_)));
    let mut twice = good[2].clone();
    twice.tensors.push(good[1].tensors[0].clone());
    assert!(open(&with(2, &twice)).to_string().contains("occurs twice"));

    // What is wrong with a part says which it is, in its own bytes.
    write(folder.path(), &good);
    let second = path(folder.path(), 2);
    let bytes = good[1].write();
    let damaged = |bytes: &[u8]| {
        std::fs::write(&second, bytes).unwrap();
        Model::open(path(folder.path(), 1)).map(drop).unwrap_err()
    };
    let told = damaged(b"GGML, and more").to_string();
    assert!(told.contains("part 2: it starts with"), "{told}");
    let told = damaged(b"").to_string();
    assert!(told.contains("part 2: the file is empty"), "{told}");
    for len in [30, bytes.len() - 1] {
        let error = damaged(&bytes[..len]);
        assert!(matches!(error, Error::Malformed { offset, .. } if offset <= len as u64), "{error:?}");
        assert!(error.to_string().contains(": part 2: "), "{error}");
    }
    let far = Mapping::join(vec![
        (File::open(path(folder.path(), 1)).unwrap(), 0, None),
        (File::open(path(folder.path(), 3)).unwrap(), 1 << 40, None),
    ]);
    let told = far.unwrap_err().to_string();
    assert!(told.contains("part 2: offset"), "{told}");

    // Any part that is cut off anywhere.
    write(folder.path(), &good);
    for (i, part) in good.iter().enumerate() {
        let bytes = part.write();
        for len in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
            std::fs::write(path(folder.path(), i + 1), &bytes[..len]).unwrap();
            Model::open(path(folder.path(), 1)).map(drop).unwrap_err();
        }
        std::fs::write(path(folder.path(), i + 1), bytes).unwrap();
    }
    Model::open(path(folder.path(), 1)).unwrap();

    // A later part is no beginning, and one that is missing is named.
    let error = Model::open(path(folder.path(), 2)).map(drop).unwrap_err();
    assert!(error.to_string().contains("open the first, ") && matches!(error, Error::Argument(_)), "{error}");
    std::fs::remove_file(path(folder.path(), 3)).unwrap();
    let error = Model::open(path(folder.path(), 1)).map(drop).unwrap_err();
    assert!(
        matches!(error, Error::Io(_)) && error.to_string().contains("tiny-00003-of-00003.gguf"),
        "{error}"
    );
    // The first alone, under another name.
    std::fs::copy(path(folder.path(), 1), folder.path().join("alone.gguf")).unwrap();
    let error = Model::open(folder.path().join("alone.gguf")).map(drop).unwrap_err();
    assert!(error.to_string().contains("split into 3 files, and 1 came"), "{error}");
}
