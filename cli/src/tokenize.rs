//! `bantam tokenize`: the tokens of a text.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::path::PathBuf;

use bantam::{EncodeOptions, TokenId, Tokenizer};
use clap::Args;

use crate::failure::Result;
use crate::input::read_text;
use crate::options::ModelFile;
use crate::output;

const EXPLANATION: &str = "\
The text is taken as it stands, but for a byte order mark at its start. Without --ids each token is a line: its id and its bytes, those that are no text as \\x \
escapes. A file with a vocabulary and no weights is enough.

Examples:
  bantam tokenize model.gguf --text \"Hello, world\"
  bantam tokenize model.gguf -f book.txt --ids | wc -w          count the tokens of a file
  bantam tokenize model.gguf --text \"<|im_end|>\" --parse-special";

/// Show the tokens of a text
#[derive(Args)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Tokenize {
    #[command(flatten)]
    model: ModelFile,
    /// The text [default: standard input]
    #[arg(short = 't', long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read the text from a file; - is standard input
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Print the ids alone, in one line with single spaces between
    #[arg(long)]
    ids: bool,
    /// Add BOS and EOS where the model's metadata asks for them
    #[arg(long)]
    add_special: bool,
    /// Take the texts of control tokens, such as <|im_end|>, for those tokens
    #[arg(long)]
    parse_special: bool,
}

impl Tokenize {
    pub(crate) fn execute(&self) -> Result<()> {
        let file = self.model.open()?;
        let tokenizer = Tokenizer::from_gguf(&file).map_err(|error| self.model.blame(error))?;
        let text = match &self.text {
            Some(text) => text.clone(),
            None => read_text(self.file.as_deref())?,
        };
        let options = EncodeOptions { add_special: self.add_special, parse_special: self.parse_special };
        let mut tokens = Vec::new();
        tokenizer.encode(&text, options, &mut tokens)?;
        output::print(&if self.ids { ids(&tokens) } else { lines(&tokenizer, &tokens) })
    }
}

/// `40 1234 7`, and the end of the line.
fn ids(tokens: &[TokenId]) -> String {
    let ids: Vec<String> = tokens.iter().map(TokenId::to_string).collect();
    ids.join(" ") + "\n"
}

/// A line for each token: its id and its bytes.
fn lines(tokenizer: &Tokenizer, tokens: &[TokenId]) -> String {
    let mut lines = String::new();
    for &token in tokens {
        // Writing to a String cannot fail.
        let _ =
            writeln!(lines, "{token:>8}  \"{}\"", escape(tokenizer.token_bytes(token).unwrap_or_default()));
    }
    lines
}

/// Bytes as text, with escapes for what is no text or steers a terminal.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut escaped = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Quotes need no escape for people to see where a token ends.
            if c == '\'' { escaped.push(c) } else { escaped.extend(c.escape_debug()) }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\x{byte:02x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn bytes_are_shown_without_harm() {
        assert_eq!(escape(" it's \"é\"\n".as_bytes()), " it's \\\"é\\\"\\n");
        assert_eq!(escape(b"\xe2\x82a\x1b[2J"), "\\xe2\\x82a\\u{1b}[2J");
    }
}
