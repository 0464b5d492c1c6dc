//! `bantam embed`: vectors of texts, how near they are to each other, and which of them answer a query.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::io::stdin;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bantam::{EmbedOptions, Embedder, Input, Pooling, TokenId};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};
use crate::input::{name_of, read_text};
use crate::interrupt::on_interrupt;
use crate::options::{Machine, ModelFile};
use crate::output::{self, note};

const EXPLANATION: &str = "\
Texts are arguments, the lines of files, or those of standard input; empty lines are left out. Each becomes one line: its \
vector as a JSON array. Vectors have length 1, so the sum of the products of two of them is the cosine of the angle between \
them: 1 for the same meaning, about 0 for texts that have nothing to do with each other.

Some models want to be told what a text is for; what they were trained with stands on their page. Put it in front of each text:
\"query: ...\" and \"passage: ...\", or \"search_query: ...\" and \"search_document: ...\".

With --jsonl every line of input is a JSON string, or an object with the text under `text`, and every line of output an object:
the same, in the same order, with `embedding` added, or `score` with --query; one that it has already is replaced.

Examples:
  bantam embed minilm.gguf \"a hen\" \"a bird\" \"a share\" --matrix     how near they are to each other
  bantam embed minilm.gguf -f notes.txt --query \"what hens eat\"      the lines of a file, the best answer first
  bantam embed minilm.gguf --jsonl < in.jsonl > out.jsonl            vectors for a data base
  bantam embed reranker.gguf -f found.txt --query \"what hens eat\"    the same with a model that scores pairs";

/// Texts that go through one call: their tokens are held, and their vectors.
const TOGETHER: usize = 256;

/// Make vectors of texts, compare them, or rank them by a query
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Embed {
    #[command(flatten)]
    model: ModelFile,
    /// The texts [default: the lines of standard input]
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Take every line of a file for a text; several files are read one after the other, and - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Lines are JSON: strings or objects with `text`, and objects come out
    #[arg(long)]
    jsonl: bool,
    /// Show the cosine of every text with every other instead of vectors
    #[arg(long, conflicts_with_all = ["jsonl", "query"])]
    matrix: bool,
    /// Show how well each text answers a query, the best first, instead of vectors
    ///
    /// A model that ranks scores each pair of query and text. Any other compares their vectors: the score is the cosine.
    #[arg(short = 'q', long, value_name = "TEXT", allow_hyphen_values = true)]
    query: Option<String>,
    /// How the vectors of a text's tokens become one [default: what the model's file says]
    #[arg(long, value_name = "HOW", value_parser = pooling())]
    pooling: Option<Pooling>,
    /// Leave vectors as long as they are
    #[arg(long)]
    no_normalize: bool,
    /// The most tokens of a text [default: what the model reads, up to 2048]
    #[arg(short = 'c', long = "ctx", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// Leave out the end of texts that are too long, instead of failing
    #[arg(long)]
    truncate: bool,
    /// Tell on standard error how many tokens were read, and in which time
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    machine: Machine,
}

fn pooling() -> impl TypedValueParser<Value = Pooling> {
    let by_name = |name: String| Pooling::ALL.into_iter().find(|pooling| pooling.name() == name);
    PossibleValuesParser::new(Pooling::ALL.map(Pooling::name))
        .map(move |name| by_name(name).unwrap_or(Pooling::None))
}

/// A text, and what its line had beside it.
struct Item {
    text: String,
    rest: Map<String, Value>,
    /// Where it stands.
    place: String,
}

impl Embed {
    pub(crate) fn execute(&self) -> Result<()> {
        let model = self.machine.open(&self.model)?;
        let options = EmbedOptions {
            context: self.context.map(|context| context as usize),
            pooling: self.pooling,
            normalize: !self.no_normalize,
        };
        let mut embedder =
            Embedder::open(&model, self.machine.pool()?, &options).map_err(|error| match error {
                bantam::Error::Unsupported(_) if model.pooling().is_none() && self.pooling.is_none() => {
                    Failure::Message(format!("{}: {error} (--pooling)", self.model.path.display()))
                }
                bantam::Error::Memory { .. } => Failure::Message(format!("{error}: ask for less with --ctx")),
                _ => self.model.blame(error),
            })?;
        embedder.set_cancel(on_interrupt()?);
        let ranks = embedder.pooling() == Pooling::Rank;
        if ranks && self.query.is_none() {
            return Err(Failure::Usage(
                "this model ranks texts by a query: give one with --query, or choose another --pooling"
                    .into(),
            ));
        }
        if embedder.pooling() == Pooling::None && (self.matrix || self.query.is_some()) {
            return Err(Failure::Usage(
                "without pooling a text has many vectors, and no cosine: choose a --pooling".into(),
            ));
        }
        let items = self.items()?;
        let (start, mut read) = (Instant::now(), 0);
        match &self.query {
            Some(query) => self.rank(&mut embedder, query, items, &mut read)?,
            None if self.matrix => self.compare(&mut embedder, &items, &mut read)?,
            None => self.print_vectors(&mut embedder, items, &mut read)?,
        }
        if self.stats {
            let seconds = start.elapsed().as_secs_f64();
            note(&format!("{read} tokens in {seconds:.4} s: {:.0} per second", read as f64 / seconds));
        }
        Ok(())
    }

    /// All texts, with where they come from.
    fn items(&self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for (i, text) in self.texts.iter().enumerate() {
            items.push(Item { text: text.clone(), rest: Map::new(), place: format!("text {}", i + 1) });
        }
        if self.files.is_empty() && self.texts.is_empty() {
            if std::io::IsTerminal::is_terminal(&stdin()) {
                note("one text per line, and Ctrl-D at the end");
            }
            self.lines(None, &mut items)?;
        }
        for file in &self.files {
            self.lines(Some(file), &mut items)?;
        }
        if items.is_empty() {
            return Err(Failure::Message("there are no texts: every line is empty".into()));
        }
        Ok(items)
    }

    /// The texts of a file's lines, or of standard input's.
    fn lines(&self, file: Option<&Path>, items: &mut Vec<Item>) -> Result<()> {
        let name = name_of(file);
        for (i, line) in read_text(file)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = format!("line {} of {name}", i + 1);
            let (text, rest) = match self.jsonl {
                true => text_of(line).map_err(|what| Failure::Message(format!("{place}: {what}")))?,
                false => (line.to_owned(), Map::new()),
            };
            items.push(Item { text, rest, place });
        }
        Ok(())
    }

    /// The tokens of each text, or of its pair with the query.
    fn encode(
        &self,
        embedder: &Embedder,
        query: Option<&str>,
        items: &[Item],
    ) -> Result<Vec<(Vec<TokenId>, usize)>> {
        let encode = |item: &Item| {
            let mut tokens = Vec::new();
            let first = match query {
                Some(query) => embedder.encode_pair(query, &item.text, &mut tokens)?,
                None => embedder.encode(&item.text, &mut tokens).map(|()| tokens.len())?,
            };
            if self.truncate {
                embedder.truncate(&mut tokens);
            }
            let (count, context) = (tokens.len(), embedder.context());
            if count > context {
                return Err(Failure::Message(format!(
                    "{} has {count} tokens, and {context} can be read at once: shorten it, cut its end off with --truncate, or ask \
                     for more with --ctx if the model reads more",
                    item.place
                )));
            }
            if count == 0 {
                return Err(Failure::Message(format!(
                    "{} has no tokens: there is nothing to read",
                    item.place
                )));
            }
            Ok((tokens, first.min(count)))
        };
        items.iter().map(encode).collect()
    }

    /// What becomes of texts: the vectors or scores of each.
    fn embed(
        &self,
        embedder: &mut Embedder,
        query: Option<&str>,
        items: &[Item],
        read: &mut usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::new();
        for items in items.chunks(TOGETHER) {
            let tokens = self.encode(embedder, query, items)?;
            let inputs: Vec<Input<'_>> =
                tokens.iter().map(|(tokens, first)| Input { tokens, first: *first }).collect();
            let mut values = vec![0.0; embedder.values(&inputs)];
            embedder.embed(&inputs, &mut values)?;
            *read += inputs.iter().map(|input| input.tokens.len()).sum::<usize>();
            let mut rest = &values[..];
            for input in &inputs {
                let (vector, behind) = rest.split_at(embedder.values(&[*input]));
                all.push(vector.to_vec());
                rest = behind;
            }
        }
        Ok(all)
    }

    fn print_vectors(&self, embedder: &mut Embedder, items: Vec<Item>, read: &mut usize) -> Result<()> {
        let (dim, per_token) = (embedder.dim(), embedder.pooling() == Pooling::None);
        let mut items = items.into_iter().peekable();
        // Part by part, so that what reads the lines need not wait for the last.
        while items.peek().is_some() {
            let some: Vec<Item> = items.by_ref().take(TOGETHER).collect();
            let vectors = self.embed(embedder, None, &some, read)?;
            let mut lines = String::new();
            for (item, vector) in some.into_iter().zip(vectors) {
                let value = match per_token {
                    true => Value::from_iter(vector.chunks_exact(dim).map(array)),
                    false => array(&vector),
                };
                lines += &self.line(item, "embedding", value);
            }
            output::print(&lines)?;
        }
        Ok(())
    }

    /// A line of output: the value alone, or what came in with it.
    fn line(&self, item: Item, name: &str, value: Value) -> String {
        if !self.jsonl {
            return format!("{value}\n");
        }
        let mut object = item.rest;
        object.insert("text".into(), item.text.into());
        object.insert(name.into(), value);
        format!("{}\n", Value::from(object))
    }

    fn compare(&self, embedder: &mut Embedder, items: &[Item], read: &mut usize) -> Result<()> {
        let vectors = self.embed(embedder, None, items, read)?;
        let mut lines = String::new();
        for (vector, item) in vectors.iter().zip(items) {
            for other in &vectors {
                // Writing to a String cannot fail.
                let _ = write!(lines, "{:7.4}", cosine(vector, other));
            }
            let _ = writeln!(lines, "  {}", shown(&item.text));
        }
        output::print(&lines)
    }

    fn rank(&self, embedder: &mut Embedder, query: &str, items: Vec<Item>, read: &mut usize) -> Result<()> {
        let scores: Vec<f64> = if embedder.pooling() == Pooling::Rank {
            let scores = self.embed(embedder, Some(query), &items, read)?;
            scores.iter().map(|score| score.first().copied().map_or(f64::NAN, f64::from)).collect()
        } else {
            let query = Item { text: query.to_owned(), rest: Map::new(), place: "the query".into() };
            let query = self.embed(embedder, None, &[query], read)?.concat();
            let vectors = self.embed(embedder, None, &items, read)?;
            vectors.iter().map(|vector| cosine(&query, vector)).collect()
        };
        let mut ranked: Vec<(f64, Item)> = scores.into_iter().zip(items).collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut lines = String::new();
        for (score, item) in ranked {
            lines += &match self.jsonl {
                true => self.line(item, "score", json!(score)),
                false => format!("{score:9.4}  {}\n", shown(&item.text)),
            };
        }
        output::print(&lines)
    }
}

/// The text of a line of JSON, and what else an object has.
fn text_of(line: &str) -> std::result::Result<(String, Map<String, Value>), String> {
    match serde_json::from_str(line).map_err(|error| format!("it is not JSON: {error}"))? {
        Value::String(text) => Ok((text, Map::new())),
        Value::Object(mut object) => match object.get_mut("text").map(Value::take) {
            // What is left in its place keeps it until the line is written.
            Some(Value::String(text)) => Ok((text, object)),
            _ => Err("the object has no text under `text`".into()),
        },
        _ => Err("it is neither a string nor an object with `text`".into()),
    }
}

/// The shortest decimals that are the same floats again.
fn array(vector: &[f32]) -> Value {
    let number = |value: &f32| value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value));
    vector.iter().map(number).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// A text in one line.
fn shown(text: &str) -> String {
    crate::failure::one_line(text)
}
