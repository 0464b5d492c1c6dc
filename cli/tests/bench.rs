//! `bantam bench`: that it measures, not how fast.

mod common;

use common::{Run, bantam, command, demo};
use serde_json::Value;

#[test]
fn the_json_has_the_keys_that_are_promised() {
    let Some(demo) = demo() else { return };
    let small = ["--prompt", "4", "--generate", "2", "--repeat", "2", "--threads", "2", "--json"];
    let told: Value = serde_json::from_str(&bantam("bench", &demo, &small).succeeds()).unwrap();
    for rate in ["prefill_tps", "decode_tps"] {
        let number = |key: &str| told[rate][key].as_f64().unwrap();
        assert!(
            0.0 < number("min") && number("min") <= number("median") && number("median") <= number("max")
        );
    }
    for key in ["load_ms", "first_token_ms"] {
        assert!(told[key].as_f64().unwrap() > 0.0);
    }
    assert_eq!(told["threads"], 2);
    for (key, value) in [("prompt", 4), ("generate", 2), ("depth", 0), ("repeat", 2)] {
        assert_eq!(told[key], value, "{key}");
    }
    assert_eq!(told["cache_type"], "f16");
    let cpus = |key: &str| told[key].as_u64().unwrap();
    assert!(1 <= cpus("fast_cpus") && cpus("fast_cpus") <= cpus("cpus"));
    assert_eq!(told["model"].as_str(), demo.to_str());
    assert!(!told["backend"].as_str().unwrap().is_empty());
    if cfg!(target_os = "linux") {
        assert!(told["file_bytes"].as_u64().unwrap() > 90_000_000, "the weights are pages of the file");
        assert!(told["anonymous_bytes"].as_u64().unwrap() < 60_000_000, "and are not copied");
    }
}

#[test]
fn a_part_can_be_left_out() {
    let Some(demo) = demo() else { return };
    let told = bantam("bench", &demo, &["--prompt", "0", "--generate", "2", "--repeat", "1"]).succeeds();
    assert!(told.contains("decode") && !told.contains("prefill"), "{told}");
    let short = ["--prompt", "3", "--generate", "0", "--repeat", "1"];
    let told = bantam("bench", &demo, &[&short[..], &["-t", "1", "--prio", "-1"]].concat()).succeeds();
    assert!(told.contains("prefill") && !told.contains("decode"), "{told}");
}

#[test]
fn what_is_measured_can_be_behind_other_tokens() {
    let Some(demo) = demo() else { return };
    let few = ["--depth", "20", "--generate", "2", "--repeat", "1"];
    let told = bantam("bench", &demo, &[&few[..], &["--prompt", "3"]].concat()).succeeds();
    assert!(told.contains("3 tokens behind 20") && told.contains("2 tokens behind 20"), "{told}");
    let told = bantam("bench", &demo, &[&few[..], &["--prompt", "0"]].concat()).succeeds();
    assert!(!told.contains("prefill") && told.contains("2 tokens behind 20"), "{told}");
}

/// `bantam bench --kernels ARGUMENTS`, small.
fn kernels(arguments: &[&str]) -> Run {
    let small =
        if arguments.contains(&"--k") { &["--rows", "64"][..] } else { &["--rows", "64", "--k", "256"] };
    Run::of(command().args(["bench", "--kernels"]).args(small).args(arguments).output().unwrap())
}

#[test]
fn kernels_are_measured_without_a_model() {
    let arguments = ["--backend", "scalar", "--only", "matmul,attend,rope", "--format", "q4_0,F16"];
    let told: Value = serde_json::from_str(
        &kernels(&[&arguments[..4], &["--json", "--columns", "1,3"]].concat()).succeeds(),
    )
    .unwrap();
    assert_eq!((&told["threads"], &told["k"]), (&1.into(), &256.into()));
    assert!(told["backends"][0]["read_gbs"].as_f64().unwrap() > 0.0);
    let rows = told["kernels"].as_array().unwrap();
    assert_eq!(rows.len(), 16 * 2 + 3 + 1, "two of every format, one of every cache format, and rope");
    for row in rows {
        assert_eq!(row["backend"], "scalar");
        assert!(row["gbs"].as_f64().unwrap() > 0.0);
        assert_eq!(row["columns"].is_u64(), row["kernel"] == "matmul");
        assert_eq!(row["format"].is_string(), row["kernel"] != "rope");
        assert_eq!(row["origin"].as_str(), (row["kernel"] != "rope").then_some("scalar"));
    }
    let threads = std::thread::available_parallelism().unwrap().get().min(2).to_string();
    let more = ["--threads", &threads, "--columns", "2", "--quantize", "--copies", "1"];
    let told = kernels(&[&arguments[..], &more].concat()).succeeds();
    assert!(
        told.starts_with(&format!("{threads} thread")) && told.contains("backend scalar: reads at most "),
        "{told}"
    );
    assert!(told.contains("Q4_0") && told.contains("F16") && !told.contains("rope"), "{told}");
    assert_eq!(told.lines().count(), 3 + 1 + 4, "{told}");
}

#[test]
fn every_kernel_can_be_measured() {
    let told = kernels(&["--format", "Q4_K", "--columns", "1"]).succeeds();
    assert!(told.contains("matmul") && told.contains("dequantize"), "{told}");
    // Rows of 64 are no whole blocks of Q4_K.
    let told = kernels(&["--format", "Q4_K,Q4_0", "--columns", "1", "--k", "64"]).succeeds();
    assert!(told.contains("Q4_0") && !told.contains("Q4_K"), "{told}");
    let others = "attend_wide,quantize_q8,rms_norm,rope,silu_mul,add";
    let told = kernels(&["--only", others, "--backend", "scalar"]).succeeds();
    assert!(others.split(',').all(|kernel| told.contains(kernel)), "{told}");
}

#[test]
fn what_makes_no_sense_with_kernels_is_wrong_usage() {
    for (arguments, part) in [
        (&["--k", "100"][..], "--k"),
        (&["--k", "65536", "--rows", "65536"], "fit"),
        (&["--columns", "0"], "--columns"),
        // Each thread has memory of its own, and no machine has CPUs for so many.
        (&["--threads", "1024"], "CPU"),
        (&["--format", "Q9"], "possible values: "),
        (&["--only", "cooking"], "possible values: "),
        (&["--prompt", "3"], "--prompt"),
        (&["--format", "Q4_0", "--only", "rope"], "no kernel to measure"),
        (&["--format", "Q4_K", "--k", "64"], "--k 64 leave no kernel"),
        (&["--cache-type", "q8_0"], "--cache-type"),
        (&["model.gguf"], "MODEL"),
    ] {
        let run = Run::of(command().args(["bench", "--kernels"]).args(arguments).output().unwrap());
        run.fails(2, &[part]);
    }
    Run::of(command().args(["bench", "--columns", "3", "model.gguf"]).output().unwrap())
        .fails(2, &["--columns"]);
    Run::of(command().arg("bench").output().unwrap()).fails(2, &["MODEL"]);
}
