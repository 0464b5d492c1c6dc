//! `bantam embed`: vectors, cosines and ranks of texts.

mod common;

use common::{bantam, bantam_reading, demo, file, model};
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum()
}

/// The demo model was not made for it, so it wants to be told how.
#[test]
fn a_model_without_pooling_says_what_to_do() {
    let Some(demo) = demo() else { return };
    bantam("embed", &demo, &["a hen"]).fails(1, &["llama.pooling_type", "last or mean", "--pooling"]);
    bantam("embed", &demo, &["a hen", "--pooling", "rank"]).fails(1, &["no head"]);
    bantam("embed", &demo, &["a hen", "--pooling", "most"]).fails(2, &["possible values: none, mean"]);
    bantam("embed", &demo, &["a", "--pooling", "none", "--matrix"]).fails(2, &["choose a --pooling"]);
    bantam("embed", &demo, &["a", "--pooling", "mean", "--matrix", "--jsonl"]).fails(2, &["--jsonl"]);
}

#[test]
fn texts_come_from_arguments_files_and_standard_input() {
    let Some(demo) = demo() else { return };
    let options = ["--pooling", "mean", "--threads", "2"];
    let arguments = [&["a hen", "two birds"][..], &options].concat();
    let told = bantam("embed", &demo, &arguments).succeeds();
    let vectors: Vec<Vec<f64>> = lines(&told).iter().map(vector).collect();
    assert_eq!(vectors.iter().map(Vec::len).collect::<Vec<_>>(), [576, 576]);
    assert!(vectors.iter().all(|vector| (length(vector) - 1.0).abs() < 1e-5));
    assert_eq!(bantam_reading("embed", &demo, &options, b"a hen\n\ntwo birds\n").succeeds(), told);
    let text = file("embed.txt", b"a hen\ntwo birds");
    let from_file = [&["-f", text.to_str().unwrap()][..], &options].concat();
    assert_eq!(bantam("embed", &demo, &from_file).succeeds(), told);

    let raw = bantam("embed", &demo, &[&["a hen", "--no-normalize"][..], &options].concat()).succeeds();
    assert!((length(&vector(&lines(&raw)[0])) - 1.0).abs() > 0.1);
    let each = bantam("embed", &demo, &["a hen", "--pooling", "none"]).succeeds();
    assert_eq!(vector(&lines(&each)[0][1]).len(), 576);
    bantam_reading("embed", &demo, &options, b"\n \n").fails(1, &["no texts"]);
}

#[test]
fn lines_of_json_keep_what_they_have() {
    let Some(demo) = demo() else { return };
    let options = ["--pooling", "mean", "--jsonl"];
    let input = b"{\"id\": 7, \"text\": \"a hen\"}\n\"two birds\"\n";
    let told = lines(&bantam_reading("embed", &demo, &options, input).succeeds());
    assert_eq!((&told[0]["id"], &told[0]["text"]), (&7.into(), &"a hen".into()));
    assert_eq!(vector(&told[1]["embedding"]).len(), 576);
    // Everything stays where it is, and an older vector makes way.
    let input_again = b"{\"text\": \"a hen\", \"embedding\": 3, \"id\": 7}";
    let again = bantam_reading("embed", &demo, &options, input_again).succeeds();
    assert!(
        again.starts_with("{\"text\":\"a hen\",\"embedding\":[") && again.ends_with("],\"id\":7}\n"),
        "{again}"
    );
    let query = [&options[..], &["--query", "a hen"]].concat();
    let told = lines(&bantam_reading("embed", &demo, &query, input).succeeds());
    assert_eq!(told[0]["id"], 7);
    assert!((told[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-4);
    for (input, part) in [("{}", "no text under `text`"), ("3", "neither a string"), ("{", "not JSON")] {
        bantam_reading("embed", &demo, &options, input.as_bytes())
            .fails(1, &["line 1 of standard input", part]);
    }
}

#[test]
fn a_text_that_is_too_long_is_named() {
    let Some(demo) = demo() else { return };
    let long = "egg ".repeat(50);
    let arguments = [&long, "--pooling", "mean", "--ctx", "20"];
    bantam("embed", &demo, &arguments).fails(1, &["text 1 has", "20 can be read", "--truncate"]);
    bantam("embed", &demo, &[&arguments[..], &["--truncate"]].concat()).succeeds();
    bantam("embed", &demo, &["a", "--pooling", "mean", "--ctx", "100000"]).fails(1, &["reads 1 to 8192"]);
}

#[test]
fn minilm_knows_what_goes_together() {
    let Some(minilm) = model("all-MiniLM-L6-v2.Q4_1.gguf") else { return };
    let texts = ["A hen sits on her eggs.", "The bird is brooding.", "Shares fell on Friday."];
    let told = bantam("embed", &minilm, &[&texts[..], &["--matrix"]].concat()).succeeds();
    let row: Vec<f64> =
        told.lines().next().unwrap().split_whitespace().map_while(|word| word.parse().ok()).collect();
    assert_eq!((told.lines().count(), row.len(), row[0]), (3, 3, 1.0));
    assert!(row[1] > 0.3 && row[2] < 0.2, "{told}");
    let query = [&texts[..], &["--query", "falling stock prices"]].concat();
    let told = bantam("embed", &minilm, &query).succeeds();
    assert!(told.lines().next().unwrap().ends_with("Shares fell on Friday."), "{told}");
    // What writes no text cannot be run, and says what does.
    bantam("run", &minilm, &["-p", "hi"]).fails(1, &["bantam embed"]);
}
