//! The examples do what their first lines say. `cargo test` builds them beside the tests.
#![cfg(feature = "chat")]

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An example that was built with this test.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let built: PathBuf = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        built.exists(),
        "{} is missing: a plain `cargo test` builds it, and so does `cargo build --examples`",
        built.display()
    );
    Command::new(built)
}

#[test]
fn the_chat_answers_line_by_line() {
    let Some(model) = common::demo_model() else { return };
    let mut chat = example("chat").arg(model).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    chat.stdin
        .take()
        .unwrap()
        .write_all(b"What is the capital of France?\nAnd what is the capital of Italy?\n")
        .unwrap();
    let done = chat.wait_with_output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{said}");
    assert!(said.contains("Paris") && said.trim().lines().count() >= 2, "{said}");
}

#[test]
fn the_greedy_one_goes_on_with_a_text() {
    let Some(model) = common::demo_model() else { return };
    let done = example("greedy").arg(model).arg("The capital of France is").output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.contains("Paris"), "{said}");
}
