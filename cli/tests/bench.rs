//! `bantam bench`: that it measures, not how fast.

mod common;

use common::{bantam, demo};
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
    let told = bantam("bench", &demo, &["--prompt", "3", "--generate", "0", "--repeat", "1"]).succeeds();
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
