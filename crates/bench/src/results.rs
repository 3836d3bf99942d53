//! Results on disk: one JSON file per repeat, never aggregated. `bench/results.schema.json` is made from the types here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Durability, Role};
use crate::machine::{Build, Machine};
use crate::measure::Measurement;
use crate::workload::{Parameters, Suite};

/// Version of the layout. A change of meaning raises it.
pub const SCHEMA_VERSION: u32 = 1;

/// The run that a result belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Start, in seconds since 1970.
    pub started_unix_s: u64,
    /// Arguments of the program.
    pub arguments: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// What ran.
    pub build: Build,
}

/// The engine that a result is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineInfo {
    /// Stable name.
    pub name: String,
    /// Version that was linked.
    pub version: String,
    /// Its side of the comparison.
    pub role: Role,
    /// How it was configured.
    pub notes: String,
}

/// What came of one repeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was measured.
    Measured(Box<Measurement>),
    /// It failed, with this message.
    Failed(String),
}

/// One repeat of one benchmark on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run: Run,
    /// Stable name of the benchmark.
    pub benchmark: String,
    /// Its suite.
    pub suite: Suite,
    /// What its writes asked for.
    pub durability: Durability,
    /// Threads that committed at the same time.
    pub writers: usize,
    /// The engine.
    pub engine: EngineInfo,
    /// Number of the repeat, from 0. Equal numbers ran beside each other.
    pub repeat: u32,
    /// The run's parameters.
    pub parameters: Parameters,
    /// The machine's load average over the minute before; a high one means that something else ran.
    pub load_average: f64,
    /// Syncs per operation that a trace of system calls showed, in a short run of its own; null if none was made.
    pub traced_syncs_per_operation: Option<f64>,
    /// What came of it.
    pub outcome: Outcome,
}

impl RunResult {
    /// The measurement, unless it failed.
    #[must_use]
    pub fn measurement(&self) -> Option<&Measurement> {
        match &self.outcome {
            Outcome::Measured(measurement) => Some(measurement),
            Outcome::Failed(_) => None,
        }
    }

    /// Syncs per operation: traced if they were, else as the engine counted them.
    #[must_use]
    pub fn syncs_per_operation(&self) -> Option<f64> {
        let counted = self.measurement().and_then(|done| per(done.cost.syncs?, done.operations));
        self.traced_syncs_per_operation.or(counted)
    }

    /// The checks that the schema cannot express.
    fn check(&self) -> Result<()> {
        ensure!(
            self.schema_version == SCHEMA_VERSION,
            "schema version {} is not {SCHEMA_VERSION}",
            self.schema_version
        );
        ensure!(!self.benchmark.is_empty() && !self.engine.name.is_empty(), "a name is empty");
        if let Some(done) = self.measurement() {
            ensure!(done.elapsed_ns > 0 && done.operations > 0, "nothing was measured");
            let latency = done.latency;
            let ordered = [latency.p50_ns, latency.p95_ns, latency.p99_ns, latency.p999_ns, latency.max_ns];
            ensure!(ordered.is_sorted() && latency.samples > 0, "latencies are out of order: {ordered:?}");
            ensure!(
                latency.mean_ns.is_finite() && done.extra.values().all(|value| value.is_finite()),
                "a figure is not finite"
            );
        }
        Ok(())
    }

    fn file_name(&self) -> String {
        format!("{}--{}--r{:02}.json", self.benchmark.replace('/', "."), self.engine.name, self.repeat)
    }

    /// Writes the result into `dir`, after checking it as a reader would.
    ///
    /// # Errors
    /// If the result is not valid, or cannot be written.
    pub fn write(&self, dir: &Path) -> Result<PathBuf> {
        let text = serde_json::to_string_pretty(self)?;
        parse(&text).context("refused to write a result that is not valid")?;
        let path = dir.join(self.file_name());
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn parse(text: &str) -> Result<RunResult> {
    let result: RunResult = serde_json::from_str(text)?;
    result.check()?;
    Ok(result)
}

/// Reads and checks all results of a directory, sorted by benchmark, engine and repeat.
///
/// # Errors
/// If there is none, or one is not valid.
pub fn read_dir(dir: &Path) -> Result<Vec<RunResult>> {
    let mut results = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            results.push(parse(&text).with_context(|| format!("{} is not a valid result", path.display()))?);
        }
    }
    ensure!(!results.is_empty(), "{} holds no results", dir.display());
    results.sort_by(|a, b| (&a.benchmark, &a.engine.name, a.repeat).cmp(&(&b.benchmark, &b.engine.name, b.repeat)));
    Ok(results)
}

/// `total / count`, if anything was counted.
#[must_use]
pub fn per(total: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| total as f64 / count as f64)
}

/// The JSON Schema of a result.
///
/// # Errors
/// If it cannot be serialised.
pub fn schema() -> Result<String> {
    Ok(serde_json::to_string_pretty(&schemars::schema_for!(RunResult))? + "\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::{Cost, Latency};

    /// A valid result, for tests to change.
    pub(crate) fn sample() -> RunResult {
        RunResult {
            schema_version: SCHEMA_VERSION,
            run: Run {
                started_unix_s: 1,
                arguments: vec!["run".to_owned()],
                machine: Machine {
                    cpu: "model".to_owned(),
                    cores: 2,
                    memory_bytes: 1 << 30,
                    filesystem: "ext4".to_owned(),
                    mount_options: "rw".to_owned(),
                    kernel: "linux 6".to_owned(),
                },
                build: Build {
                    profile: "release".to_owned(),
                    rustc: "rustc 1.95.0".to_owned(),
                    rustflags: String::new(),
                    commit: "unknown".to_owned(),
                    modified: false,
                },
            },
            benchmark: "client/b1/w1".to_owned(),
            suite: Suite::Macro,
            durability: Durability::Sync,
            writers: 1,
            engine: EngineInfo {
                name: "granite".to_owned(),
                version: "0.1.0".to_owned(),
                role: Role::Subject,
                notes: String::new(),
            },
            repeat: 0,
            parameters: Parameters {
                seconds: 1.0,
                operations: None,
                scale: 1.0,
                warmup_operations: None,
                warmup_ns: 0,
                memory_bytes: None,
                seed: 1,
                history: None,
            },
            load_average: 0.5,
            traced_syncs_per_operation: None,
            outcome: Outcome::Measured(Box::new(Measurement {
                operations: 10_000,
                items: 10_000,
                user_bytes: 1_000_000,
                elapsed_ns: 1_000_000_000,
                latency: Latency {
                    samples: 10_000,
                    mean_ns: 100_000.0,
                    p50_ns: 95_000,
                    p95_ns: 120_000,
                    p99_ns: 150_000,
                    p999_ns: 200_000,
                    max_ns: 1_000_000,
                },
                cost: Cost { allocations: Some(20_000), syncs: Some(10_000), ..Cost::default() },
                ..Measurement::default()
            })),
        }
    }

    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        let committed = include_str!("../../../bench/results.schema.json");
        assert!(
            committed == schema().expect("serialises"),
            "bench/results.schema.json is stale: cargo run -p bench -- schema > bench/results.schema.json"
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let result = sample();
        result.write(dir.path()).expect("write");
        assert_eq!(read_dir(dir.path()).expect("read"), [result]);
    }

    #[test]
    fn a_result_that_is_not_valid_is_neither_written_nor_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut result = sample();
        if let Outcome::Measured(done) = &mut result.outcome {
            done.latency.p50_ns = done.latency.max_ns + 1;
        }
        assert!(result.write(dir.path()).is_err());

        let text = serde_json::to_string(&sample()).expect("serialises");
        for (from, to) in [
            ("\"repeat\":0", "\"repeat\":-1"),
            ("\"repeat\":0", "\"repeat\":0,\"unknown\":0"),
            ("\"repeat\":0,", ""),
            ("\"durability\":\"sync\"", "\"durability\":\"maybe\""),
            ("\"schema_version\":1", "\"schema_version\":2"),
        ] {
            assert!(text.contains(from));
            assert!(parse(&text.replacen(from, to, 1)).is_err(), "{to} was accepted");
        }
        assert!(read_dir(dir.path()).is_err(), "an empty directory was taken for results");
    }
}
