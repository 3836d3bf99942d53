//! YCSB's core workloads A to F: 200,000 records of 1 KB, two clients, without a sync.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use rand::RngExt;

use super::{Benchmark, DataSet, Kind, MIB, Site};
use crate::data::{KeyScheme, Popularity, ValueSizes, touch};
use crate::engine::{Direction, Durability, EngineOptions, Op};
use crate::measure::{Measurement, Work, drive};

const RECORDS: u64 = 200_000;
const VALUE_BYTES: u64 = 1000;
const MEMORY_BYTES: usize = 128 * MIB;
const CLIENTS: u64 = 2;
const SCAN_ENTRIES_MAX: usize = 100;

/// Shares of the operations in percent; the rest are reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mix {
    update: u32,
    insert: u32,
    scan: u32,
    read_modify_write: u32,
    latest: bool,
}

impl Mix {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let values = site.values();
        let value_bytes = usize::try_from(site.param("value_bytes", VALUE_BYTES))?;
        let count = site.scaled(site.param("records", RECORDS));
        let clients = site.param("clients", CLIENTS);
        let set = DataSet { keys: KeyScheme::Ycsb, count, sizes: ValueSizes::Fixed(value_bytes) };
        let engine = site.open(EngineOptions {
            durability: Durability::Buffered,
            memory_bytes: MEMORY_BYTES,
            separate_values_from: None,
            hash_keys_of: None,
        })?;
        set.load(&*engine, &values, &mut site.rng(u64::MAX))?;
        engine.settle()?;
        let popularity = Popularity::new(set.count)?;
        let inserted = AtomicU64::new(set.count);
        // Inserts become readable in order of their completion only per client: readers of the latest stay behind this.
        let (engine, values, inserted) = (&*engine, &values, &inserted);
        let works = (0..clients)
            .map(|client| -> Work<'_> {
                let mut rng = site.rng(client);
                Box::new(move |recorder| {
                    let choice = rng.random_range(0..100);
                    let value = values.value(&mut rng, value_bytes);
                    let index = if self.latest {
                        popularity.latest(&mut rng, inserted.load(Ordering::Relaxed).saturating_sub(clients))
                    } else {
                        popularity.scrambled(&mut rng)
                    };
                    let key = set.keys.key(index);
                    let entries = rng.random_range(1..=SCAN_ENTRIES_MAX);
                    let get = || {
                        let mut bytes = key.len() as u64;
                        let found = engine.get(&key, &mut |value| {
                            bytes += value.len() as u64;
                            black_box(touch(value));
                        })?;
                        ensure!(found || self.latest, "a record that was written is missing");
                        Ok((1, bytes))
                    };
                    let put = |key| {
                        let op = Op::Put(key, value);
                        engine.write(&[op], Durability::Buffered)?;
                        Ok((1, op.user_bytes()))
                    };
                    recorder.call(|| {
                        let mut share = self.update;
                        if choice < share {
                            return put(key);
                        }
                        share += self.insert;
                        if choice < share {
                            return put(set.keys.key(inserted.fetch_add(1, Ordering::Relaxed)));
                        }
                        share += self.scan;
                        if choice < share {
                            let mut bytes = 0;
                            let seen = engine.scan(Some(&key), Direction::Forward, entries, &mut |key, value| {
                                bytes += (key.len() + value.len()) as u64;
                                black_box(touch(value));
                            })?;
                            return Ok((seen as u64, bytes));
                        }
                        share += self.read_modify_write;
                        let read = get()?;
                        if choice < share {
                            let written = put(key)?;
                            return Ok((1, read.1 + written.1));
                        }
                        Ok(read)
                    })?;
                    Ok(true)
                })
            })
            .collect();
        drive(engine, works, 4, site.warmup(), site.measured())
    }
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    let none = Mix { update: 0, insert: 0, scan: 0, read_modify_write: 0, latest: false };
    [
        ("a", "half reads, half updates", Mix { update: 50, ..none }),
        ("b", "95 % reads, 5 % updates", Mix { update: 5, ..none }),
        ("c", "reads alone", none),
        ("d", "95 % reads of the latest, 5 % inserts", Mix { insert: 5, latest: true, ..none }),
        ("e", "95 % scans of up to 100 records, 5 % inserts", Mix { insert: 5, scan: 95, ..none }),
        ("f", "half reads, half read-modify-writes", Mix { read_modify_write: 50, ..none }),
    ]
    .into_iter()
    .map(|(name, about, mix)| Benchmark::new(format!("ycsb/{name}"), about, Kind::Ycsb(mix)))
    .map(|benchmark| benchmark.taking(&["records", "value_bytes", "clients"]))
    .collect()
}
