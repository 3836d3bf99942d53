//! Commands that measure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{DEFAULT_DIR, DEFAULT_OUT};
use crate::engine::{EngineSpec, Role};
use crate::profile::Profile;
use crate::run::Plan;
use crate::workload::{Benchmark, Parameters, Suite};
use crate::{report, results, run};

const REPEATS: u32 = 5;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Benchmarks by name; `*` and `?` are wildcards, `client/` means everything below. All, or those of the profile, if none is given.
    benchmarks: Vec<String>,
    /// Only benchmarks of these suites.
    #[arg(long, value_enum, value_delimiter = ',')]
    suite: Vec<Suite>,
    /// Engines by name, with wildcards, separated by commas. All but the alternate configurations if not given; of a profile, its own.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// What to run and how much of it, where nothing else is said.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Repeats of each benchmark on each engine, 5 unless a profile says otherwise.
    #[arg(long)]
    repeats: Option<u32>,
    /// Measured time of benchmarks that run by the clock.
    #[arg(long)]
    seconds: Option<f64>,
    /// Operations per thread instead of a time.
    #[arg(long)]
    ops: Option<u64>,
    /// Multiplies the number of keys, files and checkpoints.
    #[arg(long)]
    scale: Option<f64>,
    /// Operations per thread before the measured part.
    #[arg(long)]
    warmup_ops: Option<u64>,
    /// Time before the measured part.
    #[arg(long)]
    warmup_ns: Option<u64>,
    /// A number that the benchmarks take by this name, as --list shows: `NAME=NUMBER`.
    #[arg(long, value_parser = parse_param)]
    param: Vec<(String, u64)>,
    /// Memory of each database instead of what the benchmark sets.
    #[arg(long)]
    memory_mib: Option<usize>,
    /// Seed of keys, values and choices.
    #[arg(long)]
    seed: Option<u64>,
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

fn parse_param(text: &str) -> Result<(String, u64)> {
    let (name, number) = text.split_once('=').context("not NAME=NUMBER")?;
    Ok((name.to_owned(), number.parse().with_context(|| format!("{number:?} is no number"))?))
}

impl RunArguments {
    pub(super) fn execute(self, engines: &[EngineSpec], benchmarks: &[Benchmark]) -> Result<()> {
        let parameters = self.parameters();
        let repeats = self.repeats.or(self.profile.map(Profile::repeats)).unwrap_or(REPEATS);
        let positive = parameters.seconds > 0.0 && parameters.scale > 0.0 && repeats > 0;
        ensure!(
            positive && parameters.operations != Some(0),
            "--seconds, --scale, --repeats and --ops must be positive"
        );
        make_room(&self.out, self.replace)?;
        let plan = Plan {
            benchmarks: self.benchmarks,
            suites: self.suite,
            profile: self.profile,
            engines: engines_of(self.profile, self.engines, engines),
            repeats,
            parameters,
            dir: self.dir,
            out: self.out,
            trace_syncs: self.count_syncs,
            baseline_program: self.baseline_program,
        };
        execute_plan(&plan, engines, benchmarks)
    }

    fn parameters(&self) -> Parameters {
        let defaults = self.profile.unwrap_or(Profile::DevNvme).parameters();
        let warmup_operations = self.warmup_ops.or(defaults.warmup_operations);
        let by_operations = warmup_operations.is_some() && self.warmup_ns.is_none();
        Parameters {
            seconds: self.seconds.unwrap_or(defaults.seconds),
            operations: self.ops,
            scale: self.scale.unwrap_or(defaults.scale),
            warmup_operations,
            warmup_ns: if by_operations { u64::MAX } else { self.warmup_ns.unwrap_or(defaults.warmup_ns) },
            memory_bytes: self.memory_mib.map(|mebibytes| mebibytes << 20),
            seed: self.seed.unwrap_or(defaults.seed),
            history: self.history.clone(),
            param: self.param.iter().cloned().collect::<BTreeMap<_, _>>(),
        }
    }
}

/// Whom a profile runs where nobody is named: in ci what this project builds, else the floors and the machine too.
fn engines_of(profile: Option<Profile>, named: Vec<String>, engines: &[EngineSpec]) -> Vec<String> {
    let Some(profile) = profile.filter(|_| named.is_empty()) else { return named };
    let takes_part = |engine: &&EngineSpec| match profile {
        Profile::Ci => engine.role == Role::Subject,
        Profile::DevNvme => !matches!(engine.role, Role::Peer | Role::Alternate),
    };
    engines.iter().filter(takes_part).map(|engine| engine.name.to_owned()).collect()
}

#[derive(Debug, Args)]
pub(super) struct BaselineArguments {
    /// How much to run.
    #[arg(long, value_enum)]
    profile: Profile,
    /// Repeats instead of the profile's. Counters of a profile that has one are the same in all.
    #[arg(long)]
    repeats: Option<u32>,
    /// Where databases live while they are measured.
    #[arg(long, default_value = DEFAULT_DIR)]
    dir: PathBuf,
    /// Where baselines are kept; the profile's name is appended.
    #[arg(long, default_value = "bench/baselines")]
    out: PathBuf,
}

impl BaselineArguments {
    pub(super) fn execute(self, engines: &[EngineSpec], benchmarks: &[Benchmark]) -> Result<()> {
        let out = self.out.join(self.profile.name());
        make_room(&out, true)?;
        let plan = Plan {
            benchmarks: Vec::new(),
            suites: Vec::new(),
            profile: Some(self.profile),
            engines: engines_of(Some(self.profile), Vec::new(), engines),
            repeats: self.repeats.unwrap_or_else(|| self.profile.repeats()),
            parameters: self.profile.parameters(),
            dir: self.dir,
            out,
            trace_syncs: false,
            baseline_program: None,
        };
        execute_plan(&plan, engines, benchmarks)
    }
}

fn execute_plan(plan: &Plan, engines: &[EngineSpec], benchmarks: &[Benchmark]) -> Result<()> {
    let failures = run::run(engines, benchmarks, plan)?;
    print!("{}", report::markdown(&results::read(&plan.out)?));
    eprintln!("results: {}", plan.out.display());
    ensure!(failures == 0, "{failures} repeats failed");
    Ok(())
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
