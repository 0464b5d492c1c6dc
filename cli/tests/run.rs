//! `bantam run` on the demo model: answers, what goes where, exit codes.

mod common;

use std::process::Stdio;

use common::{bantam, bantam_reading, command, demo, file, root};
use serde_json::Value;

/// The prompts whose greedy continuations are known: tests/golden/logits.
fn golden(start: &str) -> Value {
    let path = root().join("tests/golden/logits/smollm2-135m-q4_1.json");
    let all: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    all.into_iter().find(|one| one["text"].as_str().unwrap().starts_with(start)).unwrap()
}

#[test]
fn a_text_is_continued_as_the_reference_continues_it() {
    let Some(model) = demo() else { return };
    let golden = golden("1, 2, 3, 4, 5, 6");
    let (text, answer) = (golden["text"].as_str().unwrap(), golden["answer"].as_str().unwrap());
    let arguments = ["--raw", "--temp", "0", "-n", "24", "-p", text];
    assert_eq!(bantam("run", &model, &arguments).succeeds(), format!("{answer}\n"));
    let arguments = ["--raw", "--temp", "0", "-n", "24", "--threads", "1", "-"];
    // One line break at the end of a file is not part of the prompt.
    let run = bantam_reading("run", &model, &arguments, format!("{text}\n").as_bytes());
    assert_eq!(run.succeeds(), format!("{answer}\n"));
}

/// How the reference's answer to the sums begins. A few of these tokens are so close a call that the order of additions
/// decides; behind them no other token comes within a logit, which is seven times the noise between two engines.
const BEGUN: &str = " 10\n\nThe sum of these numbers is 15";

#[test]
fn an_answer_ends_where_the_model_ends_it() {
    let Some(model) = demo() else { return };
    let golden = golden("2 + 2 = 4");
    let (answer, _) = golden["answer"].as_str().unwrap().split_once("<|im_end|>").unwrap();
    let text = golden["text"].as_str().unwrap().to_owned() + BEGUN;
    let path = file("sums.txt", text.as_bytes());
    for limit in ["24", "200"] {
        let arguments = ["--raw", "--temp", "0", "-n", limit, "-f", path.to_str().unwrap()];
        let rest = bantam("run", &model, &arguments).succeeds();
        assert_eq!(BEGUN.to_owned() + &rest, format!("{answer}\n"));
    }
}

#[test]
fn a_question_is_asked_through_the_template() {
    let Some(model) = demo() else { return };
    let rendered = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n";
    let greedy = ["--temp", "0", "-n", "8"];
    let raw = bantam("run", &model, &[&greedy[..], &["--raw", "-p", rendered]].concat()).succeeds();
    let asked = ["--system", "Be brief.", "-p", "Hello!"];
    assert_eq!(bantam("run", &model, &[&greedy[..], &asked].concat()).succeeds(), raw);
    let asked = ["--system", "Be brief."];
    assert_eq!(bantam_reading("run", &model, &[&greedy[..], &asked].concat(), b"Hello!").succeeds(), raw);
}

#[test]
fn verbose_speaks_on_standard_error_only() {
    let Some(model) = demo() else { return };
    let arguments = ["-p", "Hello", "-n", "4", "--seed", "7", "--ctx", "64"];
    let quiet = bantam("run", &model, &arguments).succeeds();
    let run =
        bantam("run", &model, &[&arguments[..], &["-v", "--backend", "scalar", "--threads", "1"]].concat());
    assert_eq!(run.code, 0);
    assert!(!run.stdout.is_empty() && !quiet.is_empty());
    for part in [
        "backend: scalar, 1 thread on ",
        " CPU",
        "seed: 7",
        "context of 64 tokens",
        "prompt: ",
        "answer: 4 tokens",
    ] {
        assert!(run.stderr.contains(part), "no {part:?} in {}", run.stderr);
    }
}

#[test]
fn a_seed_decides_and_without_one_each_run_differs() {
    let Some(model) = demo() else { return };
    let arguments = ["--raw", "-p", "Once", "-n", "6", "--temp", "1.5", "--ctx", "16", "-v"];
    let seed = |arguments: &[&str]| {
        let run = bantam("run", &model, arguments);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let line = run.stderr.lines().find_map(|line| line.strip_prefix("seed: ")).unwrap().to_owned();
        (line, run.stdout)
    };
    let (first, text) = seed(&arguments);
    assert_ne!(seed(&arguments).0, first);
    assert_eq!(seed(&[&arguments[..], &["--seed", &first]].concat()).1, text);
}

#[test]
fn guesses_change_no_answer() {
    let Some(model) = demo() else { return };
    let text = "one two three four five six seven eight nine ten; one two three four";
    let arguments = ["--raw", "-p", text, "-n", "12", "--seed", "3", "--ctx", "64"];
    let plain = bantam("run", &model, &[&arguments[..], &["--draft-max", "0"]].concat()).succeeds();
    assert_eq!(bantam("run", &model, &arguments).succeeds(), plain);
    for more in [&["--draft-min", "4"][..], &["--model-draft", model.to_str().unwrap(), "--draft-min", "3"]] {
        let run = bantam("run", &model, &[&arguments[..], &["-v"], more].concat());
        assert_eq!((run.code, run.stdout), (0, plain.clone()), "{}", run.stderr);
        assert!(run.stderr.contains("guesses: "), "{}", run.stderr);
        assert_eq!(run.stderr.contains("draft model: "), more.contains(&"--model-draft"), "{}", run.stderr);
    }
}

#[test]
fn names_may_be_written_large() {
    let Some(model) = demo() else { return };
    let arguments = ["-p", "hi", "-n", "1", "--ctx", "64", "--cache-type", "Q8_0", "--prio", "Low"];
    bantam("run", &model, &arguments).succeeds();
}

#[test]
fn a_full_context_ends_the_answer_with_a_note() {
    let Some(model) = demo() else { return };
    let run = bantam("run", &model, &["--raw", "-p", "1, 2, 3,", "--temp", "0", "--ctx", "12"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.starts_with("note: ") && run.stderr.contains("12 tokens"), "{}", run.stderr);
    assert!(run.stdout.starts_with(" 4,"), "{}", run.stdout);
}

#[test]
fn whoever_stops_reading_ends_the_command_quietly() {
    let Some(model) = demo() else { return };
    let mut child = command()
        .args(["run", model.to_str().unwrap(), "--raw", "-p", "1, 2, 3,", "--temp", "0", "-n", "200"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let Some(model) = demo() else { return };
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let arguments = ["run", model.to_str().unwrap(), "--raw", "-p", "1, 2, 3,", "-n", "4"];
    let output = command().args(arguments).stdin(Stdio::null()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}
