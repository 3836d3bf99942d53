//! Durable commits: the first client's batches, with and without keys that are present already, and the single put.

use anyhow::Result;
use rand::RngExt;

use super::{Benchmark, DataSet, Kind, MIB, SEPARATE_FROM_BYTES, Site};
use crate::data::{KeyScheme, ValueSizes};
use crate::engine::{Durability, EngineOptions, Op};
use crate::measure::{Measurement, Work, drive};

const MEMORY_BYTES: usize = 64 * MIB;
const PRESENT_KEYS: u64 = 20_000;
const SINGLE_VALUE_BYTES: usize = 100;

/// Batches of new keys, each followed by a sync.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    pub(super) batch: usize,
    pub(super) writers: usize,
    pub(super) sizes: ValueSizes,
    /// If set, keys are put only if absent, and this share of them is present.
    pub(super) present_percent: Option<u32>,
}

impl Commit {
    pub(super) fn run(&self, site: &Site<'_>) -> Result<Measurement> {
        let values = site.values();
        let sizes = match site.parameters.param.get("value_bytes") {
            Some(&bytes) => ValueSizes::Fixed(usize::try_from(bytes)?),
            None => self.sizes,
        };
        let engine = site.open(EngineOptions {
            durability: Durability::Sync,
            memory_bytes: MEMORY_BYTES,
            separate_values_from: (self.sizes == ValueSizes::Client).then_some(SEPARATE_FROM_BYTES),
            hash_keys_of: KeyScheme::Hash32.hash_width(),
        })?;
        let present = if self.present_percent.is_some() { site.scaled(PRESENT_KEYS) } else { 0 };
        if present > 0 {
            let set = DataSet { keys: KeyScheme::Hash32, count: present, sizes };
            set.load(&*engine, &values, &mut site.rng(u64::MAX))?;
            engine.settle()?;
        }
        let (engine, values) = (&*engine, &values);
        let works = (0..self.writers as u64)
            .map(|writer| -> Work<'_> {
                let mut rng = site.rng(writer);
                let mut fresh = present + writer;
                Box::new(move |recorder| {
                    let mut batch = Vec::with_capacity(self.batch);
                    let mut bytes = 0;
                    for _ in 0..self.batch {
                        let len = sizes.sample(&mut rng);
                        let value = values.value(&mut rng, len);
                        let op = match self.present_percent {
                            Some(percent) if rng.random_range(0..100) < percent => {
                                Op::PutIfAbsent(KeyScheme::Hash32.key(rng.random_range(0..present)), value)
                            }
                            chosen => {
                                let key = KeyScheme::Hash32.key(fresh);
                                fresh += self.writers as u64;
                                if chosen.is_some() { Op::PutIfAbsent(key, value) } else { Op::Put(key, value) }
                            }
                        };
                        bytes += op.user_bytes();
                        batch.push(op);
                    }
                    recorder.call(|| {
                        engine.write(&batch, Durability::Sync)?;
                        Ok((batch.len() as u64, bytes))
                    })?;
                    Ok(true)
                })
            })
            .collect();
        drive(engine, works, 1, site.warmup(), site.measured())
    }
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    let single = Commit { batch: 1, writers: 1, sizes: ValueSizes::Fixed(SINGLE_VALUE_BYTES), present_percent: None };
    let mut all = vec![
        Benchmark::new("durable-put/1", "one put of 100 B under a random key, synced; 1 writer", Kind::Commit(single))
            .taking(&["value_bytes"])
            .in_ci(200),
    ];
    for batch in [1, 16, 256] {
        for writers in [1, 4, 16] {
            let benchmark = Benchmark::new(
                format!("client/b{batch}/w{writers}"),
                format!("batches of {batch} random keys with values of 50 B to 64 KB, a sync each; {writers} writers"),
                Kind::Commit(Commit { batch, writers, sizes: ValueSizes::Client, present_percent: None }),
            );
            // With several writers the counters depend on who meets whom.
            all.push(if writers == 1 { benchmark.in_ci(ci_commits(batch)) } else { benchmark });
        }
    }
    for percent in [30, 70, 95] {
        for batch in [16, 256] {
            let benchmark = Benchmark::new(
                format!("client-present/{percent}/b{batch}"),
                format!("put-if-absent batches of {batch}, {percent} % of the keys present, a sync each; 1 writer"),
                Kind::Commit(Commit { batch, writers: 1, sizes: ValueSizes::Client, present_percent: Some(percent) }),
            );
            all.push(benchmark.in_ci(ci_commits(batch)));
        }
    }
    all
}

/// About as many keys, whatever the batch.
fn ci_commits(batch: usize) -> u64 {
    (1600 / batch as u64).clamp(6, 100)
}
