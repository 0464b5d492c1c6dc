//! `bantam detokenize`: the text of tokens.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use bantam::{TokenId, Tokenizer};
use clap::Args;

use crate::failure::{Failure, Result};
use crate::input::read_text;
use crate::options::ModelFile;
use crate::output;

const EXPLANATION: &str = "\
The ids are numbers with white space between. Control tokens add nothing, bytes that are no text become U+FFFD. A file with \
a vocabulary and no weights is enough.

Examples:
  bantam detokenize model.gguf 9906 1917
  bantam tokenize model.gguf -f book.txt --ids | bantam detokenize model.gguf";

/// Show the text of tokens
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Detokenize {
    #[command(flatten)]
    model: ModelFile,
    /// The ids [default: standard input]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Read the ids from a file; - is standard input
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "ids")]
    file: Option<PathBuf>,
}

impl Detokenize {
    pub(crate) fn execute(&self) -> Result<()> {
        let file = self.model.open()?;
        let tokenizer = Tokenizer::from_gguf(&file).map_err(|error| self.model.blame(error))?;
        let written = match self.ids.is_empty() {
            true => read_text(self.file.as_deref())?,
            false => self.ids.join(" "),
        };
        let ids = written.split_whitespace().map(|word| id(word, tokenizer.vocab_size()));
        let mut text = String::new();
        tokenizer.decode(&ids.collect::<Result<Vec<TokenId>>>()?, &mut text)?;
        output::print(&text)
    }
}

fn id(word: &str, count: usize) -> Result<TokenId> {
    let id = word.parse().ok().filter(|id: &TokenId| (*id as usize) < count);
    id.ok_or_else(|| Failure::Usage(format!("{word:?} is no token: ids are numbers below {count}")))
}
