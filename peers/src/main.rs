//! llama.cpp and ggml as parity oracle and side-by-side benchmark: writes the golden files under `tests/golden/`
//! and measures Bantam against its peer. Never part of what users build.
#![deny(unsafe_code)]

mod bench;
#[allow(unsafe_code)]
mod chain;
mod compare;
mod cost;
mod embeddings;
mod features;
mod formats;
#[allow(unsafe_code)]
mod ggml;
#[allow(unsafe_code)]
mod gguf;
mod limits;
#[allow(unsafe_code)]
mod llama;
mod logits;
mod noise;
#[allow(unsafe_code)]
mod product;
mod products;
mod prompts;
mod random;
mod samplers;
mod shapes;
mod test;
mod texts;
mod tokens;
mod variants;

use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Prints the greedy continuation of a prompt with its top logits.
    Logits {
        model: PathBuf,
        /// The spelling of control tokens in it is read as those tokens.
        #[arg(long)]
        prompt: String,
        /// Tokens to generate.
        #[arg(short = 'n', long, default_value_t = 24)]
        steps: usize,
    },
    /// Measures llama.cpp alone and prints JSON.
    Bench {
        model: PathBuf,
        #[command(flatten)]
        work: bench::Work,
        /// Measured runs.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        repeat: u32,
    },
    /// Measures what this machine can do at most, and prints JSON: bytes read per second, and products of bytes.
    Limits {
        /// Backend whose instructions multiply; the best one unless given.
        #[arg(long)]
        backend: Option<String>,
        /// Threads; as many as there are CPUs unless given.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        threads: Option<u32>,
    },
    /// Measures Bantam against llama.cpp and the machine, in turns.
    Compare(compare::Options),
    /// Measures ggml's matrix products of one format alone and prints JSON.
    Product {
        format: String,
        #[command(flatten)]
        shape: product::Shape,
    },
    /// Measures Bantam's matrix product of each format against ggml's, in turns.
    Products(products::Options),
    /// Measures how long llama.cpp takes for the vectors of a file's lines, and prints JSON.
    Embed {
        model: PathBuf,
        file: PathBuf,
        #[command(flatten)]
        work: embeddings::Work,
    },
    /// Makes a model of any shape and formats, with random weights.
    MakeModel(shapes::Options),
    /// Prints the perplexity of a text file.
    Perplexity { model: PathBuf, file: PathBuf },
}

#[derive(Subcommand)]
enum Golden {
    /// Blocks of every tensor format with the values that ggml makes of them.
    Formats {
        /// Folder of the files.
        #[arg(long, default_value = "tests/golden/formats")]
        out: PathBuf,
    },
    /// Token ids of hard texts, by the tokeniser of each model or vocabulary file.
    Tokens(tokens::Options),
    /// Greedy continuations and top logits of a model and its F32 form, noise and perplexity.
    Logits {
        model: PathBuf,
        /// Text of the perplexity.
        #[arg(long, default_value = "tests/golden/perplexity.txt")]
        text: PathBuf,
        /// Folder of the files.
        #[arg(long, default_value = "tests/golden/logits")]
        out: PathBuf,
    },
    /// What samplers leave of logits that a formula and a model give.
    Samplers {
        model: PathBuf,
        /// Folder of the files.
        #[arg(long, default_value = "tests/golden/samplers")]
        out: PathBuf,
    },
    /// Logits of tiny models, each with another part of the architecture `llama`.
    Variants {
        /// Folder of the GGUF files, which a test of Bantam writes.
        models: PathBuf,
        /// Folder of the file.
        #[arg(long, default_value = "tests/golden/logits")]
        out: PathBuf,
    },
    /// Logits of tiny models with adapters.
    Adapters {
        /// Folder of the GGUF files, which a test of Bantam writes.
        models: PathBuf,
        /// Folder of the file.
        #[arg(long, default_value = "tests/golden/logits")]
        out: PathBuf,
    },
    /// Vectors of tiny models that make them.
    Embeddings {
        /// Folder of the GGUF files, which a test of Bantam writes.
        models: PathBuf,
        /// Folder of the file.
        #[arg(long, default_value = "tests/golden/embeddings")]
        out: PathBuf,
    },
    /// Logits of tiny models, of every architecture.
    Architectures {
        /// Folder of the GGUF files, which a test of Bantam writes.
        models: PathBuf,
        /// Folder of the file.
        #[arg(long, default_value = "tests/golden/logits")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bantam-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Golden(Golden::Formats { out }) => formats::write(&out),
        Command::Golden(Golden::Tokens(options)) => tokens::write(&options),
        Command::Golden(Golden::Logits { model, text, out }) => logits::write(&model, &text, &out),
        Command::Golden(Golden::Samplers { model, out }) => samplers::write(&model, &out),
        Command::Golden(Golden::Variants { models, out }) => {
            variants::write(&models, &out, "variants.json", variants::Steps { all: 4, every: 1 })
        }
        Command::Golden(Golden::Adapters { models, out }) => {
            variants::write(&models, &out, "adapters.json", variants::Steps { all: 4, every: 2 })
        }
        Command::Golden(Golden::Architectures { models, out }) => {
            variants::write(&models, &out, "architectures.json", variants::Steps { all: 20, every: 5 })
        }
        Command::Golden(Golden::Embeddings { models, out }) => embeddings::write(&models, &out),
        Command::Embed { model, file, work } => embeddings::print(&model, &file, &work),
        Command::Logits { model, prompt, steps } => logits::print(&model, &prompt, steps),
        Command::Bench { model, work, repeat } => bench::print(&model, &work, repeat),
        Command::Limits { backend, threads } => {
            limits::print(backend.as_deref(), bench::threads_or_all(threads))
        }
        Command::Compare(options) => compare::run(&options),
        Command::Product { format, shape } => product::print(&format, &shape),
        Command::Products(options) => products::run(&options),
        Command::MakeModel(options) => shapes::write(&options),
        Command::Perplexity { model, file } => logits::print_perplexity(&model, &file),
    }
}
