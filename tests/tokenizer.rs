//! The tokenizer against the ids that llama.cpp gives hard texts, and against the clock and the memory it may take.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bantam::gguf;
use bantam::mmap::Mapping;
use bantam::tokenizer::{EncodeOptions, Role, TokenId, Tokenizer, Utf8Stream};

const DEMO: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Every vocabulary with golden ids: the golden file's name and the model's.
const VOCABULARIES: [(&str, &str); 4] = [
    ("smollm2", DEMO),
    ("gpt-2", "ggml-vocab-gpt-2.gguf"),
    ("llama-bpe", "ggml-vocab-llama-bpe.gguf"),
    ("qwen2", "ggml-vocab-qwen2.gguf"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The file's tokenizer; `None`, and a line that says so, if the file is not there. The demo model comes with every test
/// run, so continuous integration insists on it; the other vocabularies come with `make vocabs`.
fn open(name: &str) -> Option<Tokenizer> {
    let path = root().join("models").join(name);
    if !path.exists() {
        assert!(name != DEMO || std::env::var_os("CI").is_none(), "{name} is missing: make model");
        println!("skipped: models/{name} is missing (make model vocabs)");
        return None;
    }
    Some(read(&path))
}

fn read(path: &Path) -> Tokenizer {
    let file = gguf::File::open(Mapping::open(path).unwrap()).unwrap();
    Tokenizer::from_gguf(&file).unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &str, add_special: bool, parse_special: bool) -> Vec<TokenId> {
    let mut ids = Vec::new();
    tokenizer.encode(text, EncodeOptions { add_special, parse_special }, &mut ids).unwrap();
    ids
}

fn decode(tokenizer: &Tokenizer, ids: &[TokenId]) -> String {
    let mut text = String::new();
    let mut stream = Utf8Stream::new();
    for id in ids {
        stream.push(tokenizer.token_bytes(*id).unwrap(), |part| text.push_str(part));
    }
    stream.finish(|part| text.push_str(part));
    text
}

fn check_golden(name: &str, model: &str) {
    let Some(tokenizer) = open(model) else { return };
    let golden = std::fs::read(root().join("tests/golden/tokens").join(name).with_extension("json")).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let (text, add, parse) = (&case["text"], &case["add_special"], &case["parse_special"]);
        let text = text.as_str().unwrap();
        let expected: Vec<u64> =
            case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let ids = encode(&tokenizer, text, add.as_bool().unwrap(), parse.as_bool().unwrap());
        let found: Vec<u64> = ids.iter().copied().map(u64::from).collect();
        assert_eq!(found, expected, "{name}: {text:?}, add_special {add}, parse_special {parse}");
    }
}

#[test]
fn ids_equal_the_golden_ones_of_smollm2() {
    let (name, model) = VOCABULARIES[0];
    check_golden(name, model);
}

#[test]
fn ids_equal_the_golden_ones_of_gpt_2() {
    let (name, model) = VOCABULARIES[1];
    check_golden(name, model);
}

#[test]
fn ids_equal_the_golden_ones_of_llama_bpe() {
    let (name, model) = VOCABULARIES[2];
    check_golden(name, model);
}

#[test]
fn ids_equal_the_golden_ones_of_qwen2() {
    let (name, model) = VOCABULARIES[3];
    check_golden(name, model);
}

#[test]
fn a_chat_is_steered_by_control_tokens_only_where_they_are_asked_for() {
    let Some(tokenizer) = open(DEMO) else { return };
    let [start, end] =
        [encode(&tokenizer, "<|im_start|>", false, true), encode(&tokenizer, "<|im_end|>", false, true)];
    assert_eq!((start.len(), end.len()), (1, 1));
    assert!(tokenizer.is_control(start[0]) && !tokenizer.is_end_of_generation(start[0]));
    assert!(tokenizer.is_control(end[0]) && tokenizer.is_end_of_generation(end[0]));
    assert_eq!((tokenizer.eos(), tokenizer.role(Role::Bos)), (Some(end[0]), tokenizer.bos()));
    assert!(!tokenizer.adds_bos());
    assert!(tokenizer.piece(end[0]).is_empty());
    let plain = encode(&tokenizer, "<|im_end|>", false, false);
    assert!(plain.len() > 1 && plain.iter().all(|id| !tokenizer.is_control(*id)));
    assert_eq!(decode(&tokenizer, &plain), "<|im_end|>");
}

#[test]
fn a_vocabulary_of_49152_tokens_takes_under_2_5_mb() {
    let Some(tokenizer) = open(DEMO) else { return };
    assert_eq!(tokenizer.vocab_size(), 49152);
    println!("{} bytes", tokenizer.size_bytes());
    assert!(tokenizer.size_bytes() < 2_500_000, "{}", tokenizer.size_bytes());
}

#[test]
fn a_text_without_a_break_takes_no_quadratic_time() {
    // In an unoptimised build the slowest takes about a second; a quadratic one would take minutes.
    const PATIENCE: Duration = Duration::from_secs(20);
    let Some(tokenizer) = open(DEMO) else { return };
    for piece in ["a", " ", "\n", "é", "漢", "<", "<|", "1", "'", "ab", "👍"] {
        let text = piece.repeat(100_000 / piece.len());
        let start = Instant::now();
        let ids = encode(&tokenizer, &text, false, true);
        let taken = start.elapsed();
        println!("{piece:?}: {} bytes, {} tokens, {taken:?}", text.len(), ids.len());
        assert!(taken < PATIENCE, "{piece:?} takes {taken:?}");
        assert_eq!(decode(&tokenizer, &ids), text);
    }
}

#[test]
fn a_megabyte_of_prose_comes_back() {
    let prose = std::fs::read_to_string(root().join("tests/golden/perplexity.txt")).unwrap();
    let prose = prose.repeat(1_000_000 / prose.len() + 1);
    for (_, model) in VOCABULARIES {
        let Some(tokenizer) = open(model) else { continue };
        let start = Instant::now();
        let ids = encode(&tokenizer, &prose, false, false);
        println!("{model}: {} bytes, {} tokens, {:?}", prose.len(), ids.len(), start.elapsed());
        assert_eq!(decode(&tokenizer, &ids), prose);
    }
}
