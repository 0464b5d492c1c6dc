//! Whole models whose metadata was changed at random: each is refused, or opens and runs.

use crate::common::Random;
use crate::common::gguf::{Gguf, Meta};
use crate::{Case, TINY, open_and_run};

/// Numbers at which things go wrong.
const EDGES: [u64; 16] =
    [0, 1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 255, 1 << 20, (1 << 31) - 1, u32::MAX as u64, u64::MAX];

fn edge(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.bits() >> random.below(64),
        1 => random.below(300) as u64,
        _ => EDGES[random.below(EDGES.len())],
    }
}

fn float(random: &mut Random) -> f32 {
    const EDGES: [f32; 10] =
        [0.0, -0.0, 1.0, -1.0, 1e-45, f32::MAX, f32::MIN, f32::INFINITY, f32::NAN, f32::MIN_POSITIVE];
    match random.below(3) {
        0 => f32::from_bits(random.bits() as u32),
        1 => random.unit() * 100.0,
        _ => EDGES[random.below(EDGES.len())],
    }
}

fn text(random: &mut Random) -> Vec<u8> {
    let known: [&[u8]; 12] = [
        b"",
        b" ",
        b"a b",
        b"llama",
        b"gpt2",
        b"yarn",
        b"none",
        b"<|im_end|>",
        b"<|end|>",
        b"\xff\xfe",
        "Ġthe".as_bytes(),
        "ü ü".as_bytes(),
    ];
    match random.below(3) {
        0 => (0..random.below(20)).map(|_| random.bits() as u8).collect(),
        _ => known[random.below(known.len())].to_vec(),
    }
}

/// A value of a kind.
fn value(random: &mut Random, kind: u32) -> Meta {
    match kind {
        0 => Meta::U8(edge(random) as u8),
        1 => Meta::I8(edge(random) as i8),
        2 => Meta::U16(edge(random) as u16),
        3 => Meta::I16(edge(random) as i16),
        4 => Meta::U32(edge(random) as u32),
        5 => Meta::I32(edge(random) as i32),
        6 => Meta::F32(float(random)),
        7 => Meta::Bool(random.below(2) == 0),
        8 => Meta::String(text(random)),
        9 => {
            let kind = random.below(9) as u32;
            Meta::Array(kind, (0..random.below(5)).map(|_| value(random, kind)).collect())
        }
        10 => Meta::U64(edge(random)),
        11 => Meta::I64(edge(random) as i64),
        _ => Meta::F64(float(random).into()),
    }
}

fn change_elements(random: &mut Random, kind: u32, elements: &mut Vec<Meta>) {
    if elements.is_empty() {
        return;
    }
    let at = random.below(elements.len());
    match random.below(6) {
        0 => elements.truncate(at),
        1 => elements.push(value(random, kind)),
        2 => drop(elements.remove(at)),
        3 => {
            let other = random.below(elements.len());
            elements.swap(at, other);
        }
        4 => elements[at] = elements[random.below(elements.len())].clone(),
        _ => elements[at] = value(random, kind),
    }
}

/// Keys that a model may have, and the tiny one has not.
const OTHERS: [(&str, u32); 24] = [
    ("general.alignment", 4),
    ("split.count", 2),
    ("llama.vocab_size", 4),
    ("llama.expert_count", 4),
    ("llama.attention.key_length", 4),
    ("llama.attention.value_length", 4),
    ("llama.attention.scale", 6),
    ("llama.attention.sliding_window", 4),
    ("llama.rope.scaling.type", 8),
    ("llama.rope.scaling.factor", 6),
    ("llama.rope.scale_linear", 6),
    ("llama.rope.scaling.attn_factor", 6),
    ("llama.rope.scaling.original_context_length", 4),
    ("llama.rope.scaling.yarn_ext_factor", 6),
    ("llama.rope.scaling.yarn_beta_fast", 6),
    ("llama.rope.scaling.yarn_beta_slow", 6),
    ("tokenizer.ggml.add_eos_token", 7),
    ("tokenizer.ggml.eot_token_id", 4),
    ("tokenizer.ggml.eom_token_id", 4),
    ("tokenizer.ggml.fim_pad_token_id", 4),
    ("tokenizer.ggml.padding_token_id", 4),
    ("tokenizer.ggml.scores", 9),
    ("tokenizer.chat_template", 8),
    ("general.file_type", 4),
];

fn change(random: &mut Random, file: &mut Gguf) {
    let at = random.below(file.entries.len());
    let tensor = random.below(file.tensors.len());
    match random.below(12) {
        0 => {
            let kind = random.below(13) as u32;
            file.entries[at].1 = value(random, kind);
        }
        1 => {
            let (key, kind) = OTHERS[random.below(OTHERS.len())];
            let new = value(random, kind);
            file.set(key, new);
        }
        2 if random.below(4) == 0 => drop(file.entries.remove(at)),
        3 if random.below(4) == 0 => {
            let copy = file.entries[at].clone();
            file.entries.push(copy);
        }
        4 if random.below(2) == 0 => {
            let shape = &mut file.tensors[tensor].shape;
            match random.below(3) {
                0 => shape.push(edge(random)),
                1 => shape.reverse(),
                _ => shape[0] = edge(random),
            }
        }
        5 if random.below(2) == 0 => file.tensors[tensor].kind = random.below(32) as u32,
        // Another place in the file, which other tensors may share.
        6 => file.tensors[tensor].offset = Some(random.below(64) as u64 * 32),
        7 if random.below(4) == 0 => drop(file.tensors.remove(tensor)),
        _ => match &mut file.entries[at].1 {
            Meta::Array(kind, elements) => change_elements(random, *kind, elements),
            other => {
                let kind = other.kind();
                *other = value(random, kind);
            }
        },
    }
}

#[test]
fn changed_at_random() {
    let mut refused = 0;
    for seed in 0..3000 {
        let _case = Case(format!("seed {seed}"));
        let mut random = Random::new(seed);
        let mut file = TINY.gguf();
        for _ in 0..=random.below(3) {
            change(&mut random, &mut file);
        }
        refused += usize::from(open_and_run(file.write()).is_err());
    }
    println!("3000 models with changed metadata: {refused} refused");
    assert!((500..2800).contains(&refused), "{refused}");
}

#[test]
fn heads_and_rotations_of_every_shape() {
    let mut ran = 0;
    for heads in [1, 2, 4, 8, 16, 32, 64] {
        for kv_heads in [1, 2, 4, 8, 16, 32, 64] {
            for rope in [None, Some(2), Some(4), Some(16), Some(64)] {
                let _case = Case(format!("{heads} heads, {kv_heads} key heads, {rope:?} turned"));
                let mut file = TINY.gguf();
                file.set("llama.attention.head_count", heads);
                file.set("llama.attention.head_count_kv", kv_heads);
                file.remove("llama.rope.dimension_count");
                if let Some(rope) = rope {
                    file.set("llama.rope.dimension_count", rope);
                }
                ran += usize::from(open_and_run(file.write()).is_ok());
            }
        }
    }
    println!("{ran} shapes ran");
    // The tiny model's keys are half as wide as its queries, whatever the heads are cut into, and whole heads turn: of 2,
    // 4, 8, 16 or 32 values, three of which are also said outright.
    assert_eq!(ran, 8);
}
