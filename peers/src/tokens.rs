//! `golden tokens`: ids of hard texts by llama.cpp's tokenisers, one JSON file per vocabulary.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::llama::{Load, Model, Token};
use crate::texts;

/// One text, tokenised in one way.
#[derive(Serialize)]
struct Case<'text> {
    text: &'text str,
    add_special: bool,
    parse_special: bool,
    ids: Vec<Token>,
}

/// Texts that are drawn from pieces, beside the written ones.
const GENERATED: usize = 300;

/// Writes `<vocabulary>.json` into `folder` for each model file.
pub(crate) fn write(models: &[PathBuf], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let generated = texts::generated(GENERATED);
    for path in models {
        let model = Model::open(path, Load::Vocabulary)?;
        let mut cases = Vec::new();
        let mut case = |text, add_special, parse_special| -> Result<()> {
            let ids = model.tokenize(text, add_special, parse_special)?;
            cases.push(Case { text, add_special, parse_special, ids });
            Ok(())
        };
        for text in texts::PLAIN {
            case(text, false, false)?;
            case(text, true, true)?;
        }
        for text in texts::SPECIAL {
            for (add_special, parse_special) in [(false, false), (false, true), (true, false), (true, true)] {
                case(text, add_special, parse_special)?;
            }
        }
        for text in &generated {
            case(text, false, false)?;
        }
        let target = folder.join(format!("{}.json", vocabulary(path)?));
        std::fs::write(&target, json(&cases)?).with_context(|| format!("writing {}", target.display()))?;
        println!("{} cases -> {}", cases.len(), target.display());
    }
    Ok(())
}

/// The name of the file without what llama.cpp's vocabulary files share; the demo model goes by its vocabulary.
fn vocabulary(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).context("a model file needs a name")?;
    let stem = stem.strip_prefix("ggml-vocab-").unwrap_or(stem).to_lowercase();
    Ok(if stem.starts_with("smollm2") { "smollm2".to_owned() } else { stem })
}

/// An array with one case per line, so that a change of one case is a change of one line.
fn json(cases: &[Case]) -> Result<String> {
    let mut lines = String::from("[");
    for (index, case) in cases.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(lines, "{comma}\n{}", serde_json::to_string(case)?)?;
    }
    lines.push_str("\n]\n");
    Ok(lines)
}
