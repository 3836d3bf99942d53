//! The benchmarks by their stable names. Each part of the project registers its own here.

mod commit;
mod fill;
mod idle;
mod machine;
mod micro;
mod read;
mod reopen;
mod settle;
mod soak;
mod timelapse;
mod ycsb;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::StdRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{KeyScheme, Shuffled, ValuePool, ValueSizes};
use crate::engine::{Durability, Engine, EngineOptions, EngineSpec, Op, Role};
use crate::engines::{GRANITE, Tool};
use crate::measure::{Limit, Measurement};

pub use timelapse::remove_trees;

/// Which question a benchmark answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// What the machine can do at all.
    Machine,
    /// Single functions: encoding, hashing, one object, one record.
    Micro,
    /// Whole operations of what this project builds, beside the tools that do the same.
    Macro,
    /// What is left after violence, and under more than there should be.
    Hardening,
    /// What every storage engine can be asked to do, so that they can be compared.
    Peers,
}

impl Suite {
    /// All of them, in the order in which a run takes them.
    pub const ALL: [Self; 5] = [Self::Machine, Self::Micro, Self::Macro, Self::Hardening, Self::Peers];

    /// As results and the command line call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Micro => "micro",
            Self::Macro => "macro",
            Self::Hardening => "hardening",
            Self::Peers => "peers",
        }
    }

    /// What belongs to it.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Machine => "what the machine can do at all",
            Self::Micro => "single functions",
            Self::Macro => "whole operations of what this project builds, beside the tools that do the same",
            Self::Hardening => "what is left after violence, and under more than there should be",
            Self::Peers => "what every storage engine can be asked to do",
        }
    }
}

/// What a run sets for all benchmarks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Wall time of the measured part of benchmarks that run by the clock.
    pub seconds: f64,
    /// Operations per thread instead of a time.
    pub operations: Option<u64>,
    /// Multiplies the number of keys.
    pub scale: f64,
    /// Operations per thread before the measured part.
    pub warmup_operations: Option<u64>,
    /// Time before the measured part.
    pub warmup_ns: u64,
    /// Replaces the memory of each benchmark.
    pub memory_bytes: Option<usize>,
    /// Seed of keys, values and choices; repeats add their number.
    pub seed: u64,
    /// A Git repository whose history is recorded, where a benchmark takes one.
    #[serde(default)]
    pub history: Option<PathBuf>,
    /// Numbers that some benchmarks take by name instead of their own.
    #[serde(default)]
    pub param: BTreeMap<String, u64>,
}

/// Where and how one benchmark runs.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The engine under test.
    pub engine: &'a EngineSpec,
    /// A fresh directory, or the one that the preparation left.
    pub dir: &'a Path,
    /// The run's parameters.
    pub parameters: &'a Parameters,
    /// True if times count.
    pub timed: bool,
}

impl Site<'_> {
    fn open(&self, mut options: EngineOptions) -> Result<Box<dyn Engine>> {
        options.memory_bytes = self.parameters.memory_bytes.unwrap_or(options.memory_bytes);
        (self.engine.open)(self.dir, &options)
    }

    /// Writes back what the preparation left, so that it is not written during the measured part.
    fn settle_disk(&self) {
        if self.timed {
            rustix::fs::sync();
        }
    }

    /// The number that the run gives under a name which the benchmark lists, else the benchmark's own.
    fn param(&self, name: &str, own: u64) -> u64 {
        self.parameters.param.get(name).copied().unwrap_or(own)
    }

    fn scaled(&self, count: u64) -> u64 {
        ((count as f64 * self.parameters.scale) as u64).max(100)
    }

    fn rng(&self, stream: u64) -> StdRng {
        StdRng::seed_from_u64(self.parameters.seed.wrapping_add(stream << 32))
    }

    fn values(&self) -> ValuePool {
        ValuePool::new(self.parameters.seed)
    }

    fn warmup(&self) -> Limit {
        Limit {
            operations: self.parameters.warmup_operations.unwrap_or(u64::MAX),
            time: Duration::from_nanos(self.parameters.warmup_ns),
        }
    }

    fn measured(&self) -> Limit {
        match self.parameters.operations {
            Some(operations) => Limit { operations, time: Duration::MAX },
            None => Limit::time(Duration::from_secs_f64(self.parameters.seconds)),
        }
    }
}

const MIB: usize = 1 << 20;
const LOAD_BATCH_OPS: usize = 1000;
const LOAD_BATCH_BYTES: u64 = 4 << 20;

/// The threshold from which the first client has values stored apart.
const SEPARATE_FROM_BYTES: usize = 1024;

/// A set of keys and values that a benchmark loads.
#[derive(Debug, Clone, Copy)]
struct DataSet {
    keys: KeyScheme,
    count: u64,
    sizes: ValueSizes,
}

impl DataSet {
    /// Writes all of it in shuffled order and large buffered batches. Returns the bytes of keys and values.
    fn load(&self, engine: &dyn Engine, values: &ValuePool, rng: &mut StdRng) -> Result<u64> {
        let order = Shuffled::new(self.count);
        let mut batch = Vec::with_capacity(LOAD_BATCH_OPS);
        let (mut batch_bytes, mut total_bytes) = (0, 0);
        for position in 0..self.count {
            let len = self.sizes.sample(rng);
            let op = Op::Put(self.keys.key(order.at(position)), values.value(rng, len));
            batch_bytes += op.user_bytes();
            batch.push(op);
            if batch.len() == LOAD_BATCH_OPS || batch_bytes >= LOAD_BATCH_BYTES || position + 1 == self.count {
                engine.write(&batch, Durability::Buffered)?;
                batch.clear();
                total_bytes += batch_bytes;
                batch_bytes = 0;
            }
        }
        Ok(total_bytes)
    }
}

/// How a benchmark works.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Commit(commit::Commit),
    Fill(fill::Fill),
    Read(read::Read),
    Ycsb(ycsb::Mix),
    Settle(settle::Settle),
    Reopen(reopen::Reopen),
    Idle,
    Soak,
    Machine(machine::Machine),
    Micro(micro::Micro),
    Timelapse(timelapse::Workload),
}

/// A registered benchmark.
#[derive(Debug, Clone)]
pub struct Benchmark {
    /// Stable name: results are compared by it.
    pub name: String,
    /// Its suite.
    pub suite: Suite,
    /// What it measures.
    pub about: String,
    /// True if a run takes it only when its whole name is given: it needs far more time and room than the others.
    pub by_name_only: bool,
    /// Operations per thread where a few are enough to count what one costs, the same every time; none if it can only be timed.
    pub ci_operations: Option<u64>,
    /// Names of the numbers that a run can set.
    pub params: &'static [&'static str],
    kind: Kind,
}

impl Benchmark {
    fn new(name: impl Into<String>, about: impl Into<String>, kind: Kind) -> Self {
        let suite = match kind {
            Kind::Machine(_) => Suite::Machine,
            Kind::Micro(_) => Suite::Micro,
            Kind::Reopen(_) | Kind::Soak => Suite::Hardening,
            Kind::Timelapse(workload) => workload.suite(),
            _ => Suite::Peers,
        };
        let (name, about) = (name.into(), about.into());
        Self { name, suite, about, by_name_only: false, ci_operations: None, params: &[], kind }
    }

    /// Takes part in the ci profile with so many operations.
    fn in_ci(self, operations: u64) -> Self {
        Self { ci_operations: Some(operations), ..self }
    }

    /// Takes these numbers from a run.
    fn taking(self, params: &'static [&'static str]) -> Self {
        Self { params, ..self }
    }

    /// True if the benchmark says something about `engine`.
    #[must_use]
    pub fn runs_on(&self, engine: &EngineSpec) -> bool {
        match (&self.kind, engine.role) {
            (Kind::Timelapse(workload), _) => workload.runs_on(engine),
            // A tool is no database.
            _ if Tool::of(engine).is_some() => false,
            (Kind::Machine(_), role) => role == Role::Machine,
            (_, Role::Machine) => false,
            (Kind::Micro(_) | Kind::Soak, _) => engine.name == GRANITE,
            _ if !engine.durable && self.needs_durability() => false,
            // A floor does not know which keys are present, so it cannot know how little must be written.
            (Kind::Commit(commit), Role::Floor) => commit.present_percent.is_none(),
            (_, Role::Floor) => false,
            _ => true,
        }
    }

    /// What its writes ask for.
    #[must_use]
    pub fn durability(&self) -> Durability {
        match self.kind {
            Kind::Commit(_) => Durability::Sync,
            Kind::Timelapse(workload) => workload.durability(),
            _ => Durability::Buffered,
        }
    }

    /// True if some write of it must survive a power cut, measured or not.
    fn needs_durability(&self) -> bool {
        self.durability() == Durability::Sync || matches!(self.kind, Kind::Reopen(_) | Kind::Idle | Kind::Soak)
    }

    /// True if each of its operations has to wait for the disk at least once.
    #[must_use]
    pub fn syncs_each_operation(&self) -> bool {
        match &self.kind {
            // Where every key is present already, there may be nothing to write.
            Kind::Commit(commit) => commit.writers == 1 && commit.present_percent.is_none(),
            _ => self.durability() == Durability::Sync && self.writers() == 1,
        }
    }

    /// Threads that write with a sync at the same time. With one, the number of syncs follows from the work alone.
    #[must_use]
    pub fn writers(&self) -> usize {
        if let Kind::Commit(commit) = self.kind { commit.writers } else { 1 }
    }

    /// True if the preparation must run, and may end violently, in a process of its own.
    #[must_use]
    pub fn prepares_apart(&self) -> bool {
        match self.kind {
            Kind::Timelapse(workload) => workload.prepares_apart(),
            ref kind => matches!(kind, Kind::Reopen(_) | Kind::Idle),
        }
    }

    /// The part that runs in a process of its own before the measuring one.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn prepare(&self, site: &Site<'_>) -> Result<()> {
        match self.kind {
            Kind::Reopen(reopen) => reopen.prepare(site),
            Kind::Idle => idle::prepare(site),
            Kind::Timelapse(workload) => workload.prepare(site),
            _ => Ok(()),
        }
    }

    /// Runs the benchmark once.
    ///
    /// # Errors
    /// Those of the engine, and any answer of it that is wrong.
    pub fn run(&self, site: &Site<'_>) -> Result<Measurement> {
        match self.kind {
            Kind::Commit(commit) => commit.run(site),
            Kind::Fill(fill) => fill.run(site),
            Kind::Read(read) => read.run(site),
            Kind::Ycsb(mix) => mix.run(site),
            Kind::Settle(settle) => settle.run(site),
            Kind::Reopen(reopen) => reopen.run(site),
            Kind::Idle => idle::run(site),
            Kind::Soak => soak::run(site),
            Kind::Machine(machine) => machine.run(site),
            Kind::Micro(micro) => micro.run(site),
            Kind::Timelapse(workload) => workload.run(site),
        }
    }
}

/// All benchmarks, in the order in which a run takes them.
#[must_use]
pub fn registry() -> Vec<Benchmark> {
    let mut all = machine::benchmarks();
    all.extend(micro::benchmarks());
    all.extend(commit::benchmarks());
    all.extend(fill::benchmarks());
    all.extend(read::benchmarks());
    all.extend(ycsb::benchmarks());
    all.extend(settle::benchmarks());
    all.extend(reopen::benchmarks());
    all.extend(idle::benchmarks());
    all.extend(soak::benchmarks());
    all.extend(timelapse::benchmarks());
    all
}

#[cfg(test)]
mod tests;
