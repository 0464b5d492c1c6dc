//! Tiny models of every architecture against a second oracle, which shares no code with the first: Transformers' own logits
//! (`tests/golden/logits/transformers.json`).

mod common;

use bantam::Backend;
use common::adapters::{self, adapted};
use common::architectures::architectures;
use common::reference::{Variant, nmse, read};
use common::variants::variants;

/// Mean square error, in units of the expected logits' mean square: most of it is that keys and values are kept as halves.
const NMSE_MAX: f64 = 1e-5;
/// The same where Transformers was made to round them as well.
const ROUNDED_NMSE_MAX: f64 = 3e-7;
/// The same of adapters in BF16, on the backend that rounds what they are multiplied with.
const BF16_NMSE_MAX: f64 = 1e-4;
/// What the name of such a row ends with.
const ROUNDED: &str = " with keys as halves";
/// And of one whose adapters were added to its weights.
const ADAPTED: &str = " with adapters";

#[test]
fn models_in_f32_have_transformers_logits() {
    let models = architectures().into_iter().chain(variants());
    let plain = models.map(|Variant { name, file }| (name.to_owned(), file, Vec::new()));
    let adapted =
        adapted().into_iter().map(|each| (format!("{}{ADAPTED}", each.name), each.model, each.adapters));
    let all: Vec<_> = plain.chain(adapted).collect();
    let mut failed = Vec::new();
    for golden in read("logits/transformers.json") {
        let name = golden.name.strip_suffix(ROUNDED);
        let (name, most) = name.map_or((&golden.name[..], NMSE_MAX), |name| (name, ROUNDED_NMSE_MAX));
        let (_, file, added) = all.iter().find(|(other, ..)| other == name).expect(name);
        for backend in Backend::available() {
            let model = common::model(file.write(), backend);
            let mut session = adapters::session(&model, 2, 32, &adapters::open(&model, added));
            let nmse = nmse(&adapters::logits(&mut session, &golden), &golden.every_3rd);
            println!("{} on {}: nmse {nmse:.1e}", golden.name, backend.name());
            let rounds = backend.name() == "avx512bf16" && name.starts_with("bfloats");
            if nmse.is_nan() || nmse > if rounds { BF16_NMSE_MAX } else { most } {
                failed.push((golden.name.clone(), backend.name(), nmse));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// Where a class exists, so does a row: whoever adds an architecture adds it to `scripts/transformers-golden`.
#[test]
fn every_architecture_has_a_row() {
    let rows = read("logits/transformers.json");
    for model in architectures().iter().filter(|model| !model.name.contains("-q4_0")) {
        let is_quantised = model.name.ends_with("-mxfp4");
        assert!(is_quantised || rows.iter().any(|row| row.name == model.name), "{}", model.name);
    }
}
