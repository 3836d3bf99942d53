//! Timelapse beside Git and the floor: what a save, a state and a look back cost, in working directories of different sizes.
//!
//! Each workload knows how to drive both tools. Nothing here is measured through a daemon or a program where the library
//! answers for itself; what is, stands in `program`.

mod checkpoint;
mod collect;
mod draft;
mod functions;
mod git;
mod history;
mod jj;
mod journal;
mod keeper;
mod memory;
mod objects;
mod program;
mod repository;
mod restore;
mod saves;
mod soak;
mod text;
mod tree;
mod watching;

use anyhow::Result;

use self::checkpoint::{Checkpoints, First, Flatness};
use self::functions::Function;
use self::memory::Memory;
use self::objects::Objects;
use self::program::Program;
use super::{Benchmark, Kind, Site, Suite};
use crate::engine::{Durability, Engine, EngineOptions, EngineSpec, Role};
use crate::engines::Tool;
use crate::measure::Measurement;

pub use self::tree::remove_trees;

/// Numbers of files, with their names. The last one runs only when it is asked for by its name.
const SIZES: [(&str, u64); 4] = [("1k", 1000), ("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)];

/// Who runs a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    /// This project.
    Timelapse,
    /// Git, in one of its configurations.
    Git(Tool),
    /// Jujutsu.
    Jj,
    /// The machine.
    Floor,
}

impl Contender {
    /// None for engines that keep no states of a working directory.
    fn of(engine: &EngineSpec) -> Option<Self> {
        match (Tool::of(engine), engine.role) {
            (Some(Tool::Timelapse), _) => Some(Self::Timelapse),
            (Some(Tool::Jj), _) => Some(Self::Jj),
            (Some(git), _) => Some(Self::Git(git)),
            (None, Role::Floor) => Some(Self::Floor),
            (None, _) => None,
        }
    }
}

/// The floor under test.
fn floor(site: &Site<'_>) -> Result<Box<dyn Engine>> {
    site.open(EngineOptions {
        durability: Durability::Sync,
        memory_bytes: 0,
        separate_values_from: None,
        hash_keys_of: None,
    })
}

/// A workload on a working directory or on what is recorded of one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Workload {
    Checkpoints(Checkpoints),
    Flatness(Flatness),
    First(First),
    Saves,
    Restore,
    Objects(Objects),
    Function(Function),
    Journal,
    Collect,
    Flood,
    Memory(Memory),
    History,
    Program(Program),
    Soak,
}

impl Workload {
    pub(super) fn runs_on(self, engine: &EngineSpec) -> bool {
        match (self, Contender::of(engine)) {
            (_, None) => false,
            (_, Some(Contender::Timelapse)) | (Self::Checkpoints(_) | Self::First(_), _) => true,
            (Self::History, Some(Contender::Git(tool))) => tool == Tool::Git,
            (Self::Restore | Self::Program(_), Some(Contender::Git(_))) => true,
            _ => false,
        }
    }

    pub(super) const fn suite(self) -> Suite {
        match self {
            Self::Objects(_) | Self::Function(_) | Self::Journal => Suite::Micro,
            Self::Flood | Self::Soak => Suite::Hardening,
            _ => Suite::Macro,
        }
    }

    pub(super) fn durability(self) -> Durability {
        match self {
            Self::Function(Function::Append(granite::Durability::Sync)) => Durability::Sync,
            Self::Checkpoints(_) | Self::Flatness(_) | Self::First(_) | Self::Saves => Durability::Sync,
            _ => Durability::Buffered,
        }
    }

    /// True if what it needs is made by a process of its own, so that it weighs on nothing that is measured.
    pub(super) fn prepares_apart(self) -> bool {
        matches!(self, Self::Journal | Self::Memory(_))
    }

    pub(super) fn prepare(self, site: &Site<'_>) -> Result<()> {
        match self {
            Self::Journal => journal::prepare(site),
            Self::Memory(memory) => memory.prepare(site),
            _ => Ok(()),
        }
    }

    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        // `runs_on` lets nobody else through.
        let contender = Contender::of(site.engine).unwrap_or(Contender::Timelapse);
        match self {
            Self::Checkpoints(checkpoints) => checkpoints.run(site, contender),
            Self::Flatness(flatness) => flatness.run(site),
            Self::First(first) => first.run(site, contender),
            Self::Saves => saves::run_saves(site),
            Self::Restore => restore::run(site, contender),
            Self::Objects(objects) => objects.run(site),
            Self::Function(function) => function.run(site),
            Self::Journal => journal::run(site),
            Self::Collect => collect::run(site),
            Self::Flood => saves::run_flood(site),
            Self::Memory(memory) => memory.run(site),
            Self::History => history::run(site, contender),
            Self::Program(program) => program.run(site, contender),
            Self::Soak => soak::run(site),
        }
    }
}

/// With how many files a benchmark is registered, and operations that suffice to count; none where the size would take too long for that.
fn sized(
    name: &str,
    about: impl Fn(u64) -> String,
    ci_operations: u64,
    workload: impl Fn(u64) -> Workload,
) -> Vec<Benchmark> {
    let benchmark = |(size, files): (&str, u64)| {
        let benchmark =
            Benchmark::new(format!("timelapse/{name}/{size}"), about(files), Kind::Timelapse(workload(files)));
        if files <= CI_FILES_MAX { benchmark.in_ci(ci_operations) } else { benchmark }
    };
    SIZES.into_iter().map(benchmark).collect()
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    let mut all = sized(
        "checkpoint",
        |files| format!("a durable checkpoint of 1 to 5 changed files in a tree of {files}; Git: add -A, commit"),
        20,
        |files| Workload::Checkpoints(Checkpoints { files }),
    );
    let small = checkpoint::SMALL_FILES;
    let mut flatness = sized(
        "checkpoint-flatness",
        |files| format!("the same in trees of {small} files and of {files} by turns"),
        0,
        |files| Workload::Flatness(Flatness { files }),
    );
    // It compares times only, and a tree with one that is larger.
    flatness.retain(|benchmark| !benchmark.name.ends_with("/1k"));
    flatness.iter_mut().for_each(|benchmark| benchmark.ci_operations = None);
    all.extend(flatness);
    for benchmark in &mut all {
        benchmark.params = &["changed"];
    }
    all.extend(sized(
        "first-checkpoint",
        |files| format!("a new store and a durable checkpoint of {files} files; Git: init, add -A, commit"),
        2,
        |files| Workload::First(First { files }),
    ));
    all.extend(WORKLOADS.into_iter().map(|(name, ci_operations, about, workload)| {
        let benchmark = Benchmark::new(format!("timelapse/{name}"), about, Kind::Timelapse(workload));
        if ci_operations > 0 { benchmark.in_ci(ci_operations) } else { benchmark }
    }));
    for entries in TREE_ENTRIES {
        for (name, about, function) in [
            ("build", "built, encoded and hashed", Function::BuildTree(entries)),
            ("decode", "decoded and checked", Function::DecodeTree(entries)),
        ] {
            let workload = Kind::Timelapse(Workload::Function(function));
            let about = format!("a tree of {entries} entries: {about}");
            all.push(Benchmark::new(format!("timelapse/tree/{entries}/{name}"), about, workload).in_ci(100));
        }
    }
    for benchmark in &mut all {
        // Too long for every day, or in need of a program that is built apart.
        benchmark.by_name_only = match benchmark.kind {
            Kind::Timelapse(Workload::Program(_) | Workload::Soak) => true,
            Kind::Timelapse(Workload::Journal) => false,
            _ => benchmark.name.ends_with("/1m"),
        };
    }
    all
}

/// Entries of the trees whose functions are measured.
const TREE_ENTRIES: [u64; 4] = [1, 10, 100, 1000];
/// The largest tree of the ci profile.
const CI_FILES_MAX: u64 = 10_000;

/// Name, operations in the ci profile or 0, what it is.
const WORKLOADS: [(&str, u64, &str, Workload); 25] = [
    (
        "save-to-durable",
        0,
        "from the close of a file to its durable checkpoint; 100 saves 50 ms apart",
        Workload::Saves,
    ),
    ("restore/1k", 4, "1,000 files of 10,000 brought into another state; Git: checkout", Workload::Restore),
    ("hash/4k", 200, "the id of a blob of 4 KiB", Workload::Function(Function::Hash(4 << 10))),
    ("hash/1m", 20, "the id of a blob of 1 MiB", Workload::Function(Function::Hash(1 << 20))),
    ("blob/put", 200, "a new blob of 128 B to 16 KiB, not synced", Workload::Objects(Objects::PutBlob)),
    ("blob/get", 200, "a blob of twenty thousand", Workload::Objects(Objects::GetBlob)),
    (
        "tree-10k/put",
        10,
        "a tree of 10,000 entries: built, encoded, stored, not synced",
        Workload::Objects(Objects::PutTree),
    ),
    ("tree-10k/get", 10, "a tree of 10,000 entries: read, checked, decoded", Workload::Objects(Objects::GetTree)),
    ("record/encode", 500, "a checkpoint becomes a record", Workload::Function(Function::EncodeRecord)),
    ("record/decode", 500, "a checkpoint from its record", Workload::Function(Function::DecodeRecord)),
    (
        "journal-append/buffered",
        200,
        "a checkpoint added to the journal, not synced",
        Workload::Function(Function::Append(granite::Durability::Buffered)),
    ),
    (
        "journal-append/synced",
        100,
        "the same, and synced",
        Workload::Function(Function::Append(granite::Durability::Sync)),
    ),
    (
        "journal-lookup/1m",
        5000,
        "a checkpoint by its id in a journal of a million; others by number, time, ...",
        Workload::Journal,
    ),
    (
        "index/save",
        4,
        "a checkpoint, not synced, in which all of 1,000 files changed: their objects and their index",
        Workload::Function(Function::SaveIndex),
    ),
    (
        "index/load",
        10,
        "the index of 1,000 files read and compared with the directory, in which nothing changed",
        Workload::Function(Function::LoadIndex),
    ),
    ("collect/10k", 1, "a collection that keeps 2,000 of 10,000 checkpoints", Workload::Collect),
    ("events", 0, "a flood of 100,000 events a second for the time of a run", Workload::Flood),
    ("memory/idle-100k", 0, "memory at rest, 100,000 files watched and recorded", Workload::Memory(Memory::Idle)),
    (
        "memory/first-100k",
        0,
        "peak of memory in the first checkpoint of 100,000 files",
        Workload::Memory(Memory::First),
    ),
    ("memory/saves", 0, "peak of memory while 1,000 files are saved a second", Workload::Memory(Memory::Saves)),
    ("store-size", 0, "every commit of a history recorded (--history, else a made-up one); Git: gc", Workload::History),
    (
        "program/start-up",
        0,
        "`tl --version`, the whole process; Git: `git --version`",
        Workload::Program(Program::StartUp),
    ),
    (
        "program/status-100k",
        0,
        "`tl status`, a daemon on 100,000 files; Git: `git status`",
        Workload::Program(Program::Status),
    ),
    (
        "program/flush-10k",
        0,
        "`tl flush` of one save, a daemon on 10,000 files; Git: add -A, commit",
        Workload::Program(Program::Flush),
    ),
    (
        "program/soak",
        0,
        "a daemon under saves, flushes and collections for the time of a run: memory, descriptors and disk must come to rest",
        Workload::Soak,
    ),
];
