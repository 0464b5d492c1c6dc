//! The `bantam` command, floor 5: models from the command line. One file per subcommand; the answer goes to standard
//! output and everything else to standard error.
#![forbid(unsafe_code)]

mod adapters;
mod answer;
mod bench;
mod chat;
mod constraining;
mod conversation;
mod detokenize;
mod drafting;
mod embed;
mod ending;
mod failure;
mod input;
mod inspect;
mod interrupt;
mod memory;
mod options;
mod output;
mod progress;
mod prompt;
mod prompt_cache;
mod report;
mod run;
mod sampling;
mod tokenize;
mod units;

use std::process::ExitCode;

use options::{Command, Options};

fn main() -> ExitCode {
    let command = match options::parse() {
        Ok(Options { command }) => command,
        Err(exit) => return exit,
    };
    let done = match command {
        Command::Run(run) => run.execute(),
        Command::Inspect(inspect) => inspect.execute(),
        Command::Embed(embed) => embed.execute(),
        Command::Tokenize(tokenize) => tokenize.execute(),
        Command::Detokenize(detokenize) => detokenize.execute(),
        Command::Bench(bench) => bench.execute(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
