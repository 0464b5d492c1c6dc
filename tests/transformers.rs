//! Tiny models of every architecture against a second oracle, which shares no code with the first: Transformers' own logits
//! (`tests/golden/logits/transformers.json`).

mod common;

use bantam::Backend;
use common::architectures::architectures;
use common::reference::{logits, nmse, read};
use common::variants::variants;

/// Mean square error, in units of the expected logits' mean square: most of it is that keys and values are kept as halves.
const NMSE_MAX: f64 = 1e-5;
/// The same where Transformers was made to round them as well.
const ROUNDED_NMSE_MAX: f64 = 3e-7;
/// What the name of such a row ends with.
const ROUNDED: &str = " with keys as halves";

#[test]
fn models_in_f32_have_transformers_logits() {
    let models: Vec<_> = architectures().into_iter().chain(variants()).collect();
    let mut failed = Vec::new();
    for golden in read("logits/transformers.json") {
        let name = golden.name.strip_suffix(ROUNDED);
        let (name, most) = name.map_or((&golden.name[..], NMSE_MAX), |name| (name, ROUNDED_NMSE_MAX));
        let model = models.iter().find(|model| model.name == name).expect(name);
        for backend in Backend::available() {
            let model = common::model(model.file.write(), backend);
            let nmse = nmse(&logits(&model, &golden, 32), &golden.every_3rd);
            println!("{} on {}: nmse {nmse:.1e}", golden.name, backend.name());
            if nmse.is_nan() || nmse > most {
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
