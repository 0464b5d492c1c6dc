//! What has gone wrong in other readers, one by one: each is the error that it should be, and the message names the
//! tensor, the key or the place.

use bantam::{Error, Format};

use crate::common::gguf::{Field, Gguf, Meta};
use crate::common::tiny::{Tiny, VOCAB_SIZE, number};
use crate::{TINY, open_and_run};

/// The error of the tiny model, changed.
fn refused(change: impl FnOnce(&mut Gguf)) -> Error {
    let mut file = TINY.gguf();
    change(&mut file);
    open_and_run(file.write()).unwrap_err()
}

/// Opens and runs the tiny model, changed.
fn runs(change: impl FnOnce(&mut Gguf)) {
    let mut file = TINY.gguf();
    change(&mut file);
    open_and_run(file.write()).unwrap();
}

/// The error of the tiny model with one field of its header changed, and the field.
fn refused_field(what: &str, value: u64) -> (Error, Field) {
    let (mut bytes, fields) = TINY.gguf().write_with_fields();
    let field = fields.into_iter().find(|field| field.what == what).unwrap();
    bytes[field.at..][..field.bytes].copy_from_slice(&value.to_le_bytes()[..field.bytes]);
    (open_and_run(bytes).unwrap_err(), field)
}

fn says(error: Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

fn malformed(error: Error, words: &[&str]) {
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    says(error, words);
    says(error, &["byte "]);
}

/// Malformed, at this place.
fn malformed_at((error, field): (Error, Field), words: &[&str]) {
    let Error::Malformed { offset, .. } = error else { panic!("{error:?}") };
    let around = field.at as u64..=(field.at + field.bytes) as u64;
    assert!(around.contains(&offset), "{error}: not at {around:?}");
    says(error, words);
}

fn inconsistent(error: Error, words: &[&str]) {
    assert!(matches!(error, Error::Inconsistent(_)), "{error:?}");
    says(error, words);
}

fn unsupported(error: Error, words: &[&str]) {
    assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
    says(error, words);
}

#[test]
fn what_is_no_gguf() {
    for bytes in [&b""[..], b"G", b"Once upon a time there was a model.", &[0; 100]] {
        let error = open_and_run(bytes.to_vec()).unwrap_err();
        assert!(matches!(error, Error::NotGguf(_)), "{error:?}");
        says(error, &["not a GGUF file"]);
    }
}

#[test]
fn versions_that_are_not_2_or_3() {
    let version = |version| refused(|file| file.version = version);
    unsupported(version(3u32.swap_bytes()), &["big-endian", "version 3"]);
    unsupported(version(2u32.swap_bytes()), &["big-endian", "version 2"]);
    for other in [0, 1, 4, u32::MAX] {
        unsupported(version(other), &[&format!("version {other}"), "2 and 3"]);
    }
}

#[test]
fn counts_larger_than_the_bytes_left() {
    for count in [1 << 20, 1 << 32, 1 << 62, u64::MAX] {
        malformed_at(refused_field("tensor count", count), &["tensors", &count.to_string()]);
        malformed_at(refused_field("entry count", count), &["metadata entries", &count.to_string()]);
        malformed_at(refused_field("array length", count), &["array", &count.to_string()]);
    }
    for length in [1 << 20, 1 << 32, u64::MAX] {
        malformed_at(refused_field("key length", length), &["metadata key", &length.to_string()]);
        malformed_at(refused_field("string length", length), &["string", &length.to_string()]);
        malformed_at(refused_field("tensor name length", length), &["tensor's name", &length.to_string()]);
    }
}

#[test]
fn shapes_whose_product_overflows() {
    let shape = |shape: &[u64]| refused(|file| file.tensor("token_embd.weight").shape = shape.into());
    malformed(shape(&[1 << 32, 1 << 32]), &["shape", "4294967296"]);
    malformed(shape(&[u64::MAX, 2]), &["shape"]);
    malformed(shape(&[u64::MAX]), &["shape"]);
    malformed(shape(&[1 << 31, 1 << 31, 2, 1]), &["shape"]);
    malformed(shape(&[64, 0]), &["shape"]);
    malformed(shape(&[1 << 32, 1 << 32, 0]), &["shape"]);
    malformed(shape(&[64, 1, 1, 1, 1]), &["5 dimensions"]);
    // The weights are fewer than 2^63, and their bytes would be more than can be addressed.
    malformed(shape(&[1 << 61, 2]), &["token_embd.weight", "beyond the file's end"]);
    malformed_at(refused_field("number of dimensions", u32::MAX.into()), &["4294967295 dimensions"]);
}

#[test]
fn an_alignment_that_is_none() {
    for alignment in [0, 3, 24, u32::MAX] {
        inconsistent(
            refused(|file| {
                file.set("general.alignment", alignment);
            }),
            &["general.alignment", "power of two", &alignment.to_string()],
        );
    }
    inconsistent(
        refused(|file| {
            file.set("general.alignment", Meta::U64(32));
        }),
        &["general.alignment", "u32"],
    );
    // A power of two, and the data would begin behind the file's end.
    malformed(
        refused(|file| {
            file.set("general.alignment", 1 << 31);
            file.tensors.iter_mut().for_each(|tensor| tensor.offset = Some(0));
        }),
        &["beyond the file's end"],
    );
    for alignment in [4, 8, 64, 4096] {
        runs(|file| {
            file.set("general.alignment", alignment);
        });
    }
}

#[test]
fn a_tensor_past_the_end() {
    let offset = |offset| refused(|file| file.tensor("blk.1.ffn_down.weight").offset = Some(offset));
    for past in [1 << 20, 1 << 40, u64::MAX - 31, 1 << 63] {
        malformed(offset(past), &["blk.1.ffn_down.weight", "beyond the file's end"]);
    }
    for crooked in [1, 33, u64::MAX] {
        malformed(offset(crooked), &["not a multiple of the alignment 32", &crooked.to_string()]);
    }
    malformed(
        refused(|file| file.tensors.last_mut().unwrap().bytes.truncate(9)),
        &["blk.1.ffn_down.weight", "beyond the file's end"],
    );
}

#[test]
fn the_same_name_twice() {
    malformed(
        refused(|file| {
            let copy = file.entries[3].clone();
            file.entries.push(copy);
        }),
        &["metadata key", "llama.embedding_length", "twice"],
    );
    malformed(
        refused(|file| {
            let copy = file.tensor("blk.0.attn_q.weight").clone();
            file.tensors.push(copy);
        }),
        &["tensor", "blk.0.attn_q.weight", "twice"],
    );
}

#[test]
fn names_that_are_no_text() {
    let (bytes, fields) = TINY.gguf().write_with_fields();
    for (what, words) in [("key length", "metadata key"), ("tensor name length", "tensor's name")] {
        let field = fields.iter().rfind(|field| field.what == what).unwrap();
        let mut bytes = bytes.clone();
        bytes[field.at + 9] = 0xff;
        malformed(open_and_run(bytes).unwrap_err(), &[words, "UTF-8"]);
    }
}

#[test]
fn values_of_the_wrong_kind() {
    let set = |key: &str, value: Meta| {
        refused(|file| {
            file.set(key, value);
        })
    };
    let numbers = Meta::Array(4, vec![Meta::U32(1); VOCAB_SIZE]);
    inconsistent(set("tokenizer.ggml.tokens", numbers.clone()), &["tokenizer.ggml.tokens", "u32", "string"]);
    inconsistent(set("tokenizer.ggml.merges", numbers.clone()), &["tokenizer.ggml.merges", "u32", "string"]);
    inconsistent(set("tokenizer.ggml.token_type", numbers.clone()), &["tokenizer.ggml.token_type", "u32"]);
    inconsistent(set("tokenizer.ggml.tokens", "abc".into()), &["tokenizer.ggml.tokens", "array"]);
    inconsistent(set("tokenizer.ggml.model", 7.into()), &["tokenizer.ggml.model", "u32"]);
    inconsistent(set("tokenizer.ggml.bos_token_id", "<s>".into()), &["tokenizer.ggml.bos_token_id"]);
    inconsistent(set("tokenizer.ggml.bos_token_id", Meta::I32(-5)), &["tokenizer.ggml.bos_token_id", "-5"]);
    inconsistent(set("tokenizer.ggml.add_bos_token", 1.into()), &["tokenizer.ggml.add_bos_token", "bool"]);
    inconsistent(set("general.architecture", 3.into()), &["general.architecture", "u32"]);
    inconsistent(set("general.architecture", Meta::String(vec![0xff])), &["general.architecture", "UTF-8"]);
    inconsistent(set("llama.embedding_length", "64".into()), &["llama.embedding_length", "string"]);
    inconsistent(set("llama.embedding_length", Meta::I64(-64)), &["llama.embedding_length", "-64"]);
    inconsistent(set("llama.rope.freq_base", 10_000.into()), &["llama.rope.freq_base", "u32", "float"]);
    malformed_at(refused_field("value type", 13), &["value type 13"]);
    malformed_at(refused_field("element type", u32::MAX.into()), &["value type 4294967295"]);
    // Any integer that fits is a count.
    for count in [Meta::U8(64), Meta::I16(64), Meta::U64(64), Meta::I64(64)] {
        runs(|file| {
            file.set("llama.embedding_length", count);
        });
    }
}

#[test]
fn a_bool_that_is_neither() {
    let mut file = TINY.gguf();
    // The last value of the metadata, so that its byte is the one before the first tensor's name.
    file.set("test.bool", true);
    let (mut bytes, fields) = file.write_with_fields();
    let at = fields.iter().find(|field| field.what == "tensor name length").unwrap().at - 1;
    bytes[at] = 2;
    let error = open_and_run(bytes).unwrap_err();
    assert!(matches!(error, Error::Malformed { offset, .. } if offset == at as u64), "{error}");
}

#[test]
fn arrays_in_arrays() {
    let nested = |depth| {
        let mut value = Meta::Array(0, vec![Meta::U8(1)]);
        for _ in 1..depth {
            value = Meta::Array(9, vec![value]);
        }
        value
    };
    runs(|file| {
        file.set("test.nested", nested(3));
    });
    for depth in [6, 300] {
        malformed(
            refused(|file| {
                file.set("test.nested", nested(depth));
            }),
            &["arrays in arrays"],
        );
    }
}

#[test]
fn heads_that_do_not_fit() {
    let set = |changes: &[(&str, u32)]| {
        refused(|file| {
            for &(key, value) in changes {
                file.set(&format!("llama.{key}"), value);
            }
        })
    };
    let (heads, kv_heads) = ("attention.head_count", "attention.head_count_kv");
    inconsistent(set(&[(heads, 0)]), &["llama.attention.head_count", "0"]);
    inconsistent(set(&[(kv_heads, 0)]), &["llama.attention.head_count_kv", "0"]);
    inconsistent(set(&[(heads, 6), (kv_heads, 2)]), &["6 heads", "64"]);
    inconsistent(set(&[(kv_heads, 3)]), &["4", "3"]);
    inconsistent(set(&[(kv_heads, 8)]), &["4", "8"]);
    inconsistent(set(&[(kv_heads, 1)]), &["blk.0.attn_k.weight", "shape"]);
    inconsistent(set(&[(heads, u32::MAX)]), &["llama.attention.head_count", "4294967295"]);
    inconsistent(set(&[("attention.key_length", 32)]), &["blk.0.attn_q.weight", "[64, 128]"]);
    let wide = set(&[("attention.key_length", 1 << 20), (heads, 1 << 20), (kv_heads, 1 << 20)]);
    inconsistent(wide, &["1048576 heads of 1048576"]);
    unsupported(set(&[("attention.value_length", 8)]), &["16", "8"]);
}

#[test]
fn shapes_that_do_not_fit_the_tensors() {
    let set = |key: &str, value: u32| {
        refused(|file| {
            file.set(&format!("llama.{key}"), value);
        })
    };
    for none in ["embedding_length", "block_count", "feed_forward_length", "context_length"] {
        for value in [0, u32::MAX] {
            inconsistent(set(none, value), &[&format!("llama.{none}"), &value.to_string()]);
        }
        inconsistent(
            refused(|file| {
                file.remove(&format!("llama.{none}"));
            }),
            &[&format!("llama.{none}"), "missing"],
        );
    }
    inconsistent(set("block_count", 3), &["blk.2.attn_norm.weight", "missing"]);
    inconsistent(set("block_count", 1 << 20), &["blk.2.attn_norm.weight", "missing"]);
    inconsistent(set("embedding_length", 128), &["shape"]);
    inconsistent(set("feed_forward_length", 95), &["blk.0.ffn_gate.weight", "[64, 96]", "[64, 95]"]);
    inconsistent(set("expert_count", 8), &["llama.expert_used_count", "missing"]);
    unsupported(set("block_count", 1), &["blk.1.attn_norm.weight"]);
    runs(|file| {
        file.set("llama.block_count", 1);
        file.set("llama.expert_count", 0);
        file.tensors.retain(|tensor| !tensor.name.starts_with("blk.1."));
    });
}

#[test]
fn rotations_that_do_not_fit() {
    let set = |key: &str, value: Meta| {
        refused(|file| {
            file.set(&format!("llama.rope.{key}"), value);
        })
    };
    for width in [0, 7, 18, u32::MAX] {
        inconsistent(set("dimension_count", width.into()), &["rope.dimension_count", &width.to_string()]);
    }
    inconsistent(
        refused(|file| {
            file.remove("llama.rope.dimension_count");
            file.set("llama.attention.head_count", 64);
            file.set("llama.attention.head_count_kv", 32);
        }),
        &["rope.dimension_count is 1", "even"],
    );
    for base in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        inconsistent(set("freq_base", base.into()), &["rope.freq_base"]);
    }
    inconsistent(set("scaling.factor", f32::NAN.into()), &["rope.scaling.factor"]);
    inconsistent(set("scaling.factor", (-2.0).into()), &["rope.scaling.factor", "-2"]);
    unsupported(set("scaling.type", "dynamic".into()), &["rope", "dynamic", "yarn"]);
    inconsistent(set("scaling.type", "longrope".into()), &["rope_factors_short.weight", "missing"]);
    unsupported(set("dimension_count", 8.into()), &["rope.dimension_count is 8", "16"]);
    for kind in ["none", "linear", "yarn"] {
        runs(|file| {
            file.set("llama.rope.scaling.type", kind);
            file.set("llama.rope.scaling.factor", 4.0);
        });
    }
}

#[test]
fn a_norm_that_is_none() {
    let key = "llama.attention.layer_norm_rms_epsilon";
    for eps in [-1.0, f32::NAN, f32::INFINITY] {
        inconsistent(
            refused(|file| {
                file.set(key, eps);
            }),
            &[key],
        );
    }
    inconsistent(
        refused(|file| {
            file.remove(key);
        }),
        &[key, "missing"],
    );
    runs(|file| {
        file.set(key, 0.0);
    });
}

#[test]
fn a_tensor_that_is_missing_or_of_another_shape_or_type() {
    let all = Tiny { tied: false, ..TINY }.gguf();
    for tensor in &all.tensors {
        let name = tensor.name.as_str();
        let changed = |change: &dyn Fn(&mut Gguf)| {
            let mut file = all.clone();
            change(&mut file);
            open_and_run(file.write())
        };
        let missing = changed(&|file| file.tensors.retain(|tensor| tensor.name != name));
        if name == "output.weight" {
            missing.unwrap();
        } else {
            inconsistent(missing.unwrap_err(), &[name, "missing"]);
        }
        // The rows of the embedding are the vocabulary, which then is too small.
        let other = changed(&|file| *file.tensor(name).shape.last_mut().unwrap() -= 1);
        inconsistent(other.unwrap_err(), &[if name.starts_with("token") { "" } else { name }]);
        let unknown = changed(&|file| file.tensor(name).kind = 99);
        unsupported(unknown.unwrap_err(), &[name, "99"]);
        let without_kernels = changed(&|file| file.tensor(name).kind = 16);
        unsupported(without_kernels.unwrap_err(), &[name, "IQ2_XXS"]);
    }
    unsupported(
        refused(|file| file.tensor("blk.0.attn_norm.weight").kind = number(Format::F16)),
        &["blk.0.attn_norm.weight", "F16", "F32"],
    );
    malformed(
        refused(|file| file.tensor("blk.0.attn_q.weight").shape = vec![33, 64]),
        &["blk.0.attn_q.weight", "33", "Q4_0"],
    );
    // One that nobody asks for is not left out in silence, whatever its type.
    for kind in [number(Format::Q4_0), 99] {
        let error = refused(|file| {
            let mut other = file.tensor("blk.0.attn_q.weight").clone();
            (other.name, other.kind) = ("test.weight".into(), kind);
            file.tensors.push(other);
        });
        unsupported(error, &["test.weight", "llama"]);
    }
}

#[test]
fn files_that_are_no_model_or_not_one_of_ours() {
    unsupported(
        refused(|file| {
            file.set("general.architecture", "abacus");
        }),
        &["abacus", "llama"],
    );
    inconsistent(
        refused(|file| {
            file.remove("general.architecture");
        }),
        &["general.architecture", "missing"],
    );
    unsupported(refused(|file| file.tensors.clear()), &["vocabulary only"]);
    inconsistent(open_and_run(Gguf::new().write()).unwrap_err(), &["general.architecture"]);
    for count in [Meta::U16(3), Meta::U32(2), Meta::I32(400)] {
        unsupported(
            refused(|file| {
                file.set("split.count", count);
            }),
            &["split into", "files"],
        );
    }
    runs(|file| {
        file.set("split.count", Meta::U16(1));
    });
}

#[test]
fn token_ids_outside_the_vocabulary() {
    for role in ["bos", "eos", "eot", "eom", "fim_pre", "fim_pad", "prefix"] {
        let key = format!("tokenizer.ggml.{role}_token_id");
        for id in [VOCAB_SIZE as u32, 1_000_000_000, u32::MAX - 1] {
            inconsistent(
                refused(|file| {
                    file.set(&key, id);
                }),
                &[if role == "prefix" { "fim_pre" } else { role }, &id.to_string()],
            );
        }
        // How some writers say that there is none.
        runs(|file| {
            file.set(&key, u32::MAX);
        });
    }
    inconsistent(
        refused(|file| {
            file.remove("tokenizer.ggml.bos_token_id").set("tokenizer.ggml.add_bos_token", true);
        }),
        &["tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id"],
    );
}

#[test]
fn vocabularies_that_contradict_themselves() {
    let change = |key: &str, change: &dyn Fn(&mut Vec<Meta>)| {
        refused(|file| change(file.value(&format!("tokenizer.ggml.{key}")).elements()))
    };
    let string = |text: &str| Meta::String(text.into());
    inconsistent(change("tokens", &|all| all.push(string("more"))), &["types"]);
    inconsistent(change("tokens", &|all| drop(all.pop())), &["types"]);
    inconsistent(change("tokens", &|all| all[70] = all[71].clone()), &["tokens 70 and 71"]);
    // One that is not written in bytes can be, and no text becomes it.
    runs(|file| file.value("tokenizer.ggml.tokens").elements()[70] = string("two words"));
    inconsistent(change("tokens", &|all| all[VOCAB_SIZE - 1] = Meta::String(vec![0xff])), &["UTF-8"]);
    inconsistent(change("token_type", &|all| all[9] = Meta::I32(7)), &["token 9", "type 7"]);
    inconsistent(change("token_type", &|all| all[9] = Meta::I32(i32::MIN)), &["token 9"]);
    inconsistent(change("token_type", &|all| all.truncate(9)), &["9 types"]);
    for merge in ["zz qq", "a", "", " ", "a b c", "a  b", "\u{1F414} a", "t hh"] {
        inconsistent(change("merges", &|all| all[3] = string(merge)), &["merge 3", "tokenizer.ggml.merges"]);
    }
    let both = refused(|file| {
        file.value("tokenizer.ggml.tokens").elements().push(string("more"));
        file.value("tokenizer.ggml.token_type").elements().push(Meta::I32(1));
    });
    inconsistent(both, &[&(VOCAB_SIZE + 1).to_string(), &VOCAB_SIZE.to_string()]);
    for missing in ["tokens", "merges", "model"] {
        let key = format!("tokenizer.ggml.{missing}");
        inconsistent(
            refused(|file| {
                file.remove(&key);
            }),
            &[&key, "missing"],
        );
    }
    unsupported(
        refused(|file| {
            file.set("tokenizer.ggml.model", "abacus");
        }),
        &["abacus", "gpt2"],
    );
    unsupported(
        refused(|file| {
            file.set("tokenizer.ggml.pre", "abacus");
        }),
        &["abacus", "smollm"],
    );
}

/// What would take a time that grows with the square of the file is noticed before.
#[test]
fn vocabularies_that_were_made_to_be_slow() {
    const COUNT: usize = 60_000;
    let alike = |text: &str, kind: i32| {
        let mut file = TINY.gguf();
        *file.value("tokenizer.ggml.tokens").elements() = vec![Meta::String(text.into()); COUNT];
        *file.value("tokenizer.ggml.token_type").elements() = vec![Meta::I32(kind); COUNT];
        file.value("tokenizer.ggml.merges").elements().clear();
        open_and_run(file.write()).unwrap_err()
    };
    inconsistent(alike("<｜end▁of▁sentence｜>", 3), &["special tokens 0 and 1", "end"]);
    inconsistent(alike("<|im_end|>", 3), &["tokens 0 and 1", "<|im_end|>"]);
    // Tokens of no text are looked for by nobody, so there may be many.
    inconsistent(alike("", 1), &["60000 tokens", "273 rows"]);
}

#[test]
fn a_vocabulary_of_few_or_no_or_huge_tokens() {
    // Rows of the embedding beyond the vocabulary can be drawn, and are no text.
    runs(|file| {
        for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"] {
            file.value(key).elements().clear();
        }
        file.remove("tokenizer.ggml.bos_token_id").remove("tokenizer.ggml.eos_token_id");
    });
    for id in [0, VOCAB_SIZE - 1] {
        runs(|file| {
            file.value("tokenizer.ggml.tokens").elements()[id] = Meta::String(vec![b'a'; 1 << 20]);
        });
    }
}
