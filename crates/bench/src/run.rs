//! The runner: benchmarks in turn, repeats within them, engines interleaved within those, each in a fresh directory and process.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use wildmatch::WildMatch;

use crate::cell::{Request, Stage};
use crate::engine::{Durability, EngineSpec, Role};
use crate::floor::MachineFloor;
use crate::machine::{self, Build, Machine};
use crate::measure::Measurement;
use crate::profile::Profile;
use crate::results::{EngineInfo, Outcome, Run, RunResult, SCHEMA_VERSION};
use crate::syncs::{self, TRACED_CALLS};
use crate::workload::{Benchmark, Parameters, Suite, remove_trees};

const SIGKILL: i32 = 9;
const ERROR_LINES_MAX: usize = 12;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Patterns of benchmarks; none means those of the profile, or all.
    pub benchmarks: Vec<String>,
    /// Suites to choose from; none means all.
    pub suites: Vec<Suite>,
    /// Says what is run, and how many operations of each, where nothing else does.
    pub profile: Option<Profile>,
    /// Patterns of engines; none means all but the alternates.
    pub engines: Vec<String>,
    /// Repeats of each.
    pub repeats: u32,
    /// For all benchmarks.
    pub parameters: Parameters,
    /// Where databases live while they are measured.
    pub dir: PathBuf,
    /// Where results go.
    pub out: PathBuf,
    /// Count the syncs of each durable benchmark by a trace of system calls first.
    pub trace_syncs: bool,
    /// A program of this harness built from an older commit, whose subject runs beside this one's.
    pub baseline_program: Option<PathBuf>,
}

impl Plan {
    /// True if times count, and are worth waiting for a quiet disk.
    fn is_timed(&self) -> bool {
        self.profile.is_none_or(Profile::is_timed)
    }

    fn settle_disk(&self) {
        if self.is_timed() {
            rustix::fs::sync();
        }
    }
}

/// One column of a run: an engine, and the program that holds it.
struct Contestant<'a> {
    name: String,
    spec: &'a EngineSpec,
    program: PathBuf,
    version: String,
}

/// Runs the plan and writes one file per repeat. Returns how many repeats failed.
///
/// # Errors
/// If the plan selects nothing, or the runner itself cannot work. A benchmark that fails is a result, not an error.
pub fn run(engines: &[EngineSpec], benchmarks: &[Benchmark], plan: &Plan) -> Result<u64> {
    fs::create_dir_all(&plan.dir).with_context(|| format!("cannot create {}", plan.dir.display()))?;
    fs::create_dir_all(&plan.out).with_context(|| format!("cannot create {}", plan.out.display()))?;
    let selected = select(benchmarks, plan)?;
    let contestants = contestants(engines, plan)?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let run = Run {
        started_unix_s: started.as_secs(),
        arguments: std::env::args().skip(1).collect(),
        machine: Machine::here(&plan.dir)?,
        build: Build::here(),
        floor: Some(MachineFloor::measure(&plan.dir)?),
    };
    if run.machine.filesystem == "tmpfs" {
        eprintln!("warning: {} is in memory: syncs cost nothing there; choose another with --dir", plan.dir.display());
    }
    let _trees = Trees(&plan.dir);
    let mut failures = 0;
    for benchmark in selected {
        let field: Vec<&Contestant<'_>> =
            contestants.iter().filter(|contestant| benchmark.runs_on(contestant.spec)).collect();
        let traced = trace_all(benchmark, &field, plan)?;
        for repeat in 0..plan.repeats {
            for turn in 0..field.len() {
                // The first place moves on from repeat to repeat.
                let place = (turn + repeat as usize) % field.len();
                let contestant = field[place];
                let load_average = machine::load_average();
                let outcome = match broken_promise(benchmark, traced[place]) {
                    Some(message) => Outcome::Failed(message),
                    None => measure(benchmark, contestant, plan, repeat)?,
                };
                report_progress(benchmark, &contestant.name, repeat, &outcome);
                failures += u64::from(matches!(outcome, Outcome::Failed(_)));
                let result = RunResult {
                    schema_version: SCHEMA_VERSION,
                    run: run.clone(),
                    benchmark: benchmark.name.clone(),
                    suite: benchmark.suite,
                    durability: benchmark.durability(),
                    writers: benchmark.writers(),
                    engine: EngineInfo {
                        name: contestant.name.clone(),
                        version: contestant.version.clone(),
                        role: contestant.spec.role,
                        notes: contestant.spec.notes.to_owned(),
                    },
                    repeat,
                    parameters: parameters_of(benchmark, plan, repeat),
                    load_average,
                    traced_syncs_per_operation: traced[place],
                    outcome,
                };
                result.write(&plan.out)?;
            }
        }
    }
    Ok(failures)
}

/// The working directories that measurements of one run share. They go when the run is over.
struct Trees<'a>(&'a Path);

impl Drop for Trees<'_> {
    fn drop(&mut self) {
        if let Err(error) = remove_trees(self.0) {
            eprintln!("warning: {error:#}");
        }
    }
}

/// The benchmarks that the plan names.
fn select<'a>(benchmarks: &'a [Benchmark], plan: &Plan) -> Result<Vec<&'a Benchmark>> {
    let patterns = &plan.benchmarks;
    let is_selected = |benchmark: &&Benchmark| {
        let of_suite = plan.suites.is_empty() || plan.suites.contains(&benchmark.suite);
        of_suite
            && match plan.profile {
                Some(profile) if patterns.is_empty() => profile.takes(benchmark),
                _ if benchmark.by_name_only => patterns.contains(&benchmark.name),
                _ => matches_any(patterns, &benchmark.name),
            }
    };
    let selected: Vec<&Benchmark> = benchmarks.iter().filter(is_selected).collect();
    ensure!(!selected.is_empty(), "no benchmark matches {patterns:?}");
    for name in plan.parameters.param.keys() {
        if let Some(other) = selected.iter().find(|benchmark| !benchmark.params.contains(&name.as_str())) {
            bail!(
                "--param {name}: {} takes {}",
                other.name,
                match other.params {
                    [] => "no parameters".to_owned(),
                    params => params.join(", "),
                }
            );
        }
    }
    Ok(selected)
}

/// The name under which a baseline program's engine runs.
#[must_use]
pub fn baseline_name(engine: &str) -> String {
    format!("{engine}@baseline")
}

fn contestants<'a>(engines: &'a [EngineSpec], plan: &Plan) -> Result<Vec<Contestant<'a>>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut all = Vec::new();
    for spec in engines {
        let named = !plan.engines.is_empty() && matches_any(&plan.engines, spec.name);
        if !spec.is_installed() {
            // Named exactly, it is missed; a pattern takes what there is.
            ensure!(!plan.engines.iter().any(|pattern| pattern == spec.name), "{} is not installed", spec.name);
            continue;
        }
        if named || (plan.engines.is_empty() && spec.role != Role::Alternate) {
            all.push(Contestant {
                name: spec.name.to_owned(),
                spec,
                program: program.clone(),
                version: spec.version.clone(),
            });
        }
        if let (Role::Subject, Some(baseline)) = (spec.role, &plan.baseline_program) {
            let version = format!("program {}", baseline.display());
            all.push(Contestant { name: baseline_name(spec.name), spec, program: baseline.clone(), version });
        }
    }
    ensure!(!all.is_empty(), "no engine matches {:?}", plan.engines);
    Ok(all)
}

/// True if there are no patterns, or one of them matches. `*` and `?` stand for any text and any character; a pattern that ends with
/// `/` or `/...` takes everything below it.
#[must_use]
pub fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| {
            let below = pattern.strip_suffix("...").unwrap_or(pattern);
            if below.ends_with('/') { name.starts_with(below) } else { WildMatch::new(pattern).matches(name) }
        })
}

fn parameters_of(benchmark: &Benchmark, plan: &Plan, repeat: u32) -> Parameters {
    let of_profile = || plan.profile.and_then(|profile| profile.operations(benchmark));
    Parameters {
        seed: plan.parameters.seed.wrapping_add(u64::from(repeat)),
        operations: plan.parameters.operations.or_else(of_profile),
        ..plan.parameters.clone()
    }
}

/// A directory that is removed when the measurement is over.
struct FreshDir(PathBuf);

impl FreshDir {
    fn create(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("cell-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for FreshDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: cannot remove {}: {error}", self.0.display());
        }
    }
}

fn measure(benchmark: &Benchmark, contestant: &Contestant<'_>, plan: &Plan, repeat: u32) -> Result<Outcome> {
    let dir = FreshDir::create(&plan.dir)?;
    // What the previous measurement left to write back must not be written during this one.
    plan.settle_disk();
    let mut request = Request {
        benchmark: benchmark.name.clone(),
        engine: contestant.spec.name.to_owned(),
        dir: dir.0.clone(),
        stage: Stage::Prepare,
        parameters: parameters_of(benchmark, plan, repeat),
        timed: plan.is_timed(),
    };
    if benchmark.prepares_apart() {
        let output = start(&contestant.program, &[], &request)?;
        if !output.status.success() && output.status.signal() != Some(SIGKILL) {
            return Ok(Outcome::Failed(format!("in the preparation: {}", failure(&output))));
        }
        plan.settle_disk();
    }
    request.stage = Stage::Measure;
    let output = start(&contestant.program, &[], &request)?;
    if !output.status.success() {
        return Ok(Outcome::Failed(failure(&output)));
    }
    let measurement: Measurement =
        serde_json::from_slice(&output.stdout).context("a measurement that cannot be read")?;
    Ok(Outcome::Measured(Box::new(measurement)))
}

/// Syncs per operation of each contestant, where they are asked for and the benchmark is durable.
fn trace_all(benchmark: &Benchmark, field: &[&Contestant<'_>], plan: &Plan) -> Result<Vec<Option<f64>>> {
    let wanted = plan.trace_syncs && benchmark.durability() == Durability::Sync;
    let trace =
        |contestant: &&Contestant<'_>| if wanted { trace(benchmark, contestant, plan).map(Some) } else { Ok(None) };
    field.iter().map(trace).collect()
}

/// What a trace says of an engine that does not do what is asked of it: its times would be those of something else.
fn broken_promise(benchmark: &Benchmark, traced_syncs: Option<f64>) -> Option<String> {
    let syncs = traced_syncs.filter(|&syncs| benchmark.syncs_each_operation() && syncs < 1.0)?;
    Some(format!("it is to be durable, and waits for the disk {syncs:.2} times for each operation"))
}

fn trace(benchmark: &Benchmark, contestant: &Contestant<'_>, plan: &Plan) -> Result<f64> {
    let dir = FreshDir::create(&plan.dir)?;
    let log = plan.out.join(format!("trace-{}.log", std::process::id()));
    let request = Request {
        benchmark: benchmark.name.clone(),
        engine: contestant.spec.name.to_owned(),
        dir: dir.0.clone(),
        stage: Stage::Measure,
        parameters: Parameters {
            operations: Some(syncs::TRACED_OPERATIONS),
            warmup_operations: Some(syncs::TRACED_WARMUP_OPERATIONS),
            warmup_ns: u64::MAX,
            scale: plan.parameters.scale.min(0.05),
            ..plan.parameters.clone()
        },
        timed: false,
    };
    let calls = format!("trace={TRACED_CALLS}");
    let mut tracer: Vec<OsString> = ["strace", "-f", "-y", "-s", "0", "-e"].map(OsString::from).to_vec();
    tracer.extend([calls.into(), "-o".into(), log.clone().into_os_string()]);
    let output = start(&contestant.program, &tracer, &request)
        .context("cannot trace system calls: install strace, or run without --count-syncs")?;
    if !output.status.success() {
        bail!("{} on {} under strace: {}", benchmark.name, contestant.name, failure(&output));
    }
    let measurement: Measurement = serde_json::from_slice(&output.stdout)?;
    let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    fs::remove_file(&log)?;
    let count = syncs::count(&text)?;
    Ok(count as f64 / measurement.operations as f64)
}

fn start(program: &Path, prefix: &[OsString], request: &Request) -> Result<Output> {
    let mut words = prefix.iter().cloned().chain([program.as_os_str().to_owned(), "cell".into()]);
    let mut command = Command::new(words.next().context("no program")?);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut input = child.stdin.take().context("the child has no standard input")?;
    input.write_all(&serde_json::to_vec(request)?)?;
    drop(input);
    Ok(child.wait_with_output()?)
}

fn failure(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(ERROR_LINES_MAX)..];
    format!("{}: {}", output.status, tail.join("\n"))
}

fn report_progress(benchmark: &Benchmark, engine: &str, repeat: u32, outcome: &Outcome) {
    let name = &benchmark.name;
    match outcome {
        Outcome::Measured(done) => eprintln!(
            "{name:<28} {engine:<24} #{repeat}: {:>12.0} items/s, p50 {:>9.1} us, p99 {:>9.1} us{}",
            done.items as f64 / done.elapsed_ns as f64 * 1e9,
            done.latency.p50_ns as f64 / 1e3,
            done.latency.p99_ns as f64 / 1e3,
            if done.truncated { ", ran out of time" } else { "" }
        ),
        Outcome::Failed(message) => eprintln!("{name:<28} {engine:<24} #{repeat}: FAILED: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_does_not_wait_for_the_disk_is_not_measured_as_if_it_did() {
        let registry = crate::workload::registry();
        let of = |name: &str| registry.iter().find(|benchmark| benchmark.name == name).expect("registered");
        let broken = |name: &str, syncs| broken_promise(of(name), syncs).is_some();
        assert!(broken("durable-put/1", Some(0.02)) && broken("timelapse/checkpoint/1k", Some(0.0)));
        assert!(!broken("durable-put/1", Some(1.0)) && !broken("durable-put/1", None));
        // Writers share syncs, and what is present already needs none.
        assert!(!broken("client/b1/w4", Some(0.3)) && !broken("client-present/95/b16", Some(0.4)));
    }

    #[test]
    fn patterns_select_by_wildcard_and_by_folder() {
        let matches = |pattern: &str, name| matches_any(&[pattern.to_owned()], name);
        assert!(matches_any(&[], "client/b1/w1"));
        assert!(matches("client/*", "client/b1/w1"));
        assert!(matches("client/", "client/b1/w1"));
        assert!(matches("client/...", "client/b1/w1"));
        assert!(matches("client/b?/w1", "client/b1/w1"));
        assert!(!matches("client/", "client-present/30/b16"));
        assert!(!matches("client", "client/b1/w1"));
    }
}
