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

/// What is written of each vocabulary.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// GGUF files.
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Folder of the files.
    #[arg(long, default_value = "tests/golden/tokens")]
    out: PathBuf,
    /// Tokenise as if the metadata named this pre-tokeniser; the file is called after it.
    #[arg(long)]
    pre: Vec<String>,
    /// Write fewer: so many texts drawn from every script, and every second of the written ones.
    #[arg(long)]
    drawn: Option<usize>,
    /// Seed of the drawn texts.
    #[arg(long, default_value_t = 11)]
    seed: u64,
}

/// Writes `<vocabulary>.json` into the folder for each model file.
pub(crate) fn write(options: &Options) -> Result<()> {
    let folder = &options.out;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for path in &options.models {
        if options.pre.is_empty() {
            write_one(options, path, &vocabulary(path)?)?;
        }
        for pre in &options.pre {
            let patched = folder.join(format!("{pre}.gguf"));
            let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            std::fs::write(&patched, with_pre(&bytes, pre)?)?;
            let written = write_one(options, &patched, pre);
            std::fs::remove_file(&patched)?;
            written?;
        }
    }
    Ok(())
}

fn write_one(options: &Options, path: &Path, name: &str) -> Result<()> {
    let model = Model::open(path, Load::Vocabulary)?;
    let generated = match options.drawn {
        None => texts::generated(GENERATED),
        Some(count) => texts::drawn(count, options.seed),
    };
    let mut cases = Vec::new();
    let mut case = |text, add_special, parse_special| -> Result<()> {
        let ids = model.tokenize(text, add_special, parse_special)?;
        cases.push(Case { text, add_special, parse_special, ids });
        Ok(())
    };
    for text in texts::PLAIN.iter().step_by(if options.drawn.is_some() { 2 } else { 1 }) {
        case(text, false, false)?;
        if options.drawn.is_none() {
            case(text, true, true)?;
        }
    }
    for text in texts::SPECIAL {
        case(text, false, false)?;
        if options.drawn.is_none() {
            case(text, false, true)?;
            case(text, true, false)?;
        }
        case(text, true, true)?;
    }
    for text in &generated {
        case(text, false, false)?;
    }
    let target = options.out.join(format!("{name}.json"));
    std::fs::write(&target, json(&cases)?).with_context(|| format!("writing {}", target.display()))?;
    println!("{} cases -> {}", cases.len(), target.display());
    Ok(())
}

/// The file with another value of `tokenizer.ggml.pre`. There are no tensors behind the metadata whose place matters.
fn with_pre(file: &[u8], pre: &str) -> Result<Vec<u8>> {
    const KEY: &[u8] = b"tokenizer.ggml.pre\x08\0\0\0";
    let end = file.windows(KEY.len()).position(|bytes| bytes == KEY).context("no pre-tokeniser is named")?
        + KEY.len();
    let length: [u8; 8] =
        file.get(end..end + 8).and_then(|bytes| bytes.try_into().ok()).context("a file cut off")?;
    let rest =
        file.get(end + 8 + usize::try_from(u64::from_le_bytes(length))?..).context("a file cut off")?;
    Ok([&file[..end], &(pre.len() as u64).to_le_bytes(), pre.as_bytes(), rest].concat())
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
