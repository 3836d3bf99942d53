//! The command line that both programs share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine::{EngineSpec, Role};
use crate::run::Plan;
use crate::workload::{Benchmark, Parameters, registry};
use crate::{cell, gate, report, results, run};

/// The gate's exit code for a regression; 1 is left for errors of the program.
const EXIT_REGRESSION: u8 = 2;

/// Measures storage engines beside each other and beside the floor of the machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// List benchmarks and engines, and exit.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run benchmarks, write one JSON file per repeat, and print the table.
    Run(RunArguments),
    /// Print the table of a directory of results as Markdown.
    Report {
        /// The directory.
        dir: PathBuf,
    },
    /// Print a directory of results as CSV, one line per repeat.
    Csv {
        /// The directory.
        dir: PathBuf,
    },
    /// Compare results with a baseline. Exit code 2: something got worse.
    Gate {
        /// Results of the baseline.
        baseline: PathBuf,
        /// Results to judge.
        #[arg(default_value = DEFAULT_OUT)]
        current: PathBuf,
    },
    /// Run the benchmarks that gate, and keep the results as a baseline.
    CaptureBaseline {
        /// How much to run.
        #[arg(long, value_enum)]
        profile: Profile,
        /// Where databases live while they are measured.
        #[arg(long, default_value = DEFAULT_DIR)]
        dir: PathBuf,
        /// Where baselines are kept; the profile's name is appended.
        #[arg(long, default_value = "bench/baselines")]
        out: PathBuf,
    },
    /// Print the JSON Schema of a result.
    Schema,
    /// One measurement, asked for on standard input. The runner starts this.
    #[command(hide = true)]
    Cell,
}

/// How much a baseline covers.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Profile {
    /// Small and short: counters gate, times hardly can.
    #[value(name = "ci")]
    Ci,
    /// Full size, for a developer's machine with a fast disk.
    #[value(name = "dev_nvme")]
    DevNvme,
}

const DEFAULT_DIR: &str = "target/bench-data";
const DEFAULT_OUT: &str = "target/bench-results";

#[derive(Debug, Args)]
struct RunArguments {
    /// Benchmarks by name; `*` and `?` are wildcards, `client/` means everything below. All if none is given.
    benchmarks: Vec<String>,
    /// Engines by name, with wildcards, separated by commas. All but the alternate configurations if not given.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Repeats of each benchmark on each engine.
    #[arg(long, default_value_t = 5)]
    repeats: u32,
    /// Measured time of benchmarks that run by the clock.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Operations per thread instead of a time.
    #[arg(long)]
    ops: Option<u64>,
    /// Multiplies the number of keys.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Operations per thread before the measured part.
    #[arg(long)]
    warmup_ops: Option<u64>,
    /// Time before the measured part.
    #[arg(long, default_value_t = 500_000_000)]
    warmup_ns: u64,
    /// Memory of each database instead of what the benchmark sets.
    #[arg(long)]
    memory_mib: Option<usize>,
    /// Seed of keys, values and choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A Git repository whose history `timelapse/store-size` records, instead of a made-up one.
    #[arg(long)]
    history: Option<PathBuf>,
    /// Where databases live while they are measured.
    #[arg(long, default_value = DEFAULT_DIR)]
    dir: PathBuf,
    /// Where results go. Must hold none.
    #[arg(long, default_value = DEFAULT_OUT)]
    out: PathBuf,
    /// Remove results that are in the way.
    #[arg(long)]
    replace: bool,
    /// First run a short part of each durable benchmark under strace, and count its syncs.
    #[arg(long)]
    count_syncs: bool,
    /// A program of this harness built from an older commit: its granite runs beside this one.
    #[arg(long)]
    baseline_program: Option<PathBuf>,
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
        Command::Run(run_arguments) => run_and_report(run_arguments, engines, &benchmarks),
        Command::Report { dir } => {
            print!("{}", report::markdown(&results::read_dir(&dir)?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Csv { dir } => {
            print!("{}", report::csv(&results::read_dir(&dir)?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Gate { baseline, current } => judge(&baseline, &current),
        Command::CaptureBaseline { profile, dir, out } => capture_baseline(profile, dir, &out, engines, &benchmarks),
        Command::Schema => {
            print!("{}", results::schema()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Cell => cell::serve(engines, &benchmarks).map(|()| ExitCode::SUCCESS),
    }
}

fn list(engines: &[EngineSpec], benchmarks: &[Benchmark]) {
    println!("benchmarks:");
    for benchmark in benchmarks {
        println!("  {:<28} {:?}: {}", benchmark.name, benchmark.suite, benchmark.about);
    }
    println!("engines:");
    for engine in engines {
        println!("  {:<28} {:?} {}: {}", engine.name, engine.role, engine.version, engine.notes);
    }
}

fn run_and_report(arguments: RunArguments, engines: &[EngineSpec], benchmarks: &[Benchmark]) -> Result<ExitCode> {
    let valid = arguments.seconds > 0.0 && arguments.scale > 0.0 && arguments.repeats > 0 && arguments.ops != Some(0);
    ensure!(valid, "--seconds, --scale, --repeats and --ops must be positive");
    make_room(&arguments.out, arguments.replace)?;
    let plan = Plan {
        benchmarks: arguments.benchmarks,
        engines: arguments.engines,
        repeats: arguments.repeats,
        parameters: Parameters {
            seconds: arguments.seconds,
            operations: arguments.ops,
            scale: arguments.scale,
            warmup_operations: arguments.warmup_ops,
            warmup_ns: if arguments.warmup_ops.is_some() { u64::MAX } else { arguments.warmup_ns },
            memory_bytes: arguments.memory_mib.map(|mebibytes| mebibytes << 20),
            seed: arguments.seed,
            history: arguments.history,
        },
        dir: arguments.dir,
        out: arguments.out,
        trace_syncs: arguments.count_syncs,
        baseline_program: arguments.baseline_program,
    };
    execute_plan(&plan, engines, benchmarks)
}

fn execute_plan(plan: &Plan, engines: &[EngineSpec], benchmarks: &[Benchmark]) -> Result<ExitCode> {
    let failures = run::run(engines, benchmarks, plan)?;
    print!("{}", report::markdown(&results::read_dir(&plan.out)?));
    eprintln!("results: {}", plan.out.display());
    ensure!(failures == 0, "{failures} repeats failed");
    Ok(ExitCode::SUCCESS)
}

/// Refuses to mix two runs in one directory.
fn make_room(out: &Path, replace: bool) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(out).with_context(|| format!("cannot read {}", out.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            ensure!(replace, "{} holds results: choose another --out, or say --replace", out.display());
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn judge(baseline: &Path, current: &Path) -> Result<ExitCode> {
    let verdict = gate::compare(&results::read_dir(baseline)?, &results::read_dir(current)?);
    for regression in &verdict.regressions {
        println!("worse: {regression}");
    }
    println!("{} series compared, {} regressions", verdict.compared, verdict.regressions.len());
    ensure!(verdict.compared > 0, "the baseline holds nothing to compare");
    Ok(if verdict.regressions.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REGRESSION) })
}

fn capture_baseline(
    profile: Profile,
    dir: PathBuf,
    out: &Path,
    engines: &[EngineSpec],
    benchmarks: &[Benchmark],
) -> Result<ExitCode> {
    let (name, seconds, scale, repeats, warmup_ns) = match profile {
        Profile::Ci => ("ci", 0.5, 0.05, 3, 100_000_000),
        Profile::DevNvme => ("dev_nvme", 2.0, 1.0, 7, 500_000_000),
    };
    let out = out.join(name);
    make_room(&out, true)?;
    let subjects: Vec<String> = engines
        .iter()
        .filter(|engine| !matches!(engine.role, Role::Peer | Role::Alternate))
        .map(|engine| engine.name.to_owned())
        .collect();
    let plan = Plan {
        benchmarks: Vec::new(),
        engines: subjects,
        repeats,
        parameters: Parameters {
            seconds,
            operations: None,
            scale,
            warmup_operations: None,
            warmup_ns,
            memory_bytes: None,
            seed: 1,
            history: None,
        },
        dir,
        out,
        trace_syncs: false,
        baseline_program: None,
    };
    execute_plan(&plan, engines, benchmarks)
}
