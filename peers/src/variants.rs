//! Golden logits of tiny models, of the architecture `llama` one per part of it that may be another, and of every other
//! architecture: the files come from Bantam's own tests, the values from llama.cpp.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::llama::{Context, Load, Model, Outputs, Settings, Token, Yarn};
use crate::logits::{save, settings};
use crate::noise::largest;
use crate::random::Random;

/// Positions of every context: llama.cpp rounds up to a multiple of this, and chooses by it between short and long.
const POSITIONS: usize = 256;
/// Tokens of the prompt.
const PROMPT: usize = 70;
/// Positions of the prompt whose logits are kept.
const KEPT: [usize; 3] = [0, 6, PROMPT - 1];
/// Ids between two logits of a kept row.
const STRIDE: usize = 3;

/// What llama.cpp makes of one model.
#[derive(Serialize)]
struct Row {
    name: String,
    ids: Vec<Token>,
    generated: Vec<Token>,
    positions: Vec<usize>,
    every_3rd: Vec<Vec<Number>>,
}

/// A logit, written with six digits.
pub(crate) struct Number(pub(crate) f32);

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let rounded: f64 = format!("{:.5e}", self.0).parse().map_err(serde::ser::Error::custom)?;
        to.serialize_f64(rounded)
    }
}

/// The greedy tokens behind a prompt, and how many of them there are from one whose logits are kept to the next.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) all: usize,
    pub(crate) every: usize,
}

/// Writes the file `name` into `folder`, with a line per file of `models`.
pub(crate) fn write(models: &Path, folder: &Path, name: &str, steps: Steps) -> Result<()> {
    let mut lines = Vec::new();
    for path in files(models)? {
        let row = run(&path, steps).with_context(|| format!("running {}", path.display()))?;
        println!("{}: {:?}", row.name, row.generated);
        lines.push(serde_json::to_string(&row)?);
    }
    save(&folder.join(name), &format!("[\n{}\n]\n", lines.join(",\n")))
}

/// The models of a folder in the order of their names.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    files.sort();
    ensure!(!files.is_empty(), "{} has no models", folder.display());
    Ok(files)
}

fn run(path: &Path, steps: Steps) -> Result<Row> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).context("a model file needs a name")?;
    let model = Model::open(path, Load::Plain)?;
    // Most architectures leave these keys of their files to the caller.
    let architecture = model.text("general.architecture")?;
    let number = |key: &str| model.number(&format!("{architecture}.rope.scaling.yarn_{key}"));
    let yarn = Yarn {
        ext_factor: number("ext_factor")?,
        beta_fast: number("beta_fast")?,
        beta_slow: number("beta_slow")?,
    };
    let mut context = Context::open(&model, &Settings { yarn, ..settings(POSITIONS) })?;
    context.adapt(&adapters(path)?)?;
    let ids = prompt(model.vocabulary_size())?;
    context.decode(&ids, Outputs::All)?;
    let mut every_3rd = Vec::new();
    for position in KEPT {
        every_3rd.push(kept(context.logits(position)?));
    }
    let (mut generated, mut positions) = (Vec::new(), KEPT.to_vec());
    for step in 0..steps.all {
        let token = largest(context.last_logits()?);
        generated.push(token);
        context.decode(&[token], Outputs::Last)?;
        if (step + 1) % steps.every == 0 {
            positions.push(PROMPT + step);
            every_3rd.push(kept(context.last_logits()?));
        }
    }
    Ok(Row { name: name.to_owned(), ids, generated, positions, every_3rd })
}

/// The adapters of a model, in files of their own beside it: `name.0.lora`, whose scale is in `name.0.scale`.
fn adapters(path: &Path) -> Result<Vec<(PathBuf, f32)>> {
    let file = |i: usize, end: &str| path.with_extension(format!("{i}.{end}"));
    let there = (0..).map(|i| (file(i, "lora"), file(i, "scale"))).take_while(|(file, _)| file.exists());
    there.map(|(file, scale)| Ok((file, std::fs::read_to_string(scale)?.trim().parse()?))).collect()
}

/// Tokens drawn by a fixed seed.
fn prompt(vocabulary_size: usize) -> Result<Vec<Token>> {
    let (mut random, end) = (Random::new(70), u32::try_from(vocabulary_size)?);
    (0..PROMPT).map(|_| Ok(Token::try_from(random.below(end))?)).collect()
}

fn kept(logits: &[f32]) -> Vec<Number> {
    logits.iter().copied().step_by(STRIDE).map(Number).collect()
}
