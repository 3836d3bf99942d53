//! db_bench's fills: single puts of 16 B keys and 100 B values, without a sync.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;

use super::{Benchmark, DataSet, Kind, MIB, Site};
use crate::data::{KeyScheme, ValueSizes};
use crate::engine::{Durability, EngineOptions, Op};
use crate::measure::{Limit, Measurement, Work, drive};

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: u64 = 100;
const MEMORY_BYTES: usize = 64 * MIB;

/// A fill is a number of puts, not a time: engines of different speed must do the same work. This bounds the wait.
const TIME_FACTOR_MAX: f64 = 15.0;

/// Which keys a fill writes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fill {
    Sequential,
    Random,
    Overwrite,
}

impl Fill {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let values = site.values();
        let count = site.scaled(site.param("keys", KEYS));
        let value_bytes = usize::try_from(site.param("value_bytes", VALUE_BYTES))?;
        let engine = site.open(EngineOptions {
            durability: Durability::Buffered,
            memory_bytes: MEMORY_BYTES,
            separate_values_from: None,
            hash_keys_of: None,
        })?;
        let mut rng = site.rng(1);
        if matches!(self, Self::Overwrite) {
            let set = DataSet { keys: KeyScheme::Decimal16, count, sizes: ValueSizes::Fixed(value_bytes) };
            set.load(&*engine, &values, &mut rng)?;
        }
        let engine = &*engine;
        let values = &values;
        let mut next = 0;
        let work: Work<'_> = Box::new(move |recorder| {
            let index = if matches!(self, Self::Sequential) { next } else { rng.random_range(0..count) };
            next += 1;
            let op = Op::Put(KeyScheme::Decimal16.key(index), values.value(&mut rng, value_bytes));
            recorder.call(|| {
                engine.write(&[op], Durability::Buffered)?;
                Ok((1, op.user_bytes()))
            })?;
            Ok(true)
        });
        let no_warmup = Limit { operations: 0, time: Duration::ZERO };
        let operations = site.parameters.operations.unwrap_or(count);
        let time = Duration::from_secs_f64(site.parameters.seconds * TIME_FACTOR_MAX);
        let mut done = drive(engine, vec![work], 8, no_warmup, Limit { operations, time })?;
        done.truncated = done.operations < operations;
        Ok(done)
    }
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    [
        ("fillseq", "a million puts in key order, buffered", Fill::Sequential),
        ("fillrandom", "a million puts of random keys, buffered", Fill::Random),
        ("overwrite", "a million puts over a loaded database, buffered", Fill::Overwrite),
    ]
    .into_iter()
    .map(|(name, about, fill)| Benchmark::new(format!("db_bench/{name}"), about, Kind::Fill(fill)))
    .map(|benchmark| benchmark.taking(&["keys", "value_bytes"]).in_ci(2000))
    .collect()
}
