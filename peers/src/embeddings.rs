//! Golden vectors of tiny models that make them, whose files come from Bantam's own tests, and how fast llama.cpp makes those of
//! a file's lines.
#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use crate::llama::{Embedder, Load, Model, Settings, Token, Yarn};
use crate::logits::{save, settings};
use crate::random::Random;
use crate::variants::{Number, files};

/// Positions of every context.
const POSITIONS: usize = 256;
/// Tokens of the texts.
const LENGTHS: [usize; 4] = [1, 7, 70, 33];
/// Values from one that is kept to the next.
const STRIDE: usize = 3;
/// The text whose tokens' vectors are kept.
const OF_TOKENS: usize = 1;
/// ggml's numbers of what makes one vector of a text: mean, first, last; and of scores.
const POOLINGS: [(i32, &str); 3] = [(1, "mean"), (2, "cls"), (3, "last")];
const RANK: i32 = 4;

/// What llama.cpp makes of one model.
#[derive(Serialize)]
struct Row {
    name: String,
    texts: Vec<Vec<Token>>,
    /// By the name of a pooling: every third value of each text's vector, or all scores; under `none` of each token of the second
    /// text.
    vectors: serde_json::Map<String, serde_json::Value>,
}

/// Writes the file `embeddings.json` into `folder`, with a line per file of `models`.
pub(crate) fn write(models: &Path, folder: &Path) -> Result<()> {
    let mut lines = Vec::new();
    for path in files(models)? {
        let row = run(&path).with_context(|| format!("running {}", path.display()))?;
        println!("{}", row.name);
        lines.push(serde_json::to_string(&row)?);
    }
    save(&folder.join("embeddings.json"), &format!("[\n{}\n]\n", lines.join(",\n")))
}

fn run(path: &Path) -> Result<Row> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).context("a model file needs a name")?;
    let model = Model::open(path, Load::Plain)?;
    let (mut random, end) = (Random::new(70), u32::try_from(model.vocabulary_size())?);
    let mut text = |length| (0..length).map(|_| Ok(Token::try_from(random.below(end))?)).collect();
    let texts: Vec<Vec<Token>> = LENGTHS.into_iter().map(&mut text).collect::<Result<_>>()?;
    let architecture = model.text("general.architecture")?;
    let ranks = model.number(&format!("{architecture}.pooling_type"))? == Some(RANK as f32);
    let mut vectors = serde_json::Map::new();
    let poolings = if ranks { &[(RANK, "rank")][..] } else { &POOLINGS[..] };
    for &(pooling, name) in poolings {
        let mut embedder = Embedder::open(&model, &settings(POSITIONS), pooling, 1)?;
        let mut rows = Vec::new();
        for text in &texts {
            embedder.read(&[text])?;
            rows.push(kept(embedder.text(0)?, if ranks { 1 } else { STRIDE }));
        }
        vectors.insert(name.into(), serde_json::to_value(rows)?);
    }
    if !ranks {
        let mut embedder = Embedder::open(&model, &settings(POSITIONS), 0, 1)?;
        embedder.read(&[&texts[OF_TOKENS]])?;
        let rows = (0..texts[OF_TOKENS].len()).map(|token| Ok(kept(embedder.token(token)?, STRIDE)));
        vectors.insert("none".into(), serde_json::to_value(rows.collect::<Result<Vec<_>>>()?)?);
    }
    Ok(Row { name: name.to_owned(), texts, vectors })
}

fn kept(values: &[f32], stride: usize) -> Vec<Number> {
    values.iter().copied().step_by(stride).map(Number).collect()
}

/// How a file's lines are read.
#[derive(clap::Args)]
pub(crate) struct Work {
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Tokens of a batch, which holds as many lines as fit.
    #[arg(long, default_value_t = 512)]
    batch: usize,
    /// Read each line by itself.
    #[arg(long)]
    alone: bool,
    /// Measured runs.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
}

/// Prints how long the vectors of all lines take as JSON: the median of the runs, after one that is not measured.
pub(crate) fn print(path: &Path, file: &Path, work: &Work) -> Result<()> {
    let model = Model::open(path, Load::Fast)?;
    let lines = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let start = Instant::now();
    let mut texts: Vec<Vec<Token>> =
        lines.lines().map(|line| model.tokenize(line, true, false)).collect::<Result<_>>()?;
    let encoding = start.elapsed().as_secs_f64();
    for text in texts.iter_mut().filter(|text| text.len() > work.batch) {
        // The end stays, as Bantam has it.
        text.drain(work.batch - 1..text.len() - 1);
    }
    let mut batches: Vec<Vec<&[Token]>> = Vec::new();
    let mut room = 0;
    for text in &texts {
        if work.alone || text.len() > room || batches.last().is_none_or(|batch| batch.len() == 64) {
            batches.push(Vec::new());
            room = work.batch;
        }
        room = room.saturating_sub(text.len());
        batches.last_mut().context("a batch")?.push(text);
    }
    let settings = Settings {
        positions: work.batch,
        threads: work.threads,
        flash_attention: true,
        yarn: Yarn::default(),
    };
    let mut embedder = Embedder::open(&model, &settings, 1, 64)?;
    let mut seconds = Vec::new();
    for _ in 0..=work.repeat {
        let start = Instant::now();
        for batch in &batches {
            embedder.read(batch)?;
            embedder.text(batch.len() - 1)?;
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let tokens: usize = texts.iter().map(Vec::len).sum();
    println!(
        "{}",
        json!({ "texts": texts.len(), "tokens": tokens, "seconds": seconds[seconds.len() / 2], "encoding": encoding })
    );
    Ok(())
}
