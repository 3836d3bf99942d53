//! What a fill leaves behind: bytes written per byte of the user, space, the time of a full compaction, reads before and after it.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::RngExt;

use super::read::random_gets;
use super::{Benchmark, DataSet, Kind, MIB, SEPARATE_FROM_BYTES, Site};
use crate::data::{KeyScheme, Shuffled, ValueSizes};
use crate::engine::{Durability, EngineOptions, Op};
use crate::measure::{Limit, Measurement, Work, drive};
use crate::process::{self, ProcessIo};

const BATCH: usize = 100;
const TIME_FACTOR_MAX: f64 = 30.0;

/// A load of every key in random order, followed by as many overwrites.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settle {
    keys: KeyScheme,
    count: u64,
    sizes: ValueSizes,
    memory_bytes: usize,
}

impl Settle {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let values = site.values();
        let set = DataSet { keys: self.keys, count: site.scaled(self.count), sizes: self.sizes };
        let engine = site.open(EngineOptions {
            durability: Durability::Buffered,
            memory_bytes: self.memory_bytes,
            separate_values_from: (self.sizes == ValueSizes::Client).then_some(SEPARATE_FROM_BYTES),
            hash_keys_of: self.keys.hash_width(),
        })?;
        let engine = &*engine;
        let io = ProcessIo::now();
        let written = || Some(ProcessIo::now()?.since(io?).written_bytes as f64);

        let order = Shuffled::new(set.count);
        let mut rng = site.rng(1);
        // The length of each key's newest value follows from the key, so that the live bytes are known.
        let mut lengths = vec![0_u32; usize::try_from(set.count)?];
        let mut position = 0;
        let batches = (2 * set.count).div_ceil(BATCH as u64);
        let (lengths_ref, values_ref) = (&mut lengths, &values);
        let work: Work<'_> = Box::new(move |recorder| {
            let mut batch = Vec::with_capacity(BATCH);
            let mut bytes = 0;
            for _ in 0..BATCH {
                let index = if position < set.count { order.at(position) } else { rng.random_range(0..set.count) };
                position += 1;
                let len = set.sizes.sample(&mut rng);
                let key = set.keys.key(index);
                lengths_ref[index as usize] = (key.len() + len) as u32;
                let op = Op::Put(key, values_ref.value(&mut rng, len));
                bytes += op.user_bytes();
                batch.push(op);
            }
            recorder.call(|| {
                engine.write(&batch, Durability::Buffered)?;
                Ok((batch.len() as u64, bytes))
            })?;
            Ok(true)
        });
        let nothing = Limit { operations: 0, time: Duration::ZERO };
        let time = Duration::from_secs_f64(site.parameters.seconds * TIME_FACTOR_MAX);
        let mut done = drive(engine, vec![work], 1, nothing, Limit { operations: batches, time })?;
        done.truncated = done.operations < batches;
        let written_by_fill = written();

        let mut extra = Vec::new();
        let live_bytes = lengths.iter().map(|&len| u64::from(len)).sum::<u64>() as f64;
        let user_bytes = done.user_bytes as f64;
        let reads = |stream| {
            let work = random_gets(engine, set, site, stream);
            let read_time = Limit::time(Duration::from_secs_f64(site.parameters.seconds / 2.0));
            drive(engine, vec![work], 8, site.warmup(), read_time)
        };
        if !done.truncated {
            let before = reads(2)?;
            extra.push(("get_before_p50_ns", before.latency.p50_ns as f64));
            extra.push(("get_before_p99_ns", before.latency.p99_ns as f64));
        }
        let start = Instant::now();
        engine.settle()?;
        extra.push(("compaction_s", start.elapsed().as_secs_f64()));
        extra.extend(written_by_fill.map(|bytes| ("write_amplification_fill", bytes / user_bytes)));
        extra.extend(written().map(|bytes| ("write_amplification", bytes / user_bytes)));
        extra.push(("space_amplification", process::space_under(site.dir)? as f64 / live_bytes));
        if !done.truncated {
            let after = reads(3)?;
            extra.push(("get_after_p50_ns", after.latency.p50_ns as f64));
            extra.push(("get_after_p99_ns", after.latency.p99_ns as f64));
        }
        done.extra = extra.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(done)
    }
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    vec![
        Benchmark::new(
            "settle/small",
            "a million 16 B/100 B keys and as many overwrites in batches of 100: amplification, compaction, reads around it",
            Kind::Settle(Settle {
                keys: KeyScheme::Decimal16,
                count: 1_000_000,
                sizes: ValueSizes::Fixed(100),
                memory_bytes: 32 * MIB,
            }),
        ),
        Benchmark::new(
            "settle/client",
            "the same with 20,000 of the client's keys and values",
            Kind::Settle(Settle {
                keys: KeyScheme::Hash32,
                count: 20_000,
                sizes: ValueSizes::Client,
                memory_bytes: 64 * MIB,
            }),
        ),
    ]
}
