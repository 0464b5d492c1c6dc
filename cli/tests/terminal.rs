//! The interactive chat, on a pseudo-terminal that Python holds (terminal.py says what is tried).
#![cfg(unix)]

mod common;

use std::process::Command;

#[test]
fn a_chat_keeps_its_history_and_obeys_the_keys() {
    let Some(demo) = common::demo() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/terminal.py");
    let output =
        match Command::new("python3").arg(script).arg(env!("CARGO_BIN_EXE_bantam")).arg(demo).output() {
            Ok(output) => output,
            Err(error) if std::env::var_os("CI").is_none() => {
                return println!("skipped: no python3 ({error})");
            }
            Err(error) => panic!("python3: {error}"),
        };
    assert!(output.stdout.ends_with(b"ok\n"), "{}", String::from_utf8_lossy(&output.stderr));
}
