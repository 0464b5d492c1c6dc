//! Runs the command and shows what came out of it.
#![allow(dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A file of `models/`; `None` if it is not there.
pub(crate) fn model(name: &str) -> Option<PathBuf> {
    let path = root().join("models").join(name);
    if !path.exists() {
        println!("skipped: {} is not there (make model vocabs)", path.display());
        return None;
    }
    Some(path)
}

/// The demo model, which CI always has.
pub(crate) fn demo() -> Option<PathBuf> {
    let demo = model("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(demo.is_some() || std::env::var_os("CI").is_none(), "the demo model is not there");
    demo
}

/// A file with the metadata of the demo model, and so its vocabulary, but without tensors.
pub(crate) fn vocabulary(demo: &Path) -> PathBuf {
    let bytes = std::fs::read(demo).expect("the demo model can be read");
    let mapping = bantam::mmap::Mapping::open(demo).expect("it can be mapped");
    let directory = bantam::gguf::File::open(mapping).expect("it is sound");
    let (name, _) = directory.tensors().next().expect("it has tensors");
    let name = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let end =
        bytes.windows(name.len()).position(|window| window == name).expect("the directory names the tensor");
    // "GGUF", the version, no tensors, then the number of entries and all of them.
    file("vocabulary.gguf", &[&bytes[..8], &[0; 8], &bytes[16..end]].concat())
}

/// What a run of the command gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
        Run {
            stdout: String::from_utf8(output.stdout).expect("standard output is text"),
            stderr: String::from_utf8(output.stderr).expect("standard error is text"),
            code: output.status.code().expect("no signal ended the command"),
        }
    }

    /// Checks that the command failed with `code`, one line on standard error with all of `parts`, and nothing on
    /// standard output.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {}", self.stderr);
        }
    }

    /// Checks that the command succeeded and said nothing on standard error; returns standard output.
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""));
        self.stdout
    }
}

/// The command, without a forced backend.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bantam"));
    command.env_remove("BANTAM_BACKEND");
    command
}

/// Runs `bantam SUBCOMMAND MODEL ARGUMENTS` with nothing on standard input.
pub(crate) fn bantam(subcommand: &str, model: &Path, arguments: &[&str]) -> Run {
    let mut command = command();
    command.arg(subcommand).arg(model).args(arguments).stdin(Stdio::null());
    Run::of(command.output().expect("the command starts"))
}

/// As [`bantam`], with `input` on standard input.
pub(crate) fn bantam_reading(subcommand: &str, model: &Path, arguments: &[&str], input: &[u8]) -> Run {
    let mut command = command();
    command.arg(subcommand).arg(model).args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // Closing standard input ends the prompt. A command that fails early reads none of it.
    let _ = child.stdin.take().expect("standard input is piped").write_all(input);
    Run::of(child.wait_with_output().expect("the command ends"))
}

/// A file of the given bytes that lives as long as the test's process needs it.
pub(crate) fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("the test can write its files");
    path
}
