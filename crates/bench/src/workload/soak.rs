//! A database under writes, reads, scans and reopenings for as long as a run lasts, while nothing that it holds may grow.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::RngExt;
use rand::rngs::StdRng;

use super::{Benchmark, Kind, MIB, SEPARATE_FROM_BYTES, Site};
use crate::data::{KeyScheme, ValuePool, ValueSizes, touch};
use crate::engine::{Direction, Durability, Engine, EngineOptions, Op};
use crate::engines::NoDatabase;
use crate::measure::{Measurement, Meter, Recorder};
use crate::resources::Watched;

const KEYS: u64 = 20_000;
const MEMORY_BYTES: usize = 16 * MIB;
const BATCH_MAX: usize = 16;
const SCAN_ENTRIES_MAX: usize = 50;
/// One operation in so many is a scan, waits for the disk, closes and opens the database.
const SCAN_OF: u32 = 50;
const SYNC_OF: u32 = 200;
const REOPEN_OF: u32 = 20_000;
const GETS_PER_BATCH: usize = 4;

/// What each key was last given.
struct Model {
    keys: u64,
    lens: Vec<Option<usize>>,
}

impl Model {
    fn check(&self, engine: &dyn Engine, rng: &mut StdRng) -> Result<u64> {
        let index = rng.random_range(0..self.keys);
        let mut seen = None;
        let found = engine.get(&KeyScheme::Hash32.key(index), &mut |value| {
            seen = Some(value.len());
            black_box(touch(value));
        })?;
        let expected = self.lens[usize::try_from(index)?];
        ensure!(
            found == expected.is_some() && seen == expected,
            "key {index} has {seen:?} bytes, and was given {expected:?}"
        );
        Ok(seen.unwrap_or(0) as u64)
    }

    fn write(&mut self, engine: &dyn Engine, values: &ValuePool, rng: &mut StdRng) -> Result<u64> {
        let durability = if rng.random_ratio(1, SYNC_OF) { Durability::Sync } else { Durability::Buffered };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for _ in 0..rng.random_range(1..=BATCH_MAX) {
            let index = rng.random_range(0..self.keys);
            let len = ValueSizes::Client.sample(rng);
            let op = Op::Put(KeyScheme::Hash32.key(index), values.value(rng, len));
            self.lens[usize::try_from(index)?] = Some(len);
            bytes += op.user_bytes();
            batch.push(op);
        }
        engine.write(&batch, durability)?;
        Ok(bytes)
    }
}

pub(super) fn run(site: &Site<'_>) -> Result<Measurement> {
    let length = Duration::from_secs_f64(site.parameters.seconds);
    let options = EngineOptions {
        durability: Durability::Sync,
        memory_bytes: MEMORY_BYTES,
        separate_values_from: Some(SEPARATE_FROM_BYTES),
        hash_keys_of: KeyScheme::Hash32.hash_width(),
    };
    let values = site.values();
    let keys = site.scaled(site.param("keys", KEYS));
    let mut model = Model { keys, lens: vec![None; usize::try_from(keys)?] };
    let mut rng = site.rng(1);
    let mut engine = site.open(options)?;
    let mut watched = Watched::over(length);
    let (mut recorder, mut reopened) = (Recorder::new(1)?, 0_u64);
    // The database is another after each reopening, so only the process can be metered.
    let meter = Meter::start(&NoDatabase)?;
    let began = Instant::now();
    while began.elapsed() < length {
        watched.look(std::process::id(), site.dir)?;
        recorder.call(|| {
            let mut bytes = model.write(&*engine, &values, &mut rng)?;
            for _ in 0..GETS_PER_BATCH {
                bytes += model.check(&*engine, &mut rng)?;
            }
            if rng.random_ratio(1, SCAN_OF) {
                let from = KeyScheme::Hash32.key(rng.random_range(0..keys));
                engine.scan(Some(&from), Direction::Forward, SCAN_ENTRIES_MAX, &mut |_, value| {
                    black_box(touch(value));
                })?;
            }
            Ok((1, bytes))
        })?;
        if rng.random_ratio(1, REOPEN_OF) {
            drop(engine);
            engine = site.open(options)?;
            reopened += 1;
        }
    }
    let mut done = meter.stop(&recorder)?;
    (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
    for _ in 0..keys.min(1000) {
        model.check(&*engine, &mut rng)?;
    }
    done.extra = watched.ensure_at_rest()?;
    done.extra.insert("reopened".to_owned(), reopened as f64);
    Ok(done)
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    let soak = Benchmark::new(
        "soak/granite",
        "writes, reads, scans, reopenings for the time of a run: memory, descriptors and disk must come to rest",
        Kind::Soak,
    );
    vec![Benchmark { by_name_only: true, ..soak.taking(&["keys"]) }]
}
