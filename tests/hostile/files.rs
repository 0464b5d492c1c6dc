//! Where a model comes from: files that are cut short while they are mapped, parts of larger files, what is no file, and
//! memory of every owner.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bantam::{Error, Model, Pool, Session};

use crate::TINY;
use crate::common::gguf::{Meta, Tensor};
use crate::common::{bits, session, sized, tokens};

/// A path that no other test uses.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// Writes a file and opens it to read.
fn written(name: &str, bytes: &[u8]) -> (PathBuf, File) {
    let path = path(name);
    std::fs::write(&path, bytes).unwrap();
    let file = File::open(&path).unwrap();
    (path, file)
}

/// The bits of the logits behind a few tokens.
fn answer(model: &Model) -> Vec<u32> {
    let mut session = session(model, 1, 32, 8);
    session.prefill(&tokens(model, 12)).unwrap();
    bits(&session)
}

#[test]
fn a_file_cut_short_while_it_is_mapped_is_noticed() {
    let mut file = TINY.gguf();
    // Opening a session reads these from the mapping.
    let divisors = (0..8).flat_map(|_| 2f32.to_le_bytes()).collect();
    let rope =
        Tensor { name: "rope_freqs.weight".into(), shape: vec![8], kind: 0, bytes: divisors, offset: None };
    file.tensors.push(rope);
    let bytes = file.write();
    let (path, _) = written("cut", &bytes);
    let model = Model::open(&path).unwrap();
    let tokens = tokens(&model, 12);
    let mut open = session(&model, 1, 64, 8);
    open.prefill(&tokens).unwrap();
    let before = bits(&open);

    let cut = File::options().write(true).open(&path).unwrap();
    for len in [bytes.len() as u64 - 1, 1] {
        cut.set_len(len).unwrap();
        let changed = |error: Error| {
            assert!(matches!(error, Error::Changed(_)), "{error:?}");
            assert!(error.to_string().contains(&format!("{len} bytes")), "{error}");
        };
        changed(open.prefill(&tokens).unwrap_err());
        changed(open.score_each(&tokens, |_, _| {}).unwrap_err());
        changed(Session::open(&model, Arc::new(Pool::new(1).unwrap()), &sized(32, 8)).map(drop).unwrap_err());
        assert_eq!(open.position(), tokens.len(), "nothing has happened");
        assert_eq!(bits(&open), before, "what was answered stays");
    }
    std::fs::write(&path, &bytes).unwrap();
    open.rewind(0);
    open.prefill(&tokens).unwrap();
    assert_eq!(bits(&open), before, "with its bytes back, the session goes on");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_part_of_a_larger_file() {
    let bytes = TINY.bytes();
    let expected = answer(&Model::from_bytes(bytes.clone()).unwrap());
    for offset in [0, 4, 32, 4092, 4096, 8196, 1, 2, 3, 4097] {
        let mut archive = vec![0xa5; offset];
        archive.extend(&bytes);
        archive.extend([0xa5; 100]);
        let (path, mut file) = written("archive", &archive);
        // Where the handle stands does not matter.
        file.seek(SeekFrom::End(0)).unwrap();
        for length in [Some(bytes.len() as u64), None] {
            let model = Model::from_file(&file, offset as u64, length);
            if offset % 4 == 0 {
                let model = model.unwrap();
                // The handle may be closed and the name taken away.
                drop(file.try_clone().unwrap());
                assert_eq!(answer(&model), expected, "offset {offset}");
                assert!(model.file().mapping().is_file_backed());
            } else {
                let error = model.unwrap_err();
                assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
                assert!(error.to_string().contains("attn_norm"), "{error}");
                assert!(error.to_string().contains("multiple of 4"), "{error}");
            }
        }
        let model = Model::from_file(&file, 0, None);
        assert_eq!(model.is_ok(), offset == 0, "what stands before the model is no model");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_handle_may_be_closed_and_a_name_removed() {
    let bytes = TINY.bytes();
    let (path, file) = written("closed", &bytes);
    let model = Model::from_file(&file, 0, None).unwrap();
    drop(file);
    std::fs::remove_file(path).unwrap();
    assert_eq!(answer(&model), answer(&Model::from_bytes(bytes).unwrap()));
}

#[test]
fn a_range_outside_the_file_is_an_error() {
    let bytes = TINY.bytes();
    let (path, file) = written("range", &bytes);
    let size = bytes.len() as u64;
    let past = [
        (0, Some(size + 1)),
        (size + 1, None),
        (u64::MAX, Some(u64::MAX)),
        (1, Some(u64::MAX)),
        (size, Some(1)),
    ];
    for (offset, length) in past {
        let error = Model::from_file(&file, offset, length).unwrap_err();
        assert!(matches!(error, Error::Argument(_)), "{error:?}");
        assert!(error.to_string().contains(&size.to_string()), "{error}");
    }
    for (offset, length) in [(size, None), (0, Some(0)), (5, Some(0))] {
        let error = Model::from_file(&file, offset, length).unwrap_err();
        assert!(matches!(error, Error::NotGguf(_)), "{error:?}");
    }
    // Too short is cut off, not out of range.
    let error = Model::from_file(&file, 0, Some(size - 1)).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_no_file_is_an_error_that_says_so() {
    let fails = |path: &std::path::Path, word: &str| {
        let error = Model::open(path).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        error
    };
    let missing = fails(&path("missing"), "missing");
    assert!(matches!(missing, Error::Io(_)));
    let directory = fails(&std::env::temp_dir(), "directory");
    assert!(matches!(directory, Error::NotAFile(_)));
    let (empty, _) = written("empty", b"");
    assert!(matches!(fails(&empty, "empty"), Error::NotGguf(_)));
    let (text, _) = written("text.gguf", b"Once upon a time\n");
    assert!(matches!(fails(&text, "not a GGUF file"), Error::NotGguf(_)));
    std::fs::remove_file(empty).unwrap();
    std::fs::remove_file(text).unwrap();
}

#[cfg(unix)]
#[test]
fn a_pipe_is_an_error_and_not_waited_for() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"GGUF").unwrap();
    let reader = File::from(std::os::fd::OwnedFd::from(reader));
    let error = Model::from_file(&reader, 0, None).unwrap_err();
    assert!(matches!(error, Error::NotAFile(_)) && error.to_string().contains("pipe"), "{error}");

    let path = path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: mkfifo is missing");
        return;
    }
    // Nobody writes to it, so opening it would wait for ever.
    let (sender, receiver) = std::sync::mpsc::channel();
    let fifo = path.clone();
    std::thread::spawn(move || sender.send(Model::open(fifo).map(drop)));
    let error = receiver.recv_timeout(Duration::from_secs(10)).expect("not to wait").unwrap_err();
    assert!(matches!(error, Error::NotAFile(_)) && error.to_string().contains("pipe"), "{error}");
    let device = Model::open("/dev/zero").unwrap_err();
    assert!(matches!(device, Error::NotAFile(_)) && device.to_string().contains("device"), "{device}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn memory_of_every_owner() {
    /// Bytes that lie inside their owner, so that they move when it does.
    struct Inside([u8; 1 << 16], usize);

    impl AsRef<[u8]> for Inside {
        fn as_ref(&self) -> &[u8] {
            &self.0[..self.1]
        }
    }

    /// An owner whose answer changes: only the first counts.
    struct Fickle(Vec<u8>, std::sync::atomic::AtomicBool);

    impl AsRef<[u8]> for Fickle {
        fn as_ref(&self) -> &[u8] {
            let asked = self.1.swap(true, std::sync::atomic::Ordering::Relaxed);
            if asked { &[] } else { &self.0 }
        }
    }

    let bytes = TINY.bytes();
    let lent: &'static [u8] = bytes.clone().leak();
    let arc: Arc<[u8]> = bytes.clone().into();
    let mut inside = Inside([0; 1 << 16], bytes.len());
    inside.0[..bytes.len()].copy_from_slice(&bytes);
    let expected = answer(&Model::from_bytes(bytes.clone()).unwrap());
    let models = [
        Model::from_bytes(lent),
        Model::from_bytes(arc.clone()),
        Model::from_bytes(bytes.clone().into_boxed_slice()),
        Model::from_bytes(inside),
        Model::from_bytes(Fickle(bytes, false.into())),
    ];
    for model in models {
        let model = model.unwrap();
        assert_eq!(answer(&model), expected);
        assert!(!model.file().mapping().is_file_backed());
    }
    assert_eq!(Arc::strong_count(&arc), 1, "the owner was given back");
    // The metadata can be read as well.
    let mut file = TINY.gguf();
    assert!(matches!(file.value("general.name"), Meta::String(name) if name == b"tiny"));
}
