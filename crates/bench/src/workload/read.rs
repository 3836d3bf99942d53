//! db_bench's reads over a loaded and settled database of a million 16 B keys and 100 B values.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::RngExt;

use super::{Benchmark, DataSet, Kind, MIB, Site};
use crate::data::{KeyScheme, ValuePool, ValueSizes, touch};
use crate::engine::{Direction, Durability, Engine, EngineOptions, Op};
use crate::measure::{Limit, Measurement, Meter, Recorder, Work, drive};
use crate::process;

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: u64 = 100;
const HOT_MEMORY_BYTES: usize = 256 * MIB;
const COLD_MEMORY_BYTES: usize = 8 * MIB;
/// Few enough that most of them are the first to touch their block.
const COLD_READS: u64 = 2000;
const SAMPLE_EVERY: u64 = 8;
const SEEK_ENTRIES: usize = 10;
const SCAN_SAMPLE_ENTRIES: u64 = 256;
const BACKGROUND_PUTS_PER_SECOND: u64 = 10_000;

/// What is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    RandomHot,
    RandomCold,
    Missing,
    Seek,
    Scan(Direction),
    WhileWriting,
}

impl Read {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let value_bytes = usize::try_from(site.param("value_bytes", VALUE_BYTES))?;
        let count = site.scaled(site.param("keys", KEYS));
        let set = DataSet { keys: KeyScheme::Decimal16, count, sizes: ValueSizes::Fixed(value_bytes) };
        let values = site.values();
        let memory_bytes = if matches!(self, Self::RandomCold) { COLD_MEMORY_BYTES } else { HOT_MEMORY_BYTES };
        let options = EngineOptions {
            durability: Durability::Buffered,
            memory_bytes,
            separate_values_from: None,
            hash_keys_of: None,
        };
        let engine = site.open(options)?;
        set.load(&*engine, &values, &mut site.rng(1))?;
        engine.settle()?;
        if matches!(self, Self::RandomCold) {
            drop(engine);
            process::drop_page_cache(site.dir)?;
            let limit = Limit { operations: site.parameters.operations.unwrap_or(COLD_READS), time: Duration::MAX };
            let nothing = Limit { operations: 0, time: Duration::ZERO };
            let engine = site.open(options)?;
            return drive(&*engine, vec![random_gets(&*engine, set, site, 2)], 1, nothing, limit);
        }
        let seen = engine.scan(None, Direction::Forward, usize::MAX, &mut |_, value| {
            black_box(touch(value));
        })?;
        ensure!(seen as u64 == set.count, "a scan showed {seen} of {} keys", set.count);
        match self {
            Self::Scan(direction) => scan_all(&*engine, set, direction),
            Self::WhileWriting => while_writing(&*engine, set, site, &values),
            Self::Missing => {
                let work = missing_gets(&*engine, set, site);
                drive(&*engine, vec![work], SAMPLE_EVERY, site.warmup(), site.measured())
            }
            Self::Seek => {
                let work = seeks(&*engine, set, site);
                drive(&*engine, vec![work], SAMPLE_EVERY, site.warmup(), site.measured())
            }
            Self::RandomHot | Self::RandomCold => {
                let work = random_gets(&*engine, set, site, 2);
                drive(&*engine, vec![work], SAMPLE_EVERY, site.warmup(), site.measured())
            }
        }
    }
}

/// Gets of random keys that are all present; one that is not found is an error.
pub(super) fn random_gets<'a>(engine: &'a dyn Engine, set: DataSet, site: &Site<'_>, stream: u64) -> Work<'a> {
    let mut rng = site.rng(stream);
    Box::new(move |recorder| {
        let key = set.keys.key(rng.random_range(0..set.count));
        recorder.call(|| {
            let mut bytes = key.len() as u64;
            let found = engine.get(&key, &mut |value| {
                bytes += value.len() as u64;
                black_box(touch(value));
            })?;
            ensure!(found, "a key that was written is missing");
            Ok((1, bytes))
        })?;
        Ok(true)
    })
}

fn missing_gets<'a>(engine: &'a dyn Engine, set: DataSet, site: &Site<'_>) -> Work<'a> {
    let mut rng = site.rng(2);
    Box::new(move |recorder| {
        let key = set.keys.missing_key(rng.random_range(0..set.count));
        recorder.call(|| {
            let found = engine.get(&key, &mut |_| ())?;
            ensure!(!found, "a key that was never written is found");
            Ok((1, key.len() as u64))
        })?;
        Ok(true)
    })
}

fn seeks<'a>(engine: &'a dyn Engine, set: DataSet, site: &Site<'_>) -> Work<'a> {
    let mut rng = site.rng(2);
    Box::new(move |recorder| {
        let last = set.count.saturating_sub(SEEK_ENTRIES as u64);
        let key = set.keys.key(rng.random_range(0..=last));
        recorder.call(|| {
            let mut bytes = 0;
            let seen = engine.scan(Some(&key), Direction::Forward, SEEK_ENTRIES, &mut |key, value| {
                bytes += (key.len() + value.len()) as u64;
                black_box(touch(value));
            })?;
            ensure!(seen == SEEK_ENTRIES.min(set.count as usize), "a seek showed {seen} entries");
            Ok((seen as u64, bytes))
        })?;
        Ok(true)
    })
}

fn scan_all(engine: &dyn Engine, set: DataSet, direction: Direction) -> Result<Measurement> {
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(engine)?;
    let (mut run, mut bytes, mut noted) = (0, 0, Ok(()));
    let mut start = Instant::now();
    let seen = engine.scan(None, direction, usize::MAX, &mut |key, value| {
        black_box(touch(value));
        run += 1;
        bytes += (key.len() + value.len()) as u64;
        if run == SCAN_SAMPLE_ENTRIES && noted.is_ok() {
            let now = Instant::now();
            noted = recorder.note_run(run, bytes, now - start);
            (run, bytes, start) = (0, 0, now);
        }
    })?;
    noted?;
    if run > 0 {
        recorder.note_run(run, bytes, start.elapsed())?;
    }
    ensure!(seen as u64 == set.count, "a scan showed {seen} of {} keys", set.count);
    meter.stop(&recorder)
}

/// One reader beside one writer of a fixed rate, so that a fast writer does not count against its own reader.
fn while_writing(engine: &dyn Engine, set: DataSet, site: &Site<'_>, values: &ValuePool) -> Result<Measurement> {
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    let mut rng = site.rng(3);
    thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<Duration> {
            let start = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let len = set.sizes.sample(&mut rng);
                let op = Op::Put(set.keys.key(rng.random_range(0..set.count)), values.value(&mut rng, len));
                engine.write(&[op], Durability::Buffered)?;
                let done = written.fetch_add(1, Ordering::Relaxed) + 1;
                let due = Duration::from_nanos(done * (1_000_000_000 / BACKGROUND_PUTS_PER_SECOND));
                if let Some(early) = due.checked_sub(start.elapsed())
                    && early > Duration::from_millis(1)
                {
                    thread::sleep(early);
                }
            }
            Ok(start.elapsed())
        });
        let done = drive(engine, vec![random_gets(engine, set, site, 2)], SAMPLE_EVERY, site.warmup(), site.measured());
        stop.store(true, Ordering::Relaxed);
        let elapsed = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        let mut done = done?;
        let puts_per_second = written.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
        done.extra.insert("background_puts_per_s".to_owned(), puts_per_second);
        Ok(done)
    })
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    [
        ("readrandom-hot", "random gets, everything in memory", Read::RandomHot),
        ("readrandom-cold", "random gets after the caches were dropped, 8 MiB of memory", Read::RandomCold),
        ("readmissing", "gets of keys that were never written", Read::Missing),
        ("seekrandom", "a seek and 10 entries, on a fresh iterator", Read::Seek),
        ("readseq", "one scan of everything; an operation is an entry", Read::Scan(Direction::Forward)),
        ("readreverse", "the same, backwards", Read::Scan(Direction::Reverse)),
        ("readwhilewriting", "random gets beside 10,000 puts a second", Read::WhileWriting),
    ]
    .into_iter()
    .map(|(name, about, read)| {
        let benchmark =
            Benchmark::new(format!("db_bench/{name}"), about, Kind::Read(read)).taking(&["keys", "value_bytes"]);
        // What a reader allocates beside a writer, or as a cache fills, is not the same each time.
        if matches!(read, Read::WhileWriting | Read::RandomCold) { benchmark } else { benchmark.in_ci(2000) }
    })
    .collect()
}
