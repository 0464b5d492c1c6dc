//! What goes wrong is one clear line on standard error, and an exit code that says whose fault it was.

mod common;

use std::path::Path;

use common::{Run, bantam, bantam_reading, command, demo, file, vocabulary};

fn run(model: &Path, arguments: &[&str]) -> Run {
    bantam("run", model, arguments)
}

#[test]
fn a_file_that_is_no_model_is_an_error() {
    let text = file("text.gguf", b"This is not a model.\n");
    let empty = file("empty.gguf", b"");
    for subcommand in ["run", "inspect", "tokenize", "bench"] {
        bantam(subcommand, &text, &[]).fails(1, &["text.gguf", "not a GGUF file"]);
        bantam(subcommand, &empty, &[]).fails(1, &["empty.gguf", "empty"]);
        bantam(subcommand, Path::new("no/such.gguf"), &[]).fails(1, &["no/such.gguf", "No such file"]);
        bantam(subcommand, Path::new(env!("CARGO_MANIFEST_DIR")), &[]).fails(1, &["is a directory"]);
    }
    let strange = file("line\nbreak.gguf", b"no");
    run(&strange, &["-p", "hi"]).fails(1, &["line\u{fffd}break.gguf"]);
}

#[test]
fn a_model_that_is_cut_off_is_an_error() {
    let Some(demo) = demo() else { return };
    let bytes = std::fs::read(demo).unwrap();
    for length in [3, 100, 1_000_000, bytes.len() - 1] {
        let cut = file(&format!("cut-{length}.gguf"), &bytes[..length]);
        run(&cut, &["-p", "hi"]).fails(1, &[&format!("cut-{length}.gguf")]);
        bantam("inspect", &cut, &[]).fails(1, &[&format!("cut-{length}.gguf")]);
        std::fs::remove_file(cut).unwrap();
    }
}

#[test]
fn values_without_sense_are_wrong_usage() {
    let Some(demo) = demo() else { return };
    for (arguments, part) in [
        (&["--ctx", "0"][..], "--ctx"),
        (&["--threads", "0"], "--threads"),
        (&["--threads", "70000"], "--threads"),
        (&["--threads", "1025"], "1..=1024"),
        (&["--prio", "realtime"], "low, normal, medium or high"),
        (&["--prio", "3"], "low, normal, medium or high"),
        (&["--backend", "abacus"], "possible values: "),
        (&["--draft-max", "16"], "--draft-max"),
        (&["--draft-min", "many"], "--draft-min"),
        (&["--draft-min", "5", "--draft-max", "2"], "--draft-max"),
        // A negative number is a wrong value, not an option that nobody knows.
        (&["-n", "-2"], "invalid value '-2' for '--max"),
        (&["--seed", "-2"], "invalid value '-2' for '--seed"),
        (&["--draft-max", "-1"], "invalid value '-1' for '--draft-max"),
        (&["--temp", "-1"], "'--temp"),
        (&["--temp", "warm"], "--temp"),
        (&["--temp", "inf"], "a number, 0 or greater"),
        (&["--top-p", "1.5"], "top-p"),
        (&["--min-p", "-0.5"], "min-p"),
        (&["--samplers", "top_k;grammar"], "no sampler is named grammar"),
        (&["--logit-bias", "15043"], "15043-inf"),
        (&["--mirostat", "3"], "'--mirostat"),
        (&["--raw", "--system", "Be brief."], "--system"),
        (&["-f", "file"], "--file"),
        (&["-"], "--prompt"),
        (&["--no-such-option"], "--no-such-option"),
    ] {
        run(&demo, &[&["-p", "hi"], arguments].concat()).fails(2, &[part]);
    }
    bantam("bench", &demo, &["--prompt", "0", "--generate", "0"]).fails(2, &["nothing to measure"]);
    let bare = command().arg("run").output().unwrap();
    assert_eq!(bare.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&bare.stderr).lines().count(), 1);
}

#[test]
fn a_text_may_begin_like_an_option() {
    let Some(demo) = demo() else { return };
    // That they get further than the command line is told by what is wrong behind it.
    for arguments in [
        &["--stop", "---"][..],
        &["-r", "-n"],
        &["--system", "- be brief"],
        &["--regex", "-?[0-9]+"],
        &["--dry-sequence-breaker", "--"],
    ] {
        run(&demo, &[&["-p", " "], arguments].concat()).fails(1, &["the prompt is empty"]);
    }
    for option in ["--json-schema", "--grammar"] {
        run(&demo, &["-p", "hi", option, "-x"]).fails(2, &[&format!("{option}: ")]);
    }
    let query = ["-q", "-n", "a hen", "--pooling", "mean"];
    assert!(bantam("embed", &demo, &query).succeeds().ends_with("  a hen\n"));
    // Among the texts of embed they stand behind `--`, which is told; nothing else takes any there.
    bantam("embed", &demo, &["-n"]).fails(2, &["unexpected argument '-n'", "use '-- -n'"]);
    bantam("embed", &demo, &["--pooling", "mean", "--", "-n"]).succeeds();
    let told = run(&demo, &["--nope"]);
    told.fails(2, &["unexpected argument '--nope'"]);
    assert!(!told.stderr.contains("tip"), "{}", told.stderr);
}

#[test]
fn of_an_option_given_twice_the_last_counts_and_lists_gather() {
    let Some(demo) = demo() else { return };
    let twice =
        ["-p", "", "-p", "1, 2, 3,", "--raw", "--raw", "-n", "0", "-n", "3", "--temp", "0", "--temp", "0"];
    let once = ["-p", "1, 2, 3,", "--raw", "-n", "3", "--temp", "0"];
    assert_eq!(run(&demo, &twice).succeeds(), run(&demo, &once).succeeds());
    // The last of all stops would do no harm.
    run(&demo, &["-p", "hi", "--stop", "", "--stop", "a"]).fails(2, &["--stop", "empty"]);
    run(&demo, &["-p", "hi", "--lora", "no/such.gguf", "--lora", demo.to_str().unwrap()])
        .fails(1, &["no/such.gguf"]);
    run(&demo, &["-p", "hi", "-n", "1", "-n", "-2"]).fails(2, &["invalid value '-2'"]);
    let ids = bantam("tokenize", &demo, &["--ids", "-t", "a", "--ids", "-t", "Hello world"]).succeeds();
    assert_eq!(ids, "19556 905\n");
}

#[test]
fn every_exit_code_is_in_the_help() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let help = Run::of(command().args(arguments).output().unwrap()).succeeds();
        for part in ["0 success", "1 error", "2 wrong usage", "3 an answer", "130 interrupted"] {
            assert!(help.contains(part), "no {part:?} in {help}");
        }
    }
}

#[test]
fn a_backend_of_the_environment_is_checked_too() {
    let Some(demo) = demo() else { return };
    let output =
        command().arg("run").arg(demo).args(["-p", "hi"]).env("BANTAM_BACKEND", "abacus").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("abacus"));
}

#[test]
fn a_context_whose_memory_cannot_be_had_names_the_bytes() {
    let Some(demo) = demo() else { return };
    run(&demo, &["-p", "hi", "--ctx", "10000000"]).fails(1, &["230400000000 bytes", "--ctx"]);
    run(&demo, &["-p", "hi", "--ctx", "4294967295"]).fails(1, &["bytes", "--ctx"]);
}

#[test]
fn a_prompt_longer_than_the_context_names_both() {
    let Some(demo) = demo() else { return };
    let long = file("long.txt", "word ".repeat(20_000).as_bytes());
    for mode in [&["--raw"][..], &[]] {
        let run = run(&demo, &[mode, &["-f", long.to_str().unwrap(), "--ctx", "128"]].concat());
        run.fails(1, &["the prompt has 200", "the context holds 128"]);
    }
}

#[test]
fn a_draft_model_is_blamed_for_what_is_wrong_with_it() {
    let Some(demo) = demo() else { return };
    run(&demo, &["-p", "hi", "--model-draft", "no/such.gguf"]).fails(1, &["no/such.gguf"]);
    let text = file("draft.gguf", b"This is not a model.\n");
    run(&demo, &["-p", "hi", "--md", text.to_str().unwrap()]).fails(1, &["draft.gguf", "not a GGUF file"]);
}

#[test]
fn an_empty_prompt_is_an_error() {
    let Some(demo) = demo() else { return };
    run(&demo, &["-p", ""]).fails(1, &["the prompt is empty"]);
    run(&demo, &["-p", " \n"]).fails(1, &["the prompt is empty"]);
    run(&demo, &["--raw", "-p", ""]).fails(1, &["the prompt is empty"]);
    run(&demo, &[]).fails(1, &["the prompt is empty"]);
}

#[test]
fn a_prompt_that_is_no_text_is_an_error() {
    let Some(demo) = demo() else { return };
    bantam_reading("run", &demo, &["-"], b"caf\xe9").fails(1, &["standard input", "byte 3"]);
    bantam_reading("run", &demo, &["-f", "-"], b"caf\xe9").fails(1, &["standard input", "byte 3"]);
    run(&demo, &["-f", "no/such.txt"]).fails(1, &["no/such.txt"]);
}

#[test]
fn messages_that_leave_nothing_to_answer_are_an_error() {
    let Some(demo) = demo() else { return };
    let messages = |input: &str, more: &[&str]| {
        bantam_reading("run", &demo, &[&["--messages", "-"], more].concat(), input.as_bytes())
    };
    let message = |role: &str| format!("{{\"role\": \"{role}\", \"content\": \"a\"}}");
    let (system, user, assistant) = (message("system"), message("user"), message("assistant"));
    messages(&format!("[{user}, {assistant}]"), &[])
        .fails(1, &["standard input: the last message is the assistant's", "with -p"]);
    messages("[]", &[]).fails(1, &["standard input: there are no messages"]);
    messages("[]", &["-p", "hi"]).fails(1, &["there are no messages"]);
    messages(&format!("[{user}, {assistant}]"), &["-p", " "]).fails(1, &["the prompt is empty"]);
    messages(&format!("[{user}, {}]", message("assitant")), &[])
        .fails(1, &["standard input: message 2 has the role \"assitant\"", "user, assistant"]);
    messages(&format!("[{system}, {user}]"), &["--system", "b"]).fails(2, &["--system", "--messages"]);
    messages("[", &["-f", "-"]).fails(2, &["--file"]);
}

#[test]
fn a_vocabulary_alone_cannot_be_run() {
    let Some(demo) = demo() else { return };
    run(&vocabulary(&demo), &["-p", "hi"]).fails(1, &["vocabulary only"]);
}
