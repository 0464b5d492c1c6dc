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

#[test]
fn a_stop_string_ends_the_answer_before_it() {
    let Some(model) = demo() else { return };
    let golden = golden("1, 2, 3, 4, 5, 6");
    let (text, answer) = (golden["text"].as_str().unwrap(), golden["answer"].as_str().unwrap());
    // The end of one number and the beginning of the next: no token is like that.
    let stop = &answer[7..12];
    let arguments = ["--raw", "--temp", "0", "-n", "24", "-p", text, "-r", "never there", "--stop", stop];
    let before = &answer[..answer.find(stop).unwrap()];
    assert_eq!(bantam("run", &model, &arguments).succeeds(), format!("{before}\n"));
    bantam("run", &model, &["-p", "x", "--stop", ""]).fails(2, &["--stop", "empty"]);
}

#[test]
fn lines_of_json_tell_how_sure_the_model_was() {
    let Some(model) = demo() else { return };
    let golden = golden("1, 2, 3, 4, 5, 6");
    let text = golden["text"].as_str().unwrap();
    let arguments = ["--raw", "--temp", "0", "-n", "6", "-p", text];
    let plain = bantam("run", &model, &arguments).succeeds();
    let lines = |more: &[&str]| -> Vec<Value> {
        let said = bantam("run", &model, &[&arguments[..], more].concat()).succeeds();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&["--logprobs", "3", "--confidence"]);
    let (answer, tokens) = all.split_last().unwrap();
    assert_eq!(tokens.len(), 6);
    let whole: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(whole + "\n", plain);
    let mut sum = 0.0;
    for token in tokens {
        let top = token["top"].as_array().unwrap();
        assert_eq!((top.len(), &top[0]["id"], &top[0]["logprob"]), (3, &token["id"], &token["logprob"]));
        let margin = top[0]["logprob"].as_f64().unwrap() - top[1]["logprob"].as_f64().unwrap();
        assert!((token["margin"].as_f64().unwrap() - margin).abs() < 1e-5);
        assert!(token["entropy"].as_f64().unwrap() >= 0.0);
        sum += token["logprob"].as_f64().unwrap();
    }
    assert_eq!(
        (answer["answer"].as_str().unwrap(), &answer["stop"]),
        (plain.trim_end_matches('\n'), &"length".into())
    );
    let mean = answer["confidence"]["mean_logprob"].as_f64().unwrap();
    assert!((mean - sum / 6.0).abs() < 1e-5);
    assert_eq!(lines(&["--confidence"]), std::slice::from_ref(answer));
    assert_eq!(lines(&["--logprobs", "0"])[0].get("top"), None);
}

#[test]
fn a_prompt_cache_is_read_once_and_never_lost() {
    let Some(model) = demo() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let cache = cache.to_str().unwrap();
    let ask = |question: &str, more: &[&str]| {
        let arguments = ["--temp", "0", "-n", "4", "-v", "--prompt-cache", cache, "-p", question];
        bantam("run", &model, &[&arguments[..], more].concat())
    };
    let read = |stderr: &str| {
        stderr.split("prompt: ").nth(1).unwrap().split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let first = ask("Why is the sky blue?", &[]);
    let again = ask("Why is the sky blue?", &[]);
    assert_eq!(first.stdout, again.stdout);
    assert_eq!((read(&first.stderr), read(&again.stderr)), (36, 0));
    // Another question begins alike.
    let kept = std::fs::read(cache).unwrap();
    let other = ask("Why is the sky dark at night?", &["--prompt-cache-ro"]);
    assert!((5..20).contains(&read(&other.stderr)), "{}", other.stderr);
    assert_eq!(std::fs::read(cache).unwrap(), kept, "only read");
    // A file that is damaged, or something else, is an error and stays as it is.
    let mut damaged = kept.clone();
    damaged[kept.len() / 2] ^= 1;
    for bytes in [&damaged[..], &kept[..1000], b"a diary"] {
        std::fs::write(cache, bytes).unwrap();
        bantam("run", &model, &["-p", "x", "--prompt-cache", cache])
            .fails(1, &["--prompt-cache", "saved session"]);
        assert_eq!(std::fs::read(cache).unwrap(), bytes);
    }
}

#[test]
fn a_prompt_cache_that_cannot_be_written_is_told_first_and_costs_no_answer() {
    let Some(model) = demo() else { return };
    let cached = |path: &str, more: &[&str]| {
        bantam("run", &model, &[&["-p", "hi", "-n", "2", "--prompt-cache", path], more].concat())
    };
    cached("/nonexistent/pc", &[])
        .fails(1, &["--prompt-cache /nonexistent/pc", "folder /nonexistent", "can be written to"]);
    cached(env!("CARGO_MANIFEST_DIR"), &[]).fails(1, &["--prompt-cache", "it is not a file"]);
    // Before the model is opened, and so before anything is read.
    bantam("run", std::path::Path::new("no/such.gguf"), &["-p", "hi", "--prompt-cache", "/nonexistent/pc"])
        .fails(1, &["folder /nonexistent"]);
    // Nothing is written with this one, and what is not there cannot be read.
    cached("/nonexistent/pc", &["--prompt-cache-ro"]).fails(1, &["/nonexistent/pc", "No such file"]);
    if cfg!(target_os = "linux") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        // As a full disk: no file may grow beyond a block, and the signal for that is ignored.
        let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
        let output = std::process::Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_bantam"), "run", model.to_str().unwrap()])
            .args(["-p", "hi", "-n", "2", "--prompt-cache-all", "--prompt-cache", path.to_str().unwrap()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(
            !output.stdout.is_empty() && stderr.starts_with("note: cannot save the session to "),
            "{stderr}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_full_context_is_told_or_shifted() {
    let Some(model) = demo() else { return };
    let arguments =
        ["--raw", "--temp", "0", "-n", "80", "--ctx", "48", "--ignore-eos", "-p", "Once upon a time"];
    let stopped = bantam("run", &model, &[&arguments[..], &["--confidence"]].concat());
    assert!(
        stopped.stdout.contains("\"context_full\"")
            && stopped.stderr.contains("context of 48 tokens is full")
    );
    let shifted = bantam("run", &model, &[&arguments[..], &["--context-shift", "--confidence"]].concat());
    let line: Value = serde_json::from_str(&shifted.stdout).unwrap();
    assert_eq!((&line["stop"], &line["tokens"]), (&"length".into(), &80.into()));
}

#[test]
fn an_answer_keeps_to_its_form() {
    let Some(model) = demo() else { return };
    let schema = r#"{"type": "object", "properties": {"city": {"enum": ["Rome", "Paris"]}, "rivers": {"type": "array",
        "items": {"type": "string", "maxLength": 8}, "maxItems": 2}}, "required": ["city", "rivers"], "additionalProperties": false}"#;
    let path = file("schema.json", schema.as_bytes());
    for (option, value) in [("--json-schema", schema), ("--json-schema-file", path.to_str().unwrap())] {
        for sampling in [["--temp", "0"], ["--temp", "3"]] {
            let arguments =
                ["-p", "Describe a city.", "-n", "300", "--top-k", "0", "--min-p", "0", option, value];
            let said = bantam("run", &model, &[&arguments[..], &sampling].concat()).succeeds();
            let said: Value = serde_json::from_str(&said).unwrap();
            assert!(["Rome", "Paris"].contains(&said["city"].as_str().unwrap()));
            assert!(said["rivers"].as_array().unwrap().len() <= 2);
        }
    }
    let gbnf = file("grammar.gbnf", b"root ::= \"<\" [a-c]+ \">\"");
    let said = bantam("run", &model, &["-p", "x", "-n", "40", "--grammar-file", gbnf.to_str().unwrap()]);
    assert!(said.stdout.starts_with('<'), "{}", said.stdout);
    let said = bantam("run", &model, &["-p", "Is it?", "--regex", "yes|no", "--confidence"]).succeeds();
    let line: Value = serde_json::from_str(&said).unwrap();
    assert!(["yes", "no"].contains(&line["answer"].as_str().unwrap()));
    assert_eq!((&line["stop"], &line["complete"]), (&"complete".into(), &true.into()));
    // Cut off in the middle, it says so.
    let cut = bantam("run", &model, &["-p", "x", "--regex", "(ab){100}", "-n", "3"]);
    assert!(cut.code == 3 && cut.stderr.contains("unfinished"), "{}", cut.stderr);
    for (option, value) in
        [("--regex", "(yes|no"), ("--json-schema", "{\"type\": 3"), ("--grammar", "root ::= other")]
    {
        bantam("run", &model, &["-p", "x", option, value]).fails(2, &[option]);
    }
    let said =
        bantam("run", &model, &["-p", "x", "-n", "-1", "--seed", "-1", "--regex", "yes|no"]).succeeds();
    assert!(["yes\n", "no\n"].contains(&said.as_str()), "{said}");
    let keep = ["--context-shift", "--keep", "64", "--ctx", "64"];
    bantam("run", &model, &[&["-p", "x"], &keep[..]].concat())
        .fails(2, &["--keep 64 leaves nothing to forget"]);
    let both = ["-p", "x", "--mirostat", "2", "--samplers", "top_k"];
    bantam("run", &model, &both).fails(2, &["--mirostat takes the place"]);
    bantam("run", &model, &["-p", "x", "--grammar-file", "/no/such/file"]).fails(1, &["/no/such/file"]);
    bantam("run", &model, &["-p", "x", "--regex", "a", "--grammar", "root ::= \"a\""]).fails(2, &["--regex"]);
}

#[test]
fn tools_are_called_and_their_results_are_answered() {
    let Some(model) = demo() else { return };
    let tools = file(
        "tools.json",
        br#"[{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
            "properties": {"city": {"enum": ["Rome", "Paris"]}}, "required": ["city"], "additionalProperties": false}}}]"#,
    );
    let tools = ["--tools", tools.to_str().unwrap(), "-n", "120", "--temp", "0"];
    let arguments = ["-p", "How is the weather in Paris?", "--tool-choice", "required"];
    let said = bantam("run", &model, &[&tools[..], &arguments].concat()).succeeds();
    let message: Value = serde_json::from_str(&said).unwrap();
    let call = &message["tool_calls"][0];
    assert_eq!((&message["finish_reason"], &message["content"]), (&"tool_calls".into(), &"".into()));
    let nope = ["-p", "x", "--tool-choice", "nope"];
    bantam("run", &model, &[&tools[..], &nope].concat())
        .fails(2, &["--tool-choice: ", "nope", "get_weather"]);
    let cut = bantam("run", &model, &[&tools[..2], &["--temp", "0", "-n", "7"], &arguments].concat());
    assert_eq!(cut.code, 3);
    let cut = cut.stdout;
    let cut: Value = serde_json::from_str(&cut).unwrap();
    assert_eq!((&cut["finish_reason"], &cut["content"]), (&"length".into(), &"".into()));
    assert_eq!(call["function"]["name"], "get_weather");
    let given: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(["Rome", "Paris"].contains(&given["city"].as_str().unwrap()));

    let result = serde_json::json!({ "role": "tool", "tool_call_id": call["id"], "content": "Rain." });
    let question = serde_json::json!({ "role": "user", "content": "How is the weather in Paris?" });
    let messages =
        file("messages.json", serde_json::json!([question, message, result]).to_string().as_bytes());
    let arguments = ["--messages", messages.to_str().unwrap(), "--tool-choice", "none"];
    let said = bantam("run", &model, &[&tools[..], &arguments].concat()).succeeds();
    let message: Value = serde_json::from_str(&said).unwrap();
    assert!(!message["content"].as_str().unwrap().is_empty());

    let none = file("none.json", b"[]");
    bantam("run", &model, &["-p", "x", "--tools", none.to_str().unwrap()])
        .fails(1, &["none.json", "no tools"]);
    let broken = file("broken.json", b"[{\"role\": \"user\"");
    bantam("run", &model, &["--messages", broken.to_str().unwrap()]).fails(1, &["broken.json", "JSON"]);
    bantam("run", &model, &["-p", "x", "--tools", broken.to_str().unwrap()])
        .fails(1, &["broken.json", "JSON"]);
    let arguments = ["-p", "x", "--tool-choice", "get_time"];
    bantam("run", &model, &[&tools[..], &arguments].concat())
        .fails(2, &["--tool-choice: ", "get_time", "get_weather"]);
}

#[test]
fn the_next_question_stands_behind_the_messages() {
    let Some(model) = demo() else { return };
    let said = [("system", "Be brief."), ("user", "Hello!"), ("assistant", "Hi."), ("user", "And now?")];
    let json = |said: &[(&str, &str)]| -> Vec<u8> {
        let message =
            |(role, content): &(&str, &str)| serde_json::json!({ "role": role, "content": content });
        serde_json::to_vec(&said.iter().map(message).collect::<Vec<Value>>()).unwrap()
    };
    let greedy = ["--temp", "0", "-n", "8"];
    let all = file("all.json", &json(&said));
    let whole = [&greedy[..], &["--messages", all.to_str().unwrap()]].concat();
    let answer = bantam("run", &model, &whole).succeeds();
    let begun = file("begun.json", &json(&said[..3]));
    let next = ["--messages", begun.to_str().unwrap(), "-p", "And now?"];
    assert_eq!(bantam("run", &model, &[&greedy[..], &next].concat()).succeeds(), answer);
    // From standard input, with the byte order mark of a Windows editor, and with the system text as an option.
    let marked = ["\u{feff}".as_bytes(), &json(&said[1..])].concat();
    let from_input = [&greedy[..], &["--messages", "-", "--system", "Be brief."]].concat();
    assert_eq!(bantam_reading("run", &model, &from_input, &marked).succeeds(), answer);
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_prompt() {
    let Some(model) = demo() else { return };
    let marked = file("marked.txt", "\u{feff}1, 2, 3,\n".as_bytes());
    let arguments = ["--raw", "--temp", "0", "-n", "6"];
    let plain = bantam("run", &model, &[&arguments[..], &["-p", "1, 2, 3,"]].concat()).succeeds();
    let from_file = [&arguments[..], &["-f", marked.to_str().unwrap()]].concat();
    assert_eq!(bantam("run", &model, &from_file).succeeds(), plain);
    let from_input = [&arguments[..], &["-f", "-"]].concat();
    assert_eq!(bantam_reading("run", &model, &from_input, &std::fs::read(marked).unwrap()).succeeds(), plain);
}

/// An adapter of zeros for one matrix of the demo model, of rank 4.
fn adapter(name: &str, architecture: &str, b: f32) -> std::path::PathBuf {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend(2u64.to_le_bytes());
    bytes.extend(4u64.to_le_bytes());
    for (key, value) in
        [("general.type", "adapter"), ("general.architecture", architecture), ("adapter.type", "lora")]
    {
        text(&mut bytes, key);
        bytes.extend(8u32.to_le_bytes());
        text(&mut bytes, value);
    }
    text(&mut bytes, "adapter.lora.alpha");
    bytes.extend(6u32.to_le_bytes());
    bytes.extend(8f32.to_le_bytes());
    for (end, shape, offset) in [("a", [576u64, 4], 0u64), ("b", [4, 576], 4 * 4 * 576)] {
        text(&mut bytes, &format!("blk.0.attn_q.weight.lora_{end}"));
        bytes.extend(2u32.to_le_bytes());
        shape.iter().for_each(|extent| bytes.extend(extent.to_le_bytes()));
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    for i in 0..2 * 4 * 576 {
        let value = if i < 4 * 576 { (i % 7) as f32 / 7.0 - 0.4 } else { b * ((i % 5) as f32 - 2.0) };
        bytes.extend(value.to_le_bytes());
    }
    file(name, &bytes)
}

#[test]
fn adapters_change_answers_by_their_scale() {
    let Some(demo) = demo() else { return };
    let path = adapter("adapter.gguf", "llama", 1.0);
    let path = path.to_str().unwrap();
    let say = |more: &[&str]| {
        let arguments = ["--raw", "--temp", "0", "-n", "8", "-p", "The capital of France is"];
        bantam("run", &demo, &[&arguments[..], more].concat()).succeeds()
    };
    let plain = say(&[]);
    let scaled = |scale: &str| say(&["--lora", &format!("{path}={scale}")]);
    assert_eq!(scaled("0"), plain);
    let strong = scaled("1");
    assert_ne!(strong, plain, "an adapter of large numbers is heard");
    assert_eq!(say(&["--lora", path]), strong);
    assert_eq!(say(&["--lora", &format!("{path}=0.5"), "--lora", &format!("{path}=-0.5")]), plain);
}

#[test]
fn adapters_are_told_from_models() {
    let Some(demo) = demo() else { return };
    let path = adapter("shown.gguf", "llama", 0.0);
    let told = bantam("inspect", &path, &[]).succeeds();
    assert!(told.contains("adapter        lora, rank 4, alpha 8, for 1 matrix\n"), "{told}");
    let json: Value = serde_json::from_str(&bantam("inspect", &path, &["--json"]).succeeds()).unwrap();
    assert_eq!(json["adapter"]["matrices"], 1);
    bantam("run", &path, &["-p", "Hi"]).fails(1, &["shown.gguf", "is an adapter", "--lora"]);
    let lora = |path: &std::path::Path| ["-p", "Hi", "--lora", path.to_str().unwrap()].map(str::to_owned);
    let run = |path: &std::path::Path| {
        let arguments = lora(path);
        bantam("run", &demo, &arguments.each_ref().map(String::as_str))
    };
    run(&demo).fails(1, &["is no adapter"]);
    run(&adapter("foreign.gguf", "qwen2", 0.0)).fails(1, &["foreign.gguf", "\"qwen2\"", "\"llama\""]);
    bantam("run", &demo, &["-p", "Hi", "--lora", "a.gguf=much"]).fails(2, &["\"much\""]);
}
