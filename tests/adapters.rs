//! Adapters: tiny models with them against llama.cpp's logits (`tests/golden/logits/adapters.json`); what sessions do when they
//! are set, changed and taken away; and what is refused, and how.

mod common;

use bantam::{Adapter, Backend, Error, Model, Session, SessionOptions};
use common::adapters::{Adapted, MAKE, Make, adapted, adapter, logits, open, plain, session, set};
use common::bits;
use common::dequantized::dequantized;
use common::gguf::Gguf;
use common::reference::{Golden, nmse, read};
use common::tiny::Tiny;

use bantam::Format;

/// Mean square error of a model and adapters in floats, in units of the expected logits' mean square.
const FLOATS_NMSE_MAX: f64 = 1e-5;
/// How much further from the F32 form than llama.cpp quantised ones may be, in mean square.
const QUANTISED_MAX: f64 = 3.0;

/// All models with what llama.cpp makes of them.
fn pairs() -> Vec<(Adapted, Golden)> {
    let mut golden = read("logits/adapters.json");
    let models = adapted();
    assert_eq!(models.len(), golden.len(), "`make golden` writes the golden file anew");
    let of_name = |adapted: Adapted| {
        let at = golden.iter().position(|golden| golden.name == adapted.name).expect(adapted.name);
        (adapted, golden.swap_remove(at))
    };
    models.into_iter().map(of_name).collect()
}

/// Whether nothing is rounded to less than halves: of an adapter in BF16, llama.cpp rounds the input as well.
fn in_floats(file: &Gguf) -> bool {
    file.tensors.iter().all(|tensor| [0, 1].contains(&tensor.kind))
}

/// The F32 forms of a model and its adapters.
fn exact(model: &Model, adapters: &[(Adapter, f32)]) -> (Model, Vec<(Adapter, f32)>) {
    let exact = Model::from_bytes(dequantized(model.file())).unwrap();
    let of = |(adapter, scale): &(Adapter, f32)| {
        (Adapter::from_bytes(&exact, dequantized(adapter.file())).unwrap(), *scale)
    };
    let adapters = adapters.iter().map(of).collect();
    (exact, adapters)
}

#[test]
fn adapted_models_have_llama_cpps_logits() {
    let mut failed = Vec::new();
    for (Adapted { name, model, adapters }, golden) in pairs() {
        let floats = in_floats(&model) && adapters.iter().all(|(file, _)| in_floats(file));
        for backend in Backend::available() {
            let model = common::model(model.write(), backend);
            let adapters = open(&model, &adapters);
            let bare = logits(&mut session(&model, 2, 32, &[]), &golden);
            let changed = nmse(&bare, &golden.every_3rd);
            assert!(changed > 0.01, "{name}: adapters that change nothing prove nothing ({changed:.1e})");
            for batch in [128, 5] {
                let ours = logits(&mut session(&model, 2, batch, &adapters), &golden);
                let error = nmse(&ours, &golden.every_3rd);
                let backend = backend.name();
                if floats {
                    println!(
                        "{name} on {backend}, {batch}: nmse {error:.1e}, without adapters {changed:.1e}"
                    );
                    if error.is_nan() || error > FLOATS_NMSE_MAX {
                        failed.push((name, backend, batch, error));
                    }
                    continue;
                }
                let (model, adapters) = exact(&model, &adapters);
                let exact = logits(&mut session(&model, 2, batch, &adapters), &golden);
                let (ours, theirs) = (nmse(&ours, &exact), nmse(&golden.every_3rd, &exact));
                println!("{name} on {backend}: nmse from F32 {ours:.1e}, llama.cpp's {theirs:.1e}");
                if ours.is_nan() || ours > QUANTISED_MAX * theirs || theirs > 1e-2 {
                    failed.push((name, backend, batch, ours));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn without_its_adapters_a_session_computes_what_it_did_before() {
    for (Adapted { name, model, adapters }, golden) in pairs() {
        let model = Model::from_bytes(model.write()).unwrap();
        let adapters = open(&model, &adapters);
        let mut with = session(&model, 2, 16, &adapters);
        let mut without = session(&model, 2, 16, &[]);
        with.prefill(&golden.ids).unwrap();
        without.prefill(&golden.ids).unwrap();
        assert!(bits(&with) != bits(&without), "{name}");
        let adapted = bits(&with);
        with.set_adapters(&[]).unwrap();
        assert_eq!(with.position(), 0, "what was held was computed with the adapters");
        with.prefill(&golden.ids).unwrap();
        assert!(bits(&with) == bits(&without), "{name}: removed");
        let none: Vec<_> = adapters.iter().map(|(adapter, _)| (adapter, 0.0)).collect();
        with.set_adapters(&none).unwrap();
        assert_eq!(with.position(), golden.ids.len(), "a scale of 0 is none");
        set(&mut with, &adapters);
        with.prefill(&golden.ids).unwrap();
        assert!(bits(&with) == adapted, "{name}: set again");
        set(&mut with, &adapters);
        assert_eq!(with.position(), golden.ids.len(), "the same adapters change nothing");
    }
}

#[test]
fn adapted_tokens_have_the_same_bits_for_any_threads_and_batches_and_together() {
    for (Adapted { name, model, adapters }, golden) in pairs() {
        let model = Model::from_bytes(model.write()).unwrap();
        let adapters = open(&model, &adapters);
        let mut alone = session(&model, 1, 1, &adapters);
        alone.prefill(&golden.ids[..45]).unwrap();
        for (threads, batch) in [(1, 16), (2, 7), (3, 16), (5, 12)] {
            let mut other = session(&model, threads, batch, &adapters);
            other.prefill(&golden.ids[..45]).unwrap();
            assert!(bits(&other) == bits(&alone), "{name}: {threads} threads, batches of {batch}");
        }
        let (mut wide, mut wider) = (session(&model, 1, 64, &adapters), session(&model, 3, 64, &adapters));
        wide.prefill(&golden.ids[..60]).unwrap();
        wider.prefill(&golden.ids[..60]).unwrap();
        assert!(bits(&wide) == bits(&wider), "{name}: wide batches");
        let (mut one, mut two) = (session(&model, 2, 16, &adapters), session(&model, 2, 16, &adapters));
        one.prefill(&golden.ids[5..35]).unwrap();
        two.prefill(&golden.ids[..45]).unwrap();
        for &token in &golden.generated[..4] {
            Session::decode_together(&mut [&mut one, &mut two], &[token, token]).unwrap();
            alone.decode(token).unwrap();
            assert!(bits(&two) == bits(&alone), "{name}: together");
        }
    }
}

/// The tiny llama and an adapter of it.
fn tiny() -> (Gguf, Gguf) {
    let model = plain(Tiny { tied: false, ..Tiny::new(Format::F32) });
    let added = adapter(&model, MAKE, &["blk."]);
    (model, added)
}

#[test]
fn sessions_are_saved_forked_and_copied_with_their_adapters() {
    let (model, added) = tiny();
    let model = Model::from_bytes(model.write()).unwrap();
    let adapters = open(&model, &[(added, 0.5)]);
    let mut with = session(&model, 1, 16, &adapters);
    with.prefill(&[1, 2, 3]).unwrap();
    let mut fork = with.fork().unwrap();
    assert_eq!(fork.adapters().count(), 1);
    let mut saved = vec![0; with.saved_bytes()];
    with.save_to(&mut saved).unwrap();
    let mut restored = session(&model, 1, 16, &adapters);
    restored.restore_from(&saved).unwrap();
    for session in [&mut with, &mut fork, &mut restored] {
        session.decode(4).unwrap();
    }
    assert!(bits(&with) == bits(&fork) && bits(&with) == bits(&restored));

    restored.set_adapters(&[(&adapters[0].0, 0.6)]).unwrap();
    let error = restored.restore_from(&saved).unwrap_err();
    assert!(matches!(error, Error::Saved(text) if text.as_str().contains("other adapters")), "{error}");
    let error = Session::decode_together(&mut [&mut with, &mut restored], &[1, 1]).unwrap_err();
    assert!(error.to_string().contains("different adapters"), "{error}");

    let mut without = session(&model, 1, 16, &[]);
    let error = without.copy_from(&with).unwrap_err();
    assert!(error.to_string().contains("adapter_rank of 4"), "{error}");
    restored.copy_from(&with).unwrap();
    assert!(bits(&restored) == bits(&with));
    restored.decode(9).unwrap();
    with.decode(9).unwrap();
    assert!(bits(&restored) == bits(&with));
}

/// What opening a changed adapter says.
fn refused(change: impl FnOnce(&mut Gguf)) -> String {
    let (model, mut added) = tiny();
    change(&mut added);
    let model = Model::from_bytes(model.write()).unwrap();
    match Adapter::from_bytes(&model, added.write()) {
        Ok(adapter) => panic!("{adapter:?} was opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_does_not_fit_is_named_with_both_shapes() {
    let error = refused(|file| {
        let tensor = file.tensor("blk.0.attn_q.weight.lora_a");
        tensor.shape = vec![32, 8];
    });
    for part in ["blk.0.attn_q.weight.lora_a", "[32, 8]", "[64, 64]", "[64, 4]"] {
        assert!(error.contains(part), "{error}");
    }
    // A file in which A was not turned, and one for a narrower model.
    let error = refused(|file| file.tensor("blk.1.ffn_up.weight.lora_b").shape = vec![96, 4]);
    assert!(error.contains("blk.1.ffn_up.weight.lora_"), "{error}");
    let error = refused(|file| file.tensor("blk.0.attn_q.weight.lora_b").name = "blk.0.x.lora_b".into());
    assert!(error.contains("no counterpart"), "{error}");
    let error = refused(|file| {
        for end in ["a", "b"] {
            file.tensor(&format!("blk.0.attn_q.weight.lora_{end}")).name =
                format!("blk.7.attn_q.weight.lora_{end}");
        }
    });
    assert!(error.contains("blk.7.attn_q.weight") && error.contains("another model"), "{error}");
    let error = refused(|file| file.tensor("blk.0.attn_q.weight.lora_a").name = "blk.0.attn_q.bias".into());
    assert!(error.contains("blk.0.attn_q"), "{error}");
}

#[test]
fn what_is_no_adapter_of_the_model_is_refused() {
    let kind = |key: &'static str, value: &'static str| {
        refused(move |file| {
            file.set(key, value);
        })
    };
    assert!(kind("general.type", "model").contains("no adapter"));
    assert!(kind("adapter.type", "control").contains("\"control\""));
    assert!(kind("general.architecture", "qwen2").contains("\"qwen2\""));
    let error = refused(|file| {
        file.set("adapter.alora.invocation_tokens", 1);
    });
    assert!(error.contains("activated by tokens"), "{error}");
    let error = refused(|file| {
        file.set("adapter.lora.alpha", f32::NAN);
    });
    assert!(error.contains("adapter.lora.alpha"), "{error}");
    let error = refused(|file| file.tensors.clear());
    assert!(error.contains("no pairs"), "{error}");

    let (model, added) = tiny();
    let error = Model::from_bytes(added.write()).unwrap_err();
    assert!(error.to_string().contains("is an adapter"), "{error}");
    let open_model = Model::from_bytes(model.write()).unwrap();
    let error = Adapter::from_bytes(&open_model, model.write()).unwrap_err();
    assert!(error.to_string().contains("is no adapter"), "{error}");
    let error = Adapter::from_bytes(&open_model, vec![0; 64]).unwrap_err();
    assert!(matches!(error, Error::NotGguf(..)), "{error}");
}

/// Gains that came with an adapter are left out, as llama.cpp leaves them out.
#[test]
fn norms_of_an_adapter_are_left_out() {
    let (model, mut added) = tiny();
    let norm = model.tensors.iter().find(|tensor| tensor.name.ends_with("attn_norm.weight")).unwrap();
    added.tensors.push(norm.clone());
    let model = Model::from_bytes(model.write()).unwrap();
    Adapter::from_bytes(&model, added.write()).unwrap();
}

#[test]
fn a_session_refuses_what_it_has_no_room_for() {
    let (model, added) = tiny();
    let open_model = Model::from_bytes(model.write()).unwrap();
    let more = adapter(&model, Make { seed: 3, rank: 2, ..MAKE }, &["attn_v"]);
    let adapters = open(&open_model, &[(added.clone(), 1.0), (more, 1.0)]);
    let mut small = session(&open_model, 1, 4, &adapters[..1]);
    small.prefill(&[1, 2]).unwrap();
    let both = [(&adapters[0].0, 1.0), (&adapters[1].0, 1.0)];
    let error = small.set_adapters(&both).unwrap_err();
    assert!(
        error.to_string().contains("sum up to 6") && error.to_string().contains("adapter_rank of 6"),
        "{error}"
    );
    assert_eq!(small.position(), 2, "nothing has happened");
    let error = small.set_adapters(&[(&adapters[0].0, f32::INFINITY)]).unwrap_err();
    assert!(error.to_string().contains("inf"), "{error}");
    let other = Model::from_bytes(model.write()).unwrap();
    let foreign = open(&other, &[(added, 1.0)]);
    let error = small.set_adapters(&[(&foreign[0].0, 1.0)]).unwrap_err();
    assert!(error.to_string().contains("another model"), "{error}");
    let many = [(&adapters[1].0, 1.0); 9];
    let error = small.set_adapters(&many).unwrap_err();
    assert!(error.to_string().contains("9 adapters"), "{error}");

    // Room is counted, and none is taken where none was asked for.
    let plan = |adapter_rank| {
        let options = SessionOptions { adapter_rank, ..common::sized(64, 16) };
        Session::plan(&open_model, &options, 1).unwrap().total_bytes()
    };
    assert!(plan(4) > plan(0) && plan(64) > plan(4));
    assert!(plan(usize::MAX / 1024) > 1 << 40);
}

/// An adapter keeps its model and its file, and a session its adapters.
#[test]
fn adapters_outlive_what_they_were_opened_from() {
    let (model, added) = tiny();
    let opened = Model::from_bytes(model.write()).unwrap();
    let adapters = open(&opened, &[(added, 1.0)]);
    let mut session = session(&opened, 1, 4, &adapters);
    session.prefill(&[1, 2, 3]).unwrap();
    let before = bits(&session);
    drop((adapters, opened));
    session.rewind(0);
    session.prefill(&[1, 2, 3]).unwrap();
    assert!(bits(&session) == before);
}

/// Whatever an adapter's file holds, opening and using it is an answer or an error.
#[test]
fn damaged_adapters_are_errors_or_adapters() {
    let (model, added) = tiny();
    let model = Model::from_bytes(model.write()).unwrap();
    let whole = added.write();
    let header = whole.len() - added.tensors.iter().map(|tensor| tensor.bytes.len()).sum::<usize>();
    let mut random = common::Random::new(5);
    let (mut opened, mut refused) = (0, 0);
    let mut try_it = |bytes: Vec<u8>| match Adapter::from_bytes(&model, bytes) {
        Ok(adapter) if adapter.rank() <= 64 => {
            opened += 1;
            let mut session = session(&model, 1, 8, &[(adapter, 1.0)]);
            session.prefill(&[1, 2, 3]).unwrap();
        }
        _ => refused += 1,
    };
    for len in (0..whole.len()).step_by(97) {
        try_it(whole[..len].to_vec());
    }
    for _ in 0..1500 {
        let mut bytes = whole.clone();
        let at = random.below(header);
        bytes[at] = if random.below(2) == 0 { random.bits() as u8 } else { bytes[at] ^ 1 << random.below(8) };
        try_it(bytes);
    }
    println!("{opened} were opened, {refused} refused");
    assert!(opened > 0 && refused > 0);
}

/// Not a test: writes the models and adapters into the folder `MODELS`, for llama.cpp. `make golden` runs it.
#[test]
#[ignore = "writes files for `make golden`"]
fn write_the_files() {
    let folder = std::path::PathBuf::from(std::env::var_os("MODELS").expect("MODELS names a folder"));
    std::fs::create_dir_all(&folder).unwrap();
    for Adapted { name, model, adapters } in adapted() {
        std::fs::write(folder.join(name).with_extension("gguf"), model.write()).unwrap();
        for (i, (file, scale)) in adapters.iter().enumerate() {
            std::fs::write(folder.join(format!("{name}.{i}.lora")), file.write()).unwrap();
            std::fs::write(folder.join(format!("{name}.{i}.scale")), scale.to_string()).unwrap();
        }
    }
}
