//! The command line that both programs share.

mod judging;
mod running;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use self::judging::{CompareArguments, GateArguments};
use self::running::{BaselineArguments, RunArguments};
use crate::engine::EngineSpec;
use crate::floor::MachineFloor;
use crate::workload::{Benchmark, Suite, registry};
use crate::{cell, document, report, results};

const DEFAULT_DIR: &str = "target/bench-data";
const DEFAULT_OUT: &str = "target/bench-results";

/// Measures storage engines beside each other and beside the floor of the machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// List suites, benchmarks and engines, and exit.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run benchmarks, write one JSON file per repeat, and print the summary.
    Run(Box<RunArguments>),
    /// Compare results with others: files, or whole directories.
    Compare(CompareArguments),
    /// Compare results with a baseline. Exit code 2: something got worse.
    Gate(GateArguments),
    /// Run what a profile runs, and keep the results as a baseline.
    CaptureBaseline(BaselineArguments),
    /// Print the summary of a directory of results, and write it with a CSV, plots and an HTML page.
    Report {
        /// The directory, or one result.
        results: PathBuf,
        /// Where the files go.
        #[arg(long, default_value = "target/bench-report")]
        out: PathBuf,
    },
    /// Print a directory of results as CSV, one line per repeat.
    Csv {
        /// The directory, or one result.
        results: PathBuf,
    },
    /// Measure the machine: append and sync, sequential write, copy in memory.
    Floor {
        /// A directory on the disk that is meant.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Write the document on performance: its template, filled with figures from committed results.
    Document {
        /// The template.
        #[arg(long, default_value = "bench/performance.md.in")]
        template: PathBuf,
        /// Where the directories are that it names.
        #[arg(long, default_value = "bench/results")]
        results: PathBuf,
        /// The document.
        #[arg(long, default_value = "docs/performance.md")]
        out: PathBuf,
    },
    /// Print the JSON Schema of a result.
    Schema,
    /// One measurement, asked for on standard input. The runner starts this.
    #[command(hide = true)]
    Cell,
}

/// Runs the program with the engines that it links.
#[must_use]
pub fn main(engines: &[EngineSpec]) -> ExitCode {
    match execute(Arguments::parse(), engines) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments, engines: &[EngineSpec]) -> Result<ExitCode> {
    let benchmarks = registry();
    if arguments.list {
        list(engines, &benchmarks);
        return Ok(ExitCode::SUCCESS);
    }
    match arguments.command.context("nothing to do: see --help")? {
        Command::Run(run) => run.execute(engines, &benchmarks)?,
        Command::Compare(compare) => compare.execute()?,
        Command::Gate(gate) => return gate.execute(),
        Command::CaptureBaseline(capture) => capture.execute(engines, &benchmarks)?,
        Command::Report { results, out } => {
            let results = results::read(&results)?;
            print!("{}", report::markdown(&results));
            report::write(&results, &out)?;
            eprintln!("report: {}", out.join("index.html").display());
        }
        Command::Csv { results } => print!("{}", report::csv(&results::read(&results)?)),
        Command::Floor { dir } => {
            let MachineFloor {
                append_sync_p50_ns,
                append_sync_p99_ns,
                sequential_write_bytes_per_s,
                memcpy_bytes_per_s,
            } = MachineFloor::measure(&dir)?;
            println!(
                "append of 4 KiB and fdatasync: p50 {:.1} us, p99 {:.1} us",
                append_sync_p50_ns as f64 / 1e3,
                append_sync_p99_ns as f64 / 1e3
            );
            println!("sequential write: {:.0} MB/s", sequential_write_bytes_per_s / 1e6);
            println!("memcpy: {:.0} MB/s", memcpy_bytes_per_s / 1e6);
        }
        Command::Document { template, results, out } => {
            let text = fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
            let filled = document::fill(&text, &results).with_context(|| format!("in {}", template.display()))?;
            fs::write(&out, filled).with_context(|| format!("cannot write {}", out.display()))?;
        }
        Command::Schema => print!("{}", results::schema()?),
        Command::Cell => cell::serve(engines, &benchmarks)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(engines: &[EngineSpec], benchmarks: &[Benchmark]) {
    for suite in Suite::ALL {
        println!("{}: {}", suite.name(), suite.about());
        for benchmark in benchmarks.iter().filter(|benchmark| benchmark.suite == suite) {
            let mut notes = String::new();
            if benchmark.by_name_only {
                notes.push_str("; only by its name");
            }
            if !benchmark.params.is_empty() {
                notes = format!("{notes}; --param {}", benchmark.params.join(", "));
            }
            println!("  {:<32} {}{notes}", benchmark.name, benchmark.about);
        }
    }
    println!("engines:");
    for engine in engines {
        println!("  {:<32} {:?} {}: {}", engine.name, engine.role, engine.version, engine.notes);
    }
}
