//! Resident memory of an idle process that holds a database of a million keys open with the smallest budget.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::RngExt;

use super::{Benchmark, DataSet, Kind, MIB, Site};
use crate::data::{KeyScheme, ValueSizes};
use crate::engine::{Durability, EngineOptions, Op};
use crate::measure::{Measurement, Meter, Recorder};
use crate::process::{self, ResidentMemory};

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: usize = 100;
const LOAD_MEMORY_BYTES: usize = 64 * MIB;
/// Engines that need more take their least.
const IDLE_MEMORY_BYTES: usize = MIB;
const GETS: u64 = 1000;
/// Background threads of an engine get this long to come to rest.
const REST: Duration = Duration::from_millis(500);

fn set(site: &Site<'_>) -> DataSet {
    DataSet { keys: KeyScheme::Decimal16, count: site.scaled(KEYS), sizes: ValueSizes::Fixed(VALUE_BYTES) }
}

fn options(memory_bytes: usize, durability: Durability) -> EngineOptions {
    EngineOptions { durability, memory_bytes, separate_values_from: None, hash_keys_of: None }
}

pub(super) fn prepare(site: &Site<'_>) -> Result<()> {
    let engine = site.open(options(LOAD_MEMORY_BYTES, Durability::Buffered))?;
    set(site).load(&*engine, &site.values(), &mut site.rng(1))?;
    engine.settle()
}

pub(super) fn run(site: &Site<'_>) -> Result<Measurement> {
    let set = set(site);
    let program = ResidentMemory::now()?;
    let engine = site.open(options(IDLE_MEMORY_BYTES, Durability::Sync))?;
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&*engine)?;
    let mut rng = site.rng(2);
    for _ in 0..GETS {
        let key = set.keys.key(rng.random_range(0..set.count));
        recorder.call(|| {
            ensure!(engine.get(&key, &mut |_| ())?, "a key that was written is missing");
            Ok((1, (key.len() + VALUE_BYTES) as u64))
        })?;
    }
    let mut done = meter.stop(&recorder)?;
    engine.write(&[Op::Put(set.keys.key(0), &[1; VALUE_BYTES])], Durability::Sync)?;
    engine.trim()?;
    process::release_free_memory();
    thread::sleep(REST);
    done.extra = ResidentMemory::now()?.figures_at_rest(&program);
    Ok(done)
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    vec![Benchmark::new(
        "idle/1m",
        "resident memory with a million keys and the smallest budget, after 1000 gets, a synced put and a trim",
        Kind::Idle,
    )]
}
