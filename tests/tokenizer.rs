//! The tokenizer against the ids that llama.cpp gives hard texts, and against the clock and the memory it may take.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use bantam::gguf;
use bantam::mmap::Mapping;
use bantam::tokenizer::{EncodeOptions, Role, TokenId, Tokenizer};

const DEMO: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Every vocabulary with golden ids: the golden file's name, the model's, and the pre-tokeniser that is named in place of
/// the model's own.
#[rustfmt::skip]
const VOCABULARIES: &[(&str, &str, Option<&str>)] = &[
    ("smollm2", DEMO, None),
    ("baichuan", "ggml-vocab-baichuan.gguf", None),
    ("bert-bge", "ggml-vocab-bert-bge.gguf", None),
    ("command-r", "ggml-vocab-command-r.gguf", None),
    ("deepseek-coder", "ggml-vocab-deepseek-coder.gguf", None),
    ("deepseek-llm", "ggml-vocab-deepseek-llm.gguf", None),
    ("falcon", "ggml-vocab-falcon.gguf", None),
    ("gpt-2", "ggml-vocab-gpt-2.gguf", None),
    ("llama-bpe", "ggml-vocab-llama-bpe.gguf", None),
    ("llama-spm", "ggml-vocab-llama-spm.gguf", None),
    ("mpt", "ggml-vocab-mpt.gguf", None),
    ("nomic-bert-moe", "ggml-vocab-nomic-bert-moe.gguf", None),
    ("phi-3", "ggml-vocab-phi-3.gguf", None),
    ("qwen2", "ggml-vocab-qwen2.gguf", None),
    ("refact", "ggml-vocab-refact.gguf", None),
    ("starcoder", "ggml-vocab-starcoder.gguf", None),
    ("gemma4-made", "gemma4-made.gguf", None),
    ("bloom", "ggml-vocab-gpt-2.gguf", Some("bloom")),
    ("deepseek-v3", "ggml-vocab-gpt-2.gguf", Some("deepseek-v3")),
    ("default", "ggml-vocab-gpt-2.gguf", Some("default")),
    ("exaone-moe", "ggml-vocab-gpt-2.gguf", Some("exaone-moe")),
    ("gpt-4o", "ggml-vocab-gpt-2.gguf", Some("gpt-4o")),
    ("laguna", "ggml-vocab-gpt-2.gguf", Some("laguna")),
    ("minicpm5", "ggml-vocab-gpt-2.gguf", Some("minicpm5")),
    ("qwen35", "ggml-vocab-gpt-2.gguf", Some("qwen35")),
    ("seed-coder", "ggml-vocab-gpt-2.gguf", Some("seed-coder")),
    ("tekken", "ggml-vocab-gpt-2.gguf", Some("tekken")),
    ("ufakzeka", "ggml-vocab-gpt-2.gguf", Some("ufakzeka")),
    ("viking", "ggml-vocab-gpt-2.gguf", Some("viking")),
];

/// The vocabularies that llama.cpp publishes with ids.
const PUBLISHED: &[&str] = &[
    "bert-bge",
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "phi-3",
    "qwen2",
    "refact",
    "starcoder",
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
    tokenizer.decode(ids, &mut text).unwrap();
    text
}

/// The file with another value of `tokenizer.ggml.pre`.
fn with_pre(path: &Path, pre: &str) -> Tokenizer {
    const KEY: &[u8] = b"tokenizer.ggml.pre\x08\0\0\0";
    let file = std::fs::read(path).unwrap();
    let end = file.windows(KEY.len()).position(|bytes| bytes == KEY).unwrap() + KEY.len();
    let length = u64::from_le_bytes(file[end..end + 8].try_into().unwrap()) as usize;
    let parts = [&file[..end], &(pre.len() as u64).to_le_bytes(), pre.as_bytes(), &file[end + 8 + length..]];
    let file = gguf::File::open(Mapping::from_bytes(parts.concat()).unwrap()).unwrap();
    Tokenizer::from_gguf(&file).unwrap()
}

/// Compares with the cases of a golden file; returns how many there are, and those that differ.
fn differences(tokenizer: &Tokenizer, golden: &Path) -> (usize, Vec<String>) {
    let golden = std::fs::read(golden).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let cases = cases.as_array().unwrap();
    let differs = |case: &serde_json::Value| {
        let (text, add, parse) = (&case["text"], &case["add_special"], &case["parse_special"]);
        let expected: Vec<u64> =
            case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let ids = encode(tokenizer, text.as_str().unwrap(), add.as_bool().unwrap(), parse.as_bool().unwrap());
        let found: Vec<u64> = ids.iter().copied().map(u64::from).collect();
        (found != expected).then(|| {
            format!(
                "{text}, add_special {add}, parse_special {parse}: found {found:?}, expected {expected:?}"
            )
        })
    };
    (cases.len(), cases.iter().filter_map(differs).collect())
}

#[test]
fn ids_equal_the_golden_ones() {
    for (name, model, pre) in VOCABULARIES {
        let Some(mut tokenizer) = open(model) else { continue };
        if let Some(pre) = pre {
            tokenizer = with_pre(&root().join("models").join(model), pre);
        }
        let golden = root().join("tests/golden/tokens").join(format!("{name}.json"));
        let (count, different) = differences(&tokenizer, &golden);
        assert!(count > 0);
        assert!(
            different.is_empty(),
            "{name}: {} of {count} differ:\n{}",
            different.len(),
            different.join("\n")
        );
    }
}

/// `TOKENS=FOLDER cargo test --test tokenizer -- --ignored`: the files of `bantam-peers golden tokens --out FOLDER`, for
/// comparing many more texts than are committed.
#[test]
#[ignore = "compares with the files in the folder TOKENS"]
fn ids_equal_those_of_a_folder() {
    let folder = PathBuf::from(std::env::var_os("TOKENS").expect("TOKENS names a folder"));
    let mut wrong = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let models = root().join("models");
        let tokenizer = match name {
            "smollm2" => read(&models.join(DEMO)),
            _ if models.join(format!("ggml-vocab-{name}.gguf")).exists() => {
                read(&models.join(format!("ggml-vocab-{name}.gguf")))
            }
            _ if models.join(format!("{name}.gguf")).exists() => read(&models.join(format!("{name}.gguf"))),
            pre => with_pre(&models.join("ggml-vocab-gpt-2.gguf"), pre),
        };
        let (count, different) = differences(&tokenizer, &path);
        println!("{name}: {} of {count} differ", different.len());
        different.iter().take(8).for_each(|line| println!("    {line}"));
        wrong += different.len();
    }
    assert_eq!(wrong, 0);
}

/// llama.cpp's own tests: texts, and a line of ids for each.
#[test]
fn ids_equal_those_that_llama_cpp_publishes() {
    let models = root().join("models");
    let Ok(texts) = std::fs::read_to_string(models.join("ggml-vocab-gpt-2.gguf.inp")) else {
        println!("skipped: models/ggml-vocab-gpt-2.gguf.inp is missing (make vocabs)");
        return;
    };
    for name in PUBLISHED {
        let Some(tokenizer) = open(&format!("ggml-vocab-{name}.gguf")) else { continue };
        let ids = std::fs::read_to_string(models.join(format!("ggml-vocab-{name}.gguf.out"))).unwrap();
        let texts: Vec<&str> = texts.split_terminator("\n__ggml_vocab_test__\n").collect();
        let lines: Vec<&str> = ids.lines().collect();
        assert!(texts.len() > 30 && texts.len() == lines.len(), "{name}: {} {}", texts.len(), lines.len());
        for (text, line) in texts.iter().zip(lines) {
            let expected: Vec<TokenId> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(encode(&tokenizer, text, false, false), expected, "{name}: {text:?}");
        }
    }
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
fn a_text_without_a_break_comes_back() {
    for (_, model, pre) in VOCABULARIES {
        let Some(tokenizer) = open(model).filter(|_| pre.is_none()) else { continue };
        for piece in ["a", " ", "\n", "é", "漢", "<", "<|", "1", "'", "ab", "👍"] {
            let text = piece.repeat(if *model == DEMO { 100_000 } else { 4_000 } / piece.len());
            let ids = encode(&tokenizer, &text, false, true);
            if !LOSSY.contains(model) {
                assert_eq!(decode(&tokenizer, &ids), text, "{model}: {piece:?}");
            }
        }
    }
}

/// `cargo test --release --test tokenizer -- --ignored --nocapture how_fast`: milliseconds for 1 MB of prose, 1 MB of one
/// letter or sign, and 200 kB of prose without its spaces.
#[test]
#[ignore = "prints a table of times"]
fn how_fast_texts_become_tokens() {
    let prose = std::fs::read_to_string(root().join("tests/golden/perplexity.txt")).unwrap();
    let prose = prose.repeat(1_000_000 / prose.len() + 1);
    let dense: String = prose.chars().filter(|c| !c.is_whitespace()).take(200_000).collect();
    let repeated =
        ["a", " ", "\n", "é", "漢", "1", "'", "👍"].map(|piece| piece.repeat(1_000_000 / piece.len()));
    println!("{:>24} prose dense   a space  line     é    漢     1     '    👍", "");
    for (name, model, pre) in VOCABULARIES {
        let Some(mut tokenizer) = open(model) else { continue };
        if let Some(pre) = pre {
            tokenizer = with_pre(&root().join("models").join(model), pre);
        }
        print!("{name:>24}");
        for text in [&prose, &dense].into_iter().chain(&repeated) {
            let start = Instant::now();
            encode(&tokenizer, text, false, false);
            print!(" {:>5.0}", start.elapsed().as_secs_f64() * 1e3);
        }
        println!();
    }
}

#[test]
fn prose_comes_back() {
    let prose = std::fs::read_to_string(root().join("tests/golden/perplexity.txt")).unwrap();
    for (_, model, pre) in VOCABULARIES {
        let Some(tokenizer) = open(model).filter(|_| pre.is_none()) else { continue };
        let prose = prose.repeat(if *model == DEMO { 1_000_000 / prose.len() } else { 1 });
        let ids = encode(&tokenizer, &prose, false, false);
        println!("{model}: {} bytes, {} tokens", prose.len(), ids.len());
        if !LOSSY.contains(model) {
            assert!(decode(&tokenizer, &ids) == prose, "{model}");
        }
    }
}

/// What these make of a text does not keep case, accents or white space.
const LOSSY: [&str; 2] = ["ggml-vocab-bert-bge.gguf", "ggml-vocab-nomic-bert-moe.gguf"];

#[test]
fn hard_texts_come_back() {
    let golden = std::fs::read(root().join("tests/golden/tokens/gpt-2.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    for (_, model, _) in VOCABULARIES {
        let Some(tokenizer) = open(model).filter(|_| !LOSSY.contains(model)) else { continue };
        // Falcon has no token for some of the controls.
        let count = tokenizer.vocab_size() as TokenId;
        let is_known = |byte: &u8| (0..count).any(|id| tokenizer.token_bytes(id) == Some(&[*byte][..]));
        let unknown: Vec<char> = (0..32).filter(|byte| !is_known(byte)).map(char::from).collect();
        let has_tokens = |text: &str| !text.contains(&unknown[..]);
        let texts = cases.as_array().unwrap();
        for case in texts.iter().filter(|case| has_tokens(case["text"].as_str().unwrap())) {
            // SentencePiece writes U+2581 for a space.
            let text = case["text"].as_str().unwrap().replace('\u{2581}', " ");
            let ids = encode(&tokenizer, &text, false, false);
            let known: Vec<TokenId> = ids.iter().copied().filter(|id| !tokenizer.is_control(*id)).collect();
            assert_eq!(known, ids, "{model}: {text:?}");
            assert_eq!(decode(&tokenizer, &ids), text, "{model}: {ids:?}");
        }
    }
}

#[test]
fn a_space_is_put_in_front_of_a_text_and_taken_away_again() {
    let Some(tokenizer) = open("ggml-vocab-llama-spm.gguf") else { return };
    let ids = encode(&tokenizer, " a</s>b", true, true);
    assert_eq!(ids, [1, 29871, 263, 2, 289]);
    assert_eq!(decode(&tokenizer, &ids), " ab");
    let mut previous = None;
    let pieces = ids.iter().map(|id| tokenizer.piece_after(previous.replace(*id), *id));
    assert_eq!(pieces.collect::<Vec<_>>(), [&b""[..], b"", b" a", b"", b"b"]);
    let mut more = Vec::new();
    tokenizer.encode_more("b", false, &mut more).unwrap();
    assert_eq!((more.len(), tokenizer.piece_after(Some(263), more[0])), (1, &b"b"[..]));
}
