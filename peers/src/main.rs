//! llama.cpp and ggml as parity oracle and side-by-side benchmark: writes the golden files under `tests/golden/`
//! and measures Bantam against its peer. Never part of what users build.
#![deny(unsafe_code)]

mod formats;
#[allow(unsafe_code)]
mod ggml;
mod random;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes golden files.
    #[command(subcommand)]
    Golden(Golden),
}

#[derive(Subcommand)]
enum Golden {
    /// Blocks of every tensor format with the values that ggml makes of them.
    Formats {
        /// Folder of the files.
        #[arg(long, default_value = "tests/golden/formats")]
        out: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Golden(Golden::Formats { out }) => formats::write(&out),
    }
}
