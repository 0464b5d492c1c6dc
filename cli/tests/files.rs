//! `bantam inspect` and `bantam tokenize`.

mod common;

use common::{bantam, bantam_reading, demo, file, model, root, vocabulary};
use serde_json::{Value, json};

#[test]
fn a_model_is_described_in_json() {
    let Some(demo) = demo() else { return };
    let told: Value =
        serde_json::from_str(&bantam("inspect", &demo, &["--json", "--tensors"]).succeeds()).unwrap();
    assert_eq!(told["architecture"], "llama");
    assert_eq!(told["parameters"], 134_515_008);
    assert_eq!(told["vocab_size"], 49152);
    assert_eq!((&told["chat_template"], &told["cannot_run"]), (&json!(true), &Value::Null));
    let formats = told["formats"].as_array().unwrap();
    let tensors: Vec<u64> = formats.iter().map(|share| share["tensors"].as_u64().unwrap()).collect();
    assert_eq!((formats[0]["format"].as_str(), tensors), (Some("Q4_1"), vec![210, 1, 61]));
    assert_eq!(told["metadata"]["llama.context_length"], 8192);
    assert_eq!(told["metadata"]["tokenizer.ggml.tokens"], json!({ "array": "string", "len": 49152 }));
    assert_eq!(told["metadata"]["general.languages"], json!(["en"]));
    assert_eq!(told["tensors"].as_array().unwrap().len(), 272);
    assert_eq!(told["tensors"][0]["shape"], json!([576, 49152]));
}

#[test]
fn a_model_is_described_for_people() {
    let Some(demo) = demo() else { return };
    let told = bantam("inspect", &demo, &[]).succeeds();
    for part in ["134.5 M in 272 tensors", "66.4 MB in 210 tensors", "runs here      yes", "49152 tokens"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    assert!(told.lines().all(|line| line.len() < 300));
    assert!(bantam("inspect", &demo, &["--tensors"]).succeeds().contains("blk.29.attn_q.weight"));
}

/// Which kernels a backend has is the kernels' own business; that none of a tier is scalar, which is slow, is not.
#[test]
fn the_kernels_of_every_tensor_are_shown() {
    let Some(demo) = demo() else { return };
    let told: Value =
        serde_json::from_str(&bantam("inspect", &demo, &["--json", "--kernels"]).succeeds()).unwrap();
    let kernels = &told["kernels"];
    let backends = kernels["backends"].as_array().unwrap();
    assert!(backends.iter().any(|backend| backend["name"] == kernels["detected"]));
    let tensors = kernels["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 272);
    for tensor in tensors {
        if tensor["name"].as_str().unwrap().contains("norm") {
            assert_eq!(tensor["matmul"], Value::Null);
            continue;
        }
        for backend in backends {
            let name = backend["name"].as_str().unwrap();
            assert_eq!(tensor["matmul"][name] == "scalar", name == "scalar", "{tensor}");
        }
    }
    for format in ["f16", "q8_0", "q4_0"] {
        let from = kernels["attention"][format].as_object().unwrap();
        assert_eq!(from.len(), backends.len());
        assert!(from.iter().all(|(name, from)| (from == "scalar") == (name == "scalar")), "{from:?}");
    }
    let told = bantam("inspect", &demo, &["--kernels"]).succeeds();
    let line = told.lines().find(|line| line.contains("blk.*.attn_q.weight")).unwrap();
    assert!(line.contains("x30") && line.contains("Q4_1") && line.ends_with("scalar"), "{line}");
    assert!(told.lines().any(|line| line.contains("keys and values") && line.contains("q8_0")), "{told}");
    assert!(!told.contains("metadata"));
}

#[test]
fn what_a_file_does_not_state_is_said_once_a_line() {
    // "GGUF", version 3, no tensors and no metadata.
    let empty = file("bare.gguf", &[&b"GGUF\x03\0\0\0"[..], &[0; 16]].concat());
    let told = bantam("inspect", &empty, &[]).succeeds();
    for what in ["context", "layers", "heads", "vocabulary"] {
        assert!(told.lines().any(|line| line == format!("{what:<14} not stated")), "no {what:?} in {told}");
    }
}

#[test]
fn a_vocabulary_alone_is_enough() {
    let Some(demo) = demo() else { return };
    let vocabulary = vocabulary(&demo);
    let told: Value = serde_json::from_str(&bantam("inspect", &vocabulary, &["--json"]).succeeds()).unwrap();
    assert_eq!((&told["architecture"], &told["tensor_count"]), (&json!("llama"), &json!(0)));
    assert!(told["cannot_run"].as_str().unwrap().contains("vocabulary only"));
    let arguments = ["--ids", "--text", "Hello world"];
    assert_eq!(bantam("tokenize", &vocabulary, &arguments).succeeds(), "19556 905\n");
}

/// Texts of tests/golden/tokens, with a vocabulary each.
#[test]
fn texts_become_the_tokens_of_the_reference() {
    for (name, model) in [
        ("smollm2", demo()),
        ("llama-bpe", model("ggml-vocab-llama-bpe.gguf")),
        ("qwen2", model("ggml-vocab-qwen2.gguf")),
    ] {
        let Some(model) = model else { continue };
        let path = root().join(format!("tests/golden/tokens/{name}.json"));
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        // The command's process is slow to start; how texts are cut is the tokenizer's own test.
        for case in cases.iter().step_by(200) {
            let ids: Vec<String> = case["ids"].as_array().unwrap().iter().map(Value::to_string).collect();
            let mut arguments = vec!["--ids"];
            arguments.extend(case["add_special"].as_bool().unwrap().then_some("--add-special"));
            arguments.extend(case["parse_special"].as_bool().unwrap().then_some("--parse-special"));
            let run =
                bantam_reading("tokenize", &model, &arguments, case["text"].as_str().unwrap().as_bytes());
            assert_eq!(run.succeeds(), ids.join(" ") + "\n", "{name}: {case}");
        }
    }
}

#[test]
fn a_token_is_a_line() {
    let Some(demo) = demo() else { return };
    let told = bantam("tokenize", &demo, &["--text", "Hello <|im_end|>\n", "--parse-special"]).succeeds();
    assert_eq!(told, "   19556  \"Hello\"\n     216  \" \"\n       2  \"<|im_end|>\"\n     198  \"\\n\"\n");
    let told = bantam("tokenize", &demo, &["--text", "<|im_end|>", "--ids"]).succeeds();
    assert!(told.split(' ').count() > 1, "{told}");
    assert_eq!(bantam("tokenize", &demo, &["--text", "", "--ids"]).succeeds(), "\n");
}

#[test]
fn a_dash_is_standard_input() {
    let Some(demo) = demo() else { return };
    let told = bantam_reading("tokenize", &demo, &["-f", "-", "--ids"], "\u{feff}Hello world".as_bytes());
    assert_eq!(told.succeeds(), "19556 905\n");
    let told = bantam_reading("detokenize", &demo, &["-f", "-"], b"19556 905\n");
    assert_eq!(told.succeeds(), "Hello world");
}
