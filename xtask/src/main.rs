//! The project's own checks and chores: `cargo xtask COMMAND`.
//!
//! `tidy` and `deps` also run as tests of this package, so that `cargo test --workspace` covers them. This package
//! depends on no other crate of the workspace: it must still build when they do not.

mod demo;
mod deps;
mod nightly;
mod replay;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own checks and chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the style rules that a program can check, over the files that git tracks
    Tidy {
        /// First lower the entries of xtask/tidy-ratchet.txt to what the files have shrunk to
        #[arg(long)]
        lower_ratchet: bool,
    },
    /// Check which crate depends on which, over `cargo metadata`
    Deps,
    /// Run one seed of a randomised test of granite again
    Replay {
        /// The suite that printed the seed
        suite: replay::Suite,
        /// The seed as it was printed: decimal, or hexadecimal after 0x
        #[arg(value_parser = replay::parse_seed)]
        seed: u64,
    },
    /// Show what the project does on real files, and compare every byte
    Demo {
        /// Which part of it
        #[arg(value_enum, default_value_t = demo::Part::Timelapse)]
        part: demo::Part,
    },
    /// Run what takes too long for every change, and say in one summary what failed
    Nightly(nightly::Nightly),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    let root = workspace::root()?;
    match command {
        Command::Tidy { lower_ratchet } => tidy::run(&root, *lower_ratchet),
        Command::Deps => deps::run(&root),
        Command::Replay { suite, seed } => replay::run(&root, *suite, *seed),
        Command::Demo { part } => demo::run(&root, *part),
        Command::Nightly(nightly) => nightly::run(&root, nightly),
    }
}
