//! Saved sessions: restored they go on as they would have, and what is damaged or does not fit is an error that changes
//! nothing.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;

use bantam::{Backend, Error, Format, KvFormat, Model, Pool, Session, SessionOptions};

use common::tiny::Tiny;
use common::{Random, bits, model, sized, tokens};

fn shape() -> Tiny {
    Tiny { heads: 2, kv_heads: 1, ..Tiny::new(Format::Q4_0) }
}

fn tiny() -> Model {
    model(shape().bytes(), Backend::detect())
}

fn open(model: &Model, context: usize, kv_format: KvFormat) -> Session {
    let options = SessionOptions { kv_format, ..sized(context, 16) };
    Session::open(model, Arc::new(Pool::new(1).unwrap()), &options).unwrap()
}

fn saved(session: &Session) -> Vec<u8> {
    let mut bytes = vec![0; session.saved_bytes()];
    assert_eq!(session.save_to(&mut bytes), Ok(bytes.len()));
    bytes
}

#[test]
fn a_restored_session_goes_on_as_the_saved_one() {
    let model = tiny();
    let text = tokens(&model, 40);
    let folder = tempfile::tempdir().unwrap();
    for &kv_format in KvFormat::ALL {
        let mut origin = open(&model, 64, kv_format);
        for held in [0, 1, 30] {
            origin.rewind(0);
            if held > 0 {
                origin.prefill(&text[..held]).unwrap();
            }
            let path = folder.path().join("session");
            origin.save(&path).unwrap();
            let bytes = saved(&origin);
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            // Another opening of the same file, with room for more or just enough.
            for context in [held.max(1), 200] {
                let mut restored = open(&tiny(), context, kv_format);
                restored.prefill(&text[..1]).unwrap();
                restored.restore(&path).unwrap();
                assert_eq!(restored.tokens(), origin.tokens());
                assert_eq!(restored.has_logits(), origin.has_logits());
                restored.rewind(0);
                restored.restore_from(&bytes).unwrap();
                assert!(held == 0 || bits(&restored) == bits(&origin));
                if context > 40 {
                    let mut going_on = origin.fork().unwrap();
                    going_on.prefill(&text[held..]).unwrap();
                    restored.prefill(&text[held..]).unwrap();
                    assert!(bits(&restored) == bits(&going_on), "{kv_format:?}, {held} held");
                }
            }
        }
        // Without logits.
        origin.rewind(7);
        let mut restored = open(&model, 7, kv_format);
        restored.restore_from(&saved(&origin)).unwrap();
        assert_eq!((restored.tokens(), restored.has_logits()), (&text[..7], false));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
}

/// Restores into a session that holds something else, and checks that it still does.
fn refused(session: &mut Session, bytes: &[u8]) -> Error {
    let before = (session.tokens().to_vec(), bits(session));
    let error = session.restore_from(bytes).unwrap_err();
    assert_eq!((session.tokens().to_vec(), bits(session)), before, "{error}");
    error
}

#[test]
fn damage_anywhere_is_found() {
    let model = tiny();
    let mut origin = open(&model, 16, KvFormat::F16);
    origin.prefill(&tokens(&model, 9)).unwrap();
    let good = saved(&origin);
    let mut session = open(&model, 16, KvFormat::F16);
    session.prefill(&[1, 2, 3]).unwrap();
    let mut random = Random::new(7);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << random.below(8);
        let error = refused(&mut session, &bytes);
        assert!(matches!(error, Error::Saved(_)), "byte {at}: {error}");
    }
    for len in 0..good.len() {
        assert!(matches!(refused(&mut session, &good[..len]), Error::Saved(_)), "{len} bytes");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(refused(&mut session, &longer), Error::Saved(_)));
    for _ in 0..200 {
        let noise: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        assert!(matches!(refused(&mut session, &noise), Error::Saved(_)));
    }
    session.restore_from(&good).unwrap();
    assert!(bits(&session) == bits(&origin));
}

#[test]
fn what_does_not_fit_is_told_apart() {
    let model_a = tiny();
    let mut origin = open(&model_a, 16, KvFormat::Q8_0);
    origin.prefill(&tokens(&model_a, 9)).unwrap();
    let good = saved(&origin);
    let refused_by = |model: &Model, context, kv_format, bytes: &[u8]| {
        let mut session = open(model, context, kv_format);
        session.prefill(&[1, 2, 3]).unwrap();
        refused(&mut session, bytes)
    };
    let small = refused_by(&model_a, 8, KvFormat::Q8_0, &good);
    assert_eq!(small, Error::ContextFull { needed: 9, context: 8 });
    let other_cache = refused_by(&model_a, 16, KvFormat::F16, &good).to_string();
    assert!(other_cache.contains("q8_0") && other_cache.contains("f16"), "{other_cache}");
    let mut version = good.clone();
    version[8] = 9;
    assert!(refused_by(&model_a, 16, KvFormat::Q8_0, &version).to_string().contains("version 9"));

    // Another format, another vocabulary's name, other weights: each is another model.
    let mut renamed = shape().gguf();
    renamed.set("general.name", "another");
    let mut weights = shape().bytes();
    let at = weights.len() * 3 / 4;
    weights[at..].iter_mut().for_each(|byte| *byte ^= 0x10);
    let formats = Tiny { format: Format::Q4_1, ..shape() }.bytes();
    for bytes in [renamed.write(), weights, formats] {
        let other = model(bytes, Backend::detect());
        assert_ne!(other.fingerprint(), model_a.fingerprint());
        let error = refused_by(&other, 16, KvFormat::Q8_0, &good).to_string();
        assert!(error.contains("another model"), "{error}");
    }
    assert_eq!(tiny().fingerprint(), model_a.fingerprint());
}

#[test]
fn files_that_cannot_be_written_or_read_are_named() {
    let mut session = open(&tiny(), 8, KvFormat::F16);
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no/such/folder");
    for error in [session.save(&nowhere).unwrap_err(), session.restore(&nowhere).unwrap_err()] {
        assert!(matches!(error, Error::Io(_)) && error.to_string().contains("no/such/folder"), "{error}");
    }
    // A link stays one.
    #[cfg(unix)]
    {
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        session.save(&link).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), saved(&session));
    }
    assert!(session.restore(folder.path()).unwrap_err().to_string().contains("not a file"));
    // A folder in the file's place stays, and nothing is left beside it.
    assert!(matches!(session.save(folder.path()), Err(Error::Io(_))));
    assert!(folder.path().is_dir());
    assert!(matches!(session.save_to(&mut [0; 10]), Err(Error::Argument(_))));
}

/// The checksum as its documentation describes it: whoever wants to deceive can make it.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    const A: u64 = 0xc2b2_ae3d_27d4_eb4f;
    const B: u64 = 0x9e37_79b1_85eb_ca87;
    let end = bytes.len() - 8;
    let mut padded = bytes[..end].to_vec();
    padded.resize(end.next_multiple_of(8), 0);
    if end.is_multiple_of(8) {
        padded.extend([0; 8]);
    }
    padded.extend((end as u64).to_le_bytes());
    let mut hash = B;
    for word in padded.as_chunks::<8>().0 {
        hash = hash.wrapping_add(u64::from_le_bytes(*word).wrapping_mul(A)).rotate_left(31).wrapping_mul(B);
    }
    let hash = (hash ^ hash >> 32).wrapping_mul(A);
    bytes[end..].copy_from_slice(&(hash ^ hash >> 29).to_le_bytes());
    bytes
}

#[test]
fn a_forged_session_does_no_harm() {
    let model = tiny();
    let mut origin = open(&model, 16, KvFormat::F16);
    origin.prefill(&tokens(&model, 9)).unwrap();
    let good = saved(&origin);
    assert_eq!(signed(good.clone()), good);
    let with = |at: usize, bytes: &[u8]| {
        let mut forged = good.clone();
        forged[at..][..bytes.len()].copy_from_slice(bytes);
        signed(forged)
    };
    let mut session = open(&model, 16, KvFormat::F16);
    session.prefill(&[1, 2, 3]).unwrap();
    // Counts of positions and logits that the bytes do not have.
    for count in [0, 8, 10, 1 << 20, 1 << 40, u64::MAX / 4, u64::MAX] {
        for at in [32, 40] {
            let error = refused(&mut session, &with(at, &count.to_le_bytes()));
            assert!(matches!(error, Error::Saved(_) | Error::ContextFull { .. }), "{error}");
        }
    }
    // A token that is none: what was there is overwritten by then, and forgotten.
    let error = session.restore_from(&with(56, &u32::MAX.to_le_bytes())).unwrap_err();
    assert!(error.to_string().contains("outside the vocabulary"), "{error}");
    assert_eq!((session.position(), session.has_logits()), (0, false));
    session.prefill(&[1, 2, 3]).unwrap();
    // Keys, values and logits that are no numbers: nothing can be chosen, and nothing else fails.
    let mut noise = good.clone();
    noise[56 + 36..].fill(0xff);
    session.restore_from(&signed(noise)).unwrap();
    let mut sampler = bantam::Sampler::new(bantam::SamplerOptions::default()).unwrap();
    let error = session.sample(&mut sampler).unwrap_err();
    assert!(matches!(error, Error::Inconsistent(_)), "{error}");
    session.decode(4).unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    session.shift(1, 5).unwrap();
}
