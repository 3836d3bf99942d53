//! Results on disk: one JSON file per repeat, never aggregated. `bench/results.schema.json` is made from the types here, and every file is
//! held to it before it is written and before it is used.

mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{Durability, Role};
use crate::floor::MachineFloor;
use crate::machine::{Build, Machine};
use crate::measure::Measurement;
use crate::workload::{Parameters, Suite};

pub use self::schema::generated as schema;

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
    /// What the machine could do at the start of the run; null in results from before it was measured.
    #[serde(default)]
    pub floor: Option<MachineFloor>,
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
    /// The machine's load average over the minute before; a high one means that something else ran. Null if the system does not tell.
    pub load_average: Option<f64>,
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
            "/schema_version: {} is not {SCHEMA_VERSION}",
            self.schema_version
        );
        ensure!(!self.benchmark.is_empty(), "/benchmark: the name is empty");
        ensure!(!self.engine.name.is_empty(), "/engine/name: the name is empty");
        if let Some(done) = self.measurement() {
            ensure!(done.elapsed_ns > 0, "/outcome/measured/elapsed_ns: no time passed");
            ensure!(done.operations > 0, "/outcome/measured/operations: nothing was measured");
            let latency = done.latency;
            ensure!(latency.samples > 0, "/outcome/measured/latency/samples: nothing was timed");
            let ordered = [latency.p50_ns, latency.p95_ns, latency.p99_ns, latency.p999_ns, latency.max_ns];
            ensure!(ordered.is_sorted(), "/outcome/measured/latency: percentiles are out of order: {ordered:?}");
        }
        Ok(())
    }

    /// Which measurement this is; no two of a run have the same.
    fn place(&self) -> (&str, &str, u32) {
        (&self.benchmark, &self.engine.name, self.repeat)
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
        // A figure that is not finite becomes null in JSON, which the schema refuses.
        parse(&text).context("refused to write a result that is not valid")?;
        let path = dir.join(self.file_name());
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn parse(text: &str) -> Result<RunResult> {
    let document: Value = serde_json::from_str(text).context("not JSON")?;
    schema::check(&document)?;
    let result: RunResult = serde_json::from_value(document)?;
    result.check()?;
    Ok(result)
}

fn read_file(path: &Path) -> Result<RunResult> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is not a valid result", path.display()))
}

/// Reads and checks all results of a directory, or a single file, sorted by benchmark, engine and repeat.
///
/// # Errors
/// If there is none, one is not valid, or two are of the same repeat.
pub fn read(path: &Path) -> Result<Vec<RunResult>> {
    let mut results = Vec::new();
    if path.is_file() {
        results.push(read_file(path)?);
    } else {
        for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                results.push(read_file(&file)?);
            }
        }
    }
    ensure!(!results.is_empty(), "{} holds no results", path.display());
    results.sort_by(|a, b| a.place().cmp(&b.place()));
    if let Some([one, _]) = results.array_windows().find(|[a, b]| a.place() == b.place()) {
        let (benchmark, engine, repeat) = one.place();
        bail!("{} holds repeat {repeat} of {benchmark} on {engine} twice", path.display());
    }
    Ok(results)
}

/// `total / count`, if anything was counted.
#[must_use]
pub fn per(total: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| total as f64 / count as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

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
                    memory_bytes: Some(1 << 30),
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
                floor: Some(MachineFloor {
                    append_sync_p50_ns: 50_000,
                    append_sync_p99_ns: 90_000,
                    sequential_write_bytes_per_s: 1e9,
                    memcpy_bytes_per_s: 1e10,
                }),
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
                param: BTreeMap::new(),
            },
            load_average: Some(0.5),
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
                cost: Cost {
                    allocations: Some(20_000),
                    syncs: Some(10_000),
                    engine_bytes: Some(20_000_000),
                    ..Cost::default()
                },
                ..Measurement::default()
            })),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let result = sample();
        result.write(dir.path()).expect("write");
        assert_eq!(read(dir.path()).expect("read"), [result]);
    }

    #[test]
    fn a_result_that_is_not_valid_is_not_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut result = sample();
        if let Outcome::Measured(done) = &mut result.outcome {
            done.latency.p50_ns = done.latency.max_ns + 1;
        }
        let refused = format!("{:#}", result.write(dir.path()).expect_err("out of order"));
        assert!(refused.contains("/outcome/measured/latency: percentiles"), "{refused}");
        let mut infinite = sample();
        if let Outcome::Measured(done) = &mut infinite.outcome {
            done.extra.insert("ratio".to_owned(), f64::NAN);
        }
        let refused = format!("{:#}", infinite.write(dir.path()).expect_err("not a number"));
        assert!(refused.contains("/outcome/measured/extra/ratio"), "{refused}");
        assert!(read(dir.path()).is_err(), "an empty directory was taken for results");
    }

    #[test]
    fn the_error_about_a_file_that_is_not_valid_names_the_field() {
        let text = serde_json::to_string(&sample()).expect("serialises");
        for (from, to, named) in [
            ("\"repeat\":0", "\"repeat\":-1", "/repeat: -1"),
            ("\"repeat\":0", "\"repeat\":0,\"unknown\":0", "'unknown'"),
            ("\"repeat\":0,", "", "\"repeat\""),
            ("\"durability\":\"sync\"", "\"durability\":\"maybe\"", "/durability: "),
            ("\"schema_version\":1", "\"schema_version\":2", "/schema_version: 2"),
            ("\"p99_ns\":150000", "\"p99_ns\":\"slow\"", "/outcome/measured/latency/p99_ns: \"slow\""),
            ("\"items\":10000,", "", "/outcome/measured: \"items\""),
            ("\"cores\":2", "\"cores\":null", "/run/machine/cores: null"),
            ("\"scale\":1.0,", "", "/parameters: \"scale\""),
        ] {
            assert!(text.contains(from), "the sample has no {from}");
            let refused = format!("{:#}", parse(&text.replacen(from, to, 1)).expect_err(to));
            assert!(refused.contains(named), "{to}: {refused}");
        }
    }

    #[test]
    fn a_file_of_another_program_is_refused_by_its_name_and_what_it_lacks() {
        let dir = tempfile::tempdir().expect("a directory");
        sample().write(dir.path()).expect("write");
        for (text, said) in
            [("{\"name\":\"package\"}", "\"schema_version\""), ("[1, 2]", "/: [1,2]"), ("{", "not JSON")]
        {
            fs::write(dir.path().join("foreign.json"), text).expect("write");
            let refused = format!("{:#}", read(dir.path()).expect_err("foreign"));
            assert!(refused.contains("foreign.json") && refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn one_file_is_read_as_a_directory_of_one_and_no_repeat_counts_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = sample().write(dir.path()).expect("write");
        assert_eq!(read(&path).expect("read"), [sample()]);
        fs::copy(&path, dir.path().join("copy.json")).expect("copy");
        let refused = format!("{:#}", read(dir.path()).expect_err("twice"));
        assert!(refused.contains("repeat 0 of client/b1/w1 on granite twice"), "{refused}");
    }
}
