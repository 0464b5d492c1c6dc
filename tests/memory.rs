//! Where a session's memory is: in a buffer of the caller's, given back while it is not used, or in a file; and which pages of a
//! model are in memory.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use bantam::gguf;
use bantam::mmap::Mapping;
use bantam::{Backend, Buffer, Error, Format, KvFormat, Model, Pool, Session, SessionOptions};

use common::gguf::{Gguf, Meta};
use common::tiny::Tiny;
use common::{bits, model, sized, tokens};

fn tiny() -> Model {
    model(Tiny { heads: 2, kv_heads: 1, ..Tiny::new(Format::Q4_0) }.bytes(), Backend::detect())
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(2).unwrap())
}

/// Memory of `len` bytes at a multiple of 64, and `off` bytes behind that, with other bytes than zeros.
fn buffer(len: usize, off: usize) -> Buffer {
    let bytes = vec![0xa5_u8; len + 256];
    let start = bytes.as_ptr().addr().wrapping_neg() % Buffer::ALIGN + off;
    Buffer::leak(bytes).skip(start, len)
}

#[test]
fn a_session_in_a_buffer_computes_what_one_on_the_heap_does() {
    let model = tiny();
    let tokens = tokens(&model, 50);
    for &kv_format in KvFormat::ALL {
        let options = SessionOptions { kv_format, ..sized(64, 16) };
        let bytes = Session::plan(&model, &options, 2).unwrap().total_bytes();
        let mut lent = Session::open_in(&model, pool(), &options, buffer(bytes, 0)).unwrap();
        let mut own = Session::open(&model, pool(), &options).unwrap();
        for session in [&mut lent, &mut own] {
            session.prefill(&tokens).unwrap();
        }
        assert_eq!((bits(&lent), lent.memory()), (bits(&own), own.memory()));
        // It is the caller's, and stays.
        assert_eq!(lent.trim(), 0);
        let short = Session::open_in(&model, pool(), &options, buffer(bytes - 64, 0)).err().unwrap();
        assert!(matches!(short, Error::Memory { .. }), "{short}");
        let crooked = Session::open_in(&model, pool(), &options, buffer(bytes, 8)).err().unwrap();
        assert!(matches!(crooked, Error::Argument(_)), "{crooked}");
    }
}

#[test]
fn memory_given_back_changes_nothing() {
    let model = tiny();
    let tokens = tokens(&model, 400);
    let options = sized(1024, 256);
    let mut session = Session::open(&model, pool(), &options).unwrap();
    let mut untouched = Session::open(&model, pool(), &options).unwrap();
    for part in tokens.chunks(100) {
        session.prefill(part).unwrap();
        untouched.prefill(part).unwrap();
        let before = bits(&session);
        session.trim();
        assert_eq!(bits(&session), before);
        assert_eq!(bits(&session), bits(&untouched));
    }
}

#[test]
fn what_was_spilled_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spilled");
    let model = tiny();
    let tokens = tokens(&model, 300);
    let mut session = Session::open(&model, pool(), &sized(1024, 64)).unwrap();
    session.prefill(&tokens).unwrap();
    let before = bits(&session);
    assert!(session.spill(&path).unwrap() > 0);
    assert!(session.is_spilled() && session.tokens() == tokens);
    // What needs the memory is refused, and changes nothing.
    assert!(matches!(session.decode(tokens[0]), Err(Error::Argument(_))));
    assert!(matches!(session.shift(1, 1), Err(Error::Argument(_))));
    assert!(matches!(session.fork().map(drop), Err(Error::Argument(_))));
    assert!(matches!(session.save(folder.path().join("other")), Err(Error::Argument(_))));
    session.recall().unwrap();
    assert!(!session.is_spilled() && !path.exists());
    assert_eq!(bits(&session), before);
    session.recall().unwrap();

    // A file that is gone is an error as often as it is asked for, until what was spilled is given up.
    session.spill(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(session.recall(), Err(Error::Io(_))));
        assert_eq!(session.position(), tokens.len());
    }
    session.rewind(0);
    session.prefill(&tokens).unwrap();
    assert_eq!(bits(&session), before);

    // One that is damaged, too; and rewinding while it is away is no loss.
    session.spill(&path).unwrap();
    session.rewind(200);
    session.recall().unwrap();
    assert_eq!(session.position(), 200);
    session.prefill(&tokens[200..]).unwrap();
    assert_eq!(bits(&session), before);
    session.spill(&path).unwrap();
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[100] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(matches!(session.recall(), Err(Error::Saved(_))));
    // The file goes with the session.
    drop(session);
    assert!(!path.exists());
}

#[test]
fn a_session_takes_back_what_it_wrote_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spilled");
    let model = tiny();
    let tokens = tokens(&model, 30);
    let mut one = Session::open(&model, pool(), &sized(64, 16)).unwrap();
    let mut two = Session::open(&model, pool(), &sized(64, 16)).unwrap();
    one.prefill(&tokens[..20]).unwrap();
    two.prefill(&tokens[15..]).unwrap();
    let before = bits(&two);
    // The second one's file has replaced the first one's.
    one.spill(&path).unwrap();
    two.spill(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(one.recall(), Err(Error::Saved(_))));
        assert_eq!(one.tokens(), &tokens[..20]);
    }
    // Giving up what is lost does not remove what is another's.
    one.rewind(0);
    one.prefill(&tokens[..3]).unwrap();
    drop(one);
    two.recall().unwrap();
    assert_eq!((two.tokens(), bits(&two)), (&tokens[15..], before));
    assert!(!path.exists());
    // Something that is no saved session at all stays, too.
    two.spill(&path).unwrap();
    std::fs::write(&path, b"notes").unwrap();
    assert!(matches!(two.recall(), Err(Error::Saved(_))));
    drop(two);
    assert_eq!(std::fs::read(&path).unwrap(), b"notes");
}

/// Runs alone in its process, since the working directory is the process's.
#[test]
fn a_spilled_session_is_found_from_another_working_directory() {
    const NAME: &str = "a_spilled_session_is_found_from_another_working_directory";
    if std::env::var_os("BANTAM_TEST_ALONE").is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let alone = alone.args(["--exact", NAME]).env("BANTAM_TEST_ALONE", "1").output().unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    let mut session = Session::open(&tiny(), pool(), &sized(64, 16)).unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    session.spill("spilled").unwrap();
    assert!(folder.path().join("spilled").exists());
    std::env::set_current_dir("/").unwrap();
    session.recall().unwrap();
    session.decode(4).unwrap();
    assert_eq!(session.tokens(), [1, 2, 3, 4]);
}

#[cfg(unix)]
#[test]
fn what_is_not_a_file_is_not_replaced_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut session = Session::open(&tiny(), pool(), &sized(64, 16)).unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    for path in [folder.path(), &socket] {
        assert!(matches!(session.save(path), Err(Error::Io(_))));
        assert!(matches!(session.spill(path), Err(Error::Io(_))));
        assert!(!session.is_spilled() && !std::fs::metadata(path).unwrap().is_file());
    }
}

#[test]
fn a_cancelled_save_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session");
    let model = tiny();
    let tokens = tokens(&model, 30);
    let mut session = Session::open(&model, pool(), &sized(64, 16)).unwrap();
    session.prefill(&tokens[..20]).unwrap();
    session.save(&path).unwrap();
    let saved = std::fs::read(&path).unwrap();
    session.prefill(&tokens[20..]).unwrap();
    session.cancel().cancel();
    assert_eq!(session.save(&path), Err(Error::Cancelled));
    assert_eq!(std::fs::read(&path).unwrap(), saved);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn pages_are_read_ahead_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, Tiny::new(Format::F32).bytes()).unwrap();
    let model = Model::open(&path).unwrap();
    let mapping = model.file().mapping();
    let mut told = Vec::new();
    mapping
        .warm(|done, all| {
            told.push((done, all));
            true
        })
        .unwrap();
    let len = mapping.bytes().len();
    assert_eq!(told.first(), Some(&(0, len)));
    assert_eq!(told.last(), Some(&(len, len)));
    assert_eq!(mapping.resident_bytes(), Ok(len));
    assert_eq!(mapping.warm(|_, _| false), Err(Error::Cancelled));
    // A file that was cut short is told, and not read.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    assert!(matches!(mapping.warm(|_, _| true), Err(Error::Changed(_))));
}

/// A vocabulary is an array of hundreds of thousands of texts, and a model has dozens of keys: opening takes time that grows with the
/// file only as long as finding a key reads no array again.
#[test]
fn a_key_is_found_without_reading_any_array_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut written = Gguf::new();
    written.set("before", 1).set("texts", Meta::strings(["a text"; 100])).set("behind", 2);
    std::fs::write(&path, written.write()).unwrap();
    let file = gguf::File::open(Mapping::open(&path).unwrap()).unwrap();
    let texts = file.array("texts", gguf::Kind::String).unwrap().unwrap();
    assert_eq!((texts.len(), texts.iter().count()), (100, 100));
    // From here on whoever reads an element gets a length that cannot be.
    let mut disk = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    disk.seek(SeekFrom::Start(texts.place() as u64)).unwrap();
    disk.write_all(&[0xff; 100 * (8 + 6)]).unwrap();
    assert_eq!(texts.iter().count(), 0);
    let found = file.array("texts", gguf::Kind::String).unwrap().unwrap();
    assert_eq!(found.len(), 100);
    assert_eq!((file.u32("before"), file.u32("behind")), (Ok(Some(1)), Ok(Some(2))));
}
