use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::*;
use crate::engine::{Direction, Metered};
use crate::engines::{floors, granite, machine};
use crate::measure::{Work, drive};

/// A map in memory: the simplest engine that answers right.
#[derive(Default)]
struct Memory {
    map: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Every how many keys one is dropped silently; 0 for an honest engine.
    loses_every: usize,
}

impl Engine for Memory {
    fn write(&self, ops: &[Op<'_>], _: Durability) -> Result<()> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for op in ops {
            match op {
                Op::Put(key, value) => drop(map.insert(key.to_vec(), value.to_vec())),
                Op::PutIfAbsent(key, value) => drop(map.entry(key.to_vec()).or_insert_with(|| value.to_vec())),
            }
            if self.loses_every > 0 && map.len().is_multiple_of(self.loses_every) {
                map.pop_first();
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let value = map.get(key);
        if let Some(value) = value {
            seen(value);
        }
        Ok(value.is_some())
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: usize,
        seen: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        let mut show = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            count += 1;
            seen(key, value);
        };
        let bound = from.map_or(Bound::Unbounded, Bound::Included);
        match direction {
            Direction::Forward => map.range::<[u8], _>((bound, Bound::Unbounded)).take(limit).for_each(&mut show),
            Direction::Reverse => map.range::<[u8], _>((Bound::Unbounded, bound)).rev().take(limit).for_each(&mut show),
        }
        Ok(count)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}

impl Metered for Memory {}

fn memory_spec(open: crate::engine::Open) -> EngineSpec {
    EngineSpec {
        name: "memory",
        version: String::new(),
        role: Role::Peer,
        notes: "a map, for tests",
        durable: true,
        allocates_in_rust: true,
        open,
    }
}

pub(super) fn small() -> Parameters {
    Parameters {
        seconds: 0.02,
        operations: None,
        scale: 0.001,
        warmup_operations: Some(3),
        warmup_ns: u64::MAX,
        memory_bytes: None,
        seed: 1,
        history: None,
        param: BTreeMap::new(),
    }
}

/// Files stay empty and nothing survives a process, so the benchmarks that need that are left out.
fn run_all(engine: &EngineSpec) -> Vec<(String, Result<Measurement>)> {
    let parameters = small();
    registry()
        .into_iter()
        .filter(|benchmark| benchmark.runs_on(engine) && !benchmark.prepares_apart())
        .filter(|benchmark| benchmark.name != "db_bench/readrandom-cold")
        .map(|benchmark| {
            let dir = tempfile::tempdir().expect("a directory");
            let site = Site { engine, dir: dir.path(), parameters: &parameters, timed: true };
            let outcome = benchmark.run(&site);
            (benchmark.name, outcome)
        })
        .collect()
}

#[test]
fn names_are_unique_and_fit_a_file_name() {
    let names: Vec<String> = registry().into_iter().map(|benchmark| benchmark.name).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c))), "{names:?}");
}

#[test]
fn every_benchmark_measures_an_engine_that_answers_right() {
    let outcomes = run_all(&memory_spec(|_, _| Ok(Box::new(Memory::default()))));
    assert!(outcomes.len() > 25, "only {} benchmarks ran", outcomes.len());
    for (name, outcome) in outcomes {
        let done = outcome.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(done.operations > 0 && done.latency.samples > 0 && done.elapsed_ns > 0, "{name}: {done:?}");
        assert!(done.user_bytes > 0 && !done.truncated, "{name}: {done:?}");
    }
}

#[test]
fn granite_answers_right_under_every_benchmark_and_counts_its_syncs() {
    for (name, outcome) in run_all(&granite()) {
        let done = outcome.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        if name == "durable-put/1" {
            let syncs = done.cost.syncs.expect("granite counts its syncs");
            assert!(syncs >= done.operations, "{syncs} syncs for {} commits of one writer", done.operations);
        }
    }
}

#[test]
fn an_engine_that_loses_keys_is_found_out_by_the_reads() {
    let outcomes = run_all(&memory_spec(|_, _| Ok(Box::new(Memory { loses_every: 7, ..Memory::default() }))));
    for name in ["db_bench/readrandom-hot", "db_bench/readseq", "db_bench/readreverse", "ycsb/c"] {
        let (_, outcome) = outcomes.iter().find(|(found, _)| found == name).expect("registered");
        assert!(outcome.is_err(), "{name} did not notice");
    }
}

#[test]
fn floors_run_the_durable_benchmarks_and_the_machine_its_own() {
    let commits = run_all(&floors()[0]);
    assert_eq!(commits.len(), 18, "ten of databases and eight of working directories");
    for (name, outcome) in commits {
        let done = outcome.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let syncs = done.cost.syncs.expect("a floor counts its syncs");
        assert!(syncs > 0 && syncs <= done.operations, "{name}: {syncs} syncs for {} commits", done.operations);
    }
    let machine = run_all(&machine());
    assert_eq!(machine.len(), 2);
    assert!(machine.iter().all(|(_, outcome)| outcome.is_ok()), "{machine:?}");
}

#[test]
fn the_share_of_the_keys_that_the_name_says_is_present() {
    static OFFERED: AtomicU64 = AtomicU64::new(0);
    static PRESENT: AtomicU64 = AtomicU64::new(0);

    /// Counts what it is offered.
    struct Counting(Memory);

    impl Metered for Counting {}

    impl Engine for Counting {
        fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()> {
            for op in ops {
                if let Op::PutIfAbsent(key, _) = op {
                    OFFERED.fetch_add(1, Relaxed);
                    PRESENT.fetch_add(u64::from(self.0.get(key, &mut |_| ())?), Relaxed);
                }
            }
            self.0.write(ops, durability)
        }

        fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
            self.0.get(key, seen)
        }

        fn scan(
            &self,
            from: Option<&[u8]>,
            direction: Direction,
            limit: usize,
            seen: &mut dyn FnMut(&[u8], &[u8]),
        ) -> Result<usize> {
            self.0.scan(from, direction, limit, seen)
        }

        fn settle(&self) -> Result<()> {
            Ok(())
        }
    }

    let engine = memory_spec(|_, _| Ok(Box::new(Counting(Memory::default()))));
    let parameters = Parameters { operations: Some(100), scale: 0.05, warmup_operations: Some(0), ..small() };
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site { engine: &engine, dir: dir.path(), parameters: &parameters, timed: true };
    let commit = commit::Commit { batch: 16, writers: 1, sizes: ValueSizes::Client, present_percent: Some(70) };
    let done = commit.run(&site).expect("runs");
    assert_eq!((done.operations, done.items, OFFERED.load(Relaxed)), (100, 1600, 1600));
    let share = PRESENT.load(Relaxed) as f64 / 1600.0;
    assert!((share - 0.7).abs() < 0.05, "{share}");
}

#[test]
fn a_limit_by_operations_is_exact_and_one_by_time_ends() {
    let engine = Memory::default();
    let work = || -> Work<'_> { Box::new(|recorder| recorder.call(|| Ok((2, 10))).map(|()| true)) };
    let nothing = Limit { operations: 0, time: Duration::ZERO };
    let exact = Limit { operations: 1000, time: Duration::MAX };
    let done = drive(&engine, vec![work(), work()], 8, nothing, exact).expect("runs");
    assert_eq!((done.operations, done.items, done.user_bytes, done.latency.samples), (2000, 4000, 20_000, 250));
    let done = drive(&engine, vec![work()], 1, nothing, Limit::time(Duration::from_millis(20))).expect("runs");
    assert!(done.elapsed_ns >= 20_000_000);
}
