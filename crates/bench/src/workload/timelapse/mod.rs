//! Timelapse beside Git and the floor: what a save, a state and a look back cost, in working directories of different sizes.
//!
//! Each workload knows how to drive both tools. Nothing here is measured through a daemon or a program where the library
//! answers for itself; what is, stands in `program`.

mod checkpoint;
mod collect;
mod git;
mod history;
mod journal;
mod memory;
mod objects;
mod program;
mod repository;
mod restore;
mod saves;
mod text;
mod tree;
mod watching;

use anyhow::Result;

use self::checkpoint::{Checkpoints, First, Flatness};
use self::memory::Memory;
use self::objects::Objects;
use self::program::Program;
use super::{Benchmark, Kind, Site};
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
    /// The machine.
    Floor,
}

impl Contender {
    /// None for engines that keep no states of a working directory.
    fn of(engine: &EngineSpec) -> Option<Self> {
        match (Tool::of(engine), engine.role) {
            (Some(Tool::Timelapse), _) => Some(Self::Timelapse),
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
    Journal,
    Collect,
    Flood,
    Memory(Memory),
    History,
    Program(Program),
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

    pub(super) fn durability(self) -> Durability {
        match self {
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
            Self::Journal => journal::run(site),
            Self::Collect => collect::run(site),
            Self::Flood => saves::run_flood(site),
            Self::Memory(memory) => memory.run(site),
            Self::History => history::run(site, contender),
            Self::Program(program) => program.run(site, contender),
        }
    }
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    let mut all = Vec::new();
    let mut add = |name: String, about: String, workload| {
        all.push(Benchmark::new(name, about, Kind::Timelapse(workload)));
    };
    for (size, files) in SIZES {
        add(
            format!("timelapse/checkpoint/{size}"),
            format!("a durable checkpoint of 1 to 5 changed files in a tree of {files}; Git: add -A, commit"),
            Workload::Checkpoints(Checkpoints { files }),
        );
    }
    for (size, files) in SIZES.into_iter().filter(|(_, files)| *files > checkpoint::SMALL_FILES) {
        add(
            format!("timelapse/checkpoint-flatness/{size}"),
            format!("the same in trees of {} files and of {files} by turns", checkpoint::SMALL_FILES),
            Workload::Flatness(Flatness { files }),
        );
    }
    for (size, files) in SIZES {
        add(
            format!("timelapse/first-checkpoint/{size}"),
            format!("a new store and a durable checkpoint of {files} files; Git: init, add -A, commit"),
            Workload::First(First { files }),
        );
    }
    for (name, about, workload) in [
        (
            "save-to-durable",
            "from the close of a file to its durable checkpoint; 100 saves 50 ms apart",
            Workload::Saves,
        ),
        ("restore/1k", "1,000 files of 10,000 brought into another state; Git: checkout", Workload::Restore),
        ("blob/put", "a new blob of 128 B to 16 KiB, not synced", Workload::Objects(Objects::PutBlob)),
        ("blob/get", "a blob of twenty thousand", Workload::Objects(Objects::GetBlob)),
        (
            "tree-10k/put",
            "a tree of 10,000 entries: built, encoded, stored, not synced",
            Workload::Objects(Objects::PutTree),
        ),
        ("tree-10k/get", "a tree of 10,000 entries: read, checked, decoded", Workload::Objects(Objects::GetTree)),
        (
            "journal-lookup/1m",
            "a checkpoint by its id in a journal of a million; others by number, time, ...",
            Workload::Journal,
        ),
        ("collect/10k", "a collection that keeps 2,000 of 10,000 checkpoints", Workload::Collect),
        ("events", "a flood of 100,000 events a second for the time of a run", Workload::Flood),
        ("memory/idle-100k", "memory at rest, 100,000 files watched and recorded", Workload::Memory(Memory::Idle)),
        (
            "memory/first-100k",
            "peak of memory in the first checkpoint of 100,000 files",
            Workload::Memory(Memory::First),
        ),
        ("memory/saves", "peak of memory while 1,000 files are saved a second", Workload::Memory(Memory::Saves)),
        (
            "store-size",
            "every commit of a history recorded (--history, else a made-up one); Git: gc",
            Workload::History,
        ),
    ] {
        add(format!("timelapse/{name}"), about.to_owned(), workload);
    }
    let mut add_program = |name: &str, about: &str, program| {
        let workload = Kind::Timelapse(Workload::Program(program));
        all.push(Benchmark::new(format!("timelapse/program/{name}"), about.to_owned(), workload));
    };
    add_program("start-up", "`tl --version`, the whole process; Git: `git --version`", Program::StartUp);
    add_program("status-100k", "`tl status`, a daemon on 100,000 files; Git: `git status`", Program::Status);
    add_program("flush-10k", "`tl flush` of one save, a daemon on 10,000 files; Git: add -A, commit", Program::Flush);
    for benchmark in &mut all {
        // Too long for every day, or in need of a program that is built apart.
        benchmark.by_name_only = match benchmark.kind {
            Kind::Timelapse(Workload::Program(_)) => true,
            Kind::Timelapse(Workload::Journal) => false,
            _ => benchmark.name.ends_with("/1m"),
        };
    }
    all
}
