//! A vocabulary of any tokens, types, scores and merges, of every kind of tokenizer: refused, or it turns any text into
//! tokens that it has, and any tokens into text.
//!
//! ```text
//!   byte 0: kind | byte 1: pre-tokeniser | byte 2: bits of options | tokens, merges, map and text, divided by FF
//! ```
//! A token is `type, score, text`; the list of tokens ends where an empty one stands, and so does that of the merges.
#![no_main]

use bantam::tokenizer::{Role, VocabularySource};
use bantam::{EncodeOptions, Tokenizer};
use libfuzzer_sys::fuzz_target;

const MODELS: [&str; 5] = ["gpt2", "llama", "t5", "bert", "gemma4"];
const FAMILIES: [&str; 10] = [
    "smollm",
    "gpt-2",
    "llama-bpe",
    "qwen35",
    "gpt-4o",
    "deepseek-llm",
    "deepseek-v3",
    "falcon",
    "bloom",
    "exaone-moe",
];

fuzz_target!(|bytes: &[u8]| {
    let [model, family, options, rest @ ..] = bytes else { return };
    let mut parts = rest.split(|byte| *byte == 0xff);
    let tokens: Vec<&[u8]> = parts.by_ref().take_while(|part| part.len() >= 2).collect();
    let texts: Vec<&[u8]> = tokens.iter().map(|token| &token[2..]).collect();
    let merges: Vec<&[u8]> = parts.by_ref().take_while(|part| !part.is_empty()).collect();
    let charsmap = parts.next();
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let option = |bit: u8| (options >> bit & 1 == 1).then_some(options >> (bit + 1) & 1 == 1);
    let mut roles = [None; Role::ALL.len()];
    roles[Role::Bos as usize] = Some(0);
    roles[Role::Unknown as usize] = Some(0);
    let source = VocabularySource {
        model: MODELS[usize::from(*model) % MODELS.len()],
        pre: Some(FAMILIES[usize::from(*family) % FAMILIES.len()]),
        tokens: texts.iter().copied(),
        types: Some(tokens.iter().map(|token| i32::from(token[0] % 7))),
        merges: Some(merges.iter().copied()),
        scores: Some(tokens.iter().map(|token| match token[1] {
            0 => f32::NAN,
            1 => f32::INFINITY,
            score => -f32::from(score),
        })),
        roles,
        add_bos: None,
        add_eos: None,
        add_space_prefix: option(0),
        remove_extra_whitespaces: option(2),
        charsmap,
        lowercase: option(4),
        strip_accents: option(5),
        name: (options >> 7 == 1).then_some("phi-3"),
        architecture: None,
    };
    let Ok(tokenizer) = Tokenizer::new(&source) else { return };
    for parse_special in [false, true] {
        let mut ids = Vec::new();
        let options = EncodeOptions { add_special: true, parse_special };
        tokenizer.encode(&text, options, &mut ids).expect("a short text becomes tokens");
        tokenizer.encode_more(&text, parse_special, &mut ids).expect("a short text becomes tokens");
        assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
        tokenizer.decode(&ids, &mut String::new()).expect("any tokens become text");
    }
});
