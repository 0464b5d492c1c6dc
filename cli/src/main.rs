//! The `bantam` command, floor 5: models from the command line. One file per subcommand; the answer goes to standard
//! output and everything else to standard error.
#![forbid(unsafe_code)]

mod answer;
mod bench;
mod failure;
mod interrupt;
mod memory;
mod options;
mod output;
mod progress;
mod run;
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
        Command::Bench(bench) => bench.execute(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
