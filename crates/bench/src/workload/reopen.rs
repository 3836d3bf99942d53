//! Reopening after a kill, with a log full of writes that no table holds yet, beside a cold read of the same bytes.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rustix::fs::SeekFrom;
use rustix::process::{Signal, getpid, kill_process};

use super::{Benchmark, Kind, MIB, SEPARATE_FROM_BYTES, Site};
use crate::data::{KeyScheme, ValueSizes};
use crate::engine::{Durability, EngineOptions, Op};
use crate::engines::NoDatabase;
use crate::measure::{Measurement, Meter, Recorder};
use crate::process;

/// Memory large enough that the engines under test keep all of [`LOG_BYTES`] in memtables.
const MEMORY_BYTES: usize = 512 * MIB;
const LOG_BYTES: f64 = 64.0 * MIB as f64;
const BATCH: u64 = 16;
const CHECKED_KEYS: u64 = 200;

/// What the log is full of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reopen {
    sizes: ValueSizes,
}

impl Reopen {
    const KEYS: KeyScheme = KeyScheme::Hash32;

    fn options(self) -> EngineOptions {
        EngineOptions {
            durability: Durability::Sync,
            memory_bytes: MEMORY_BYTES,
            separate_values_from: (self.sizes == ValueSizes::Client).then_some(SEPARATE_FROM_BYTES),
            hash_keys_of: Self::KEYS.hash_width(),
        }
    }

    fn count(self, site: &Site<'_>) -> u64 {
        let bytes = LOG_BYTES * site.parameters.scale.min(1.0);
        let count = (bytes / (32.0 + self.sizes.mean())) as u64;
        count.next_multiple_of(BATCH)
    }

    /// Fills the log and kills this process.
    pub(super) fn prepare(self, site: &Site<'_>) -> Result<()> {
        let values = site.values();
        let engine = site.open(self.options())?;
        let count = self.count(site);
        let mut rng = site.rng(1);
        for first in (0..count).step_by(BATCH as usize) {
            let batch: Vec<Op<'_>> = (first..first + BATCH)
                .map(|index| {
                    let len = self.sizes.sample(&mut rng);
                    Op::Put(Self::KEYS.key(index), values.value(&mut rng, len))
                })
                .collect();
            let last = first + BATCH >= count;
            engine.write(&batch, if last { Durability::Sync } else { Durability::Buffered })?;
        }
        kill_process(getpid(), Signal::KILL).context("cannot kill this process")?;
        bail!("still alive after a kill");
    }

    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        process::drop_page_cache(site.dir)?;
        let start = Instant::now();
        let bytes = read_all(site)?;
        let cold_read = start.elapsed();
        process::drop_page_cache(site.dir)?;

        let count = self.count(site);
        let mut recorder = Recorder::new(1)?;
        let mut opened = None;
        let meter = Meter::start(&NoDatabase)?;
        let mut open_time = Duration::ZERO;
        recorder.call(|| {
            let start = Instant::now();
            let engine = site.open(self.options())?;
            ensure!(engine.get(&Self::KEYS.key(count - 1), &mut |_| ())?, "the last key that was synced is lost");
            open_time = start.elapsed();
            opened = Some(engine);
            Ok((1, bytes))
        })?;
        let mut done = meter.stop(&recorder)?;

        let engine = opened.context("the database did not open")?;
        let mut rng = site.rng(2);
        for _ in 0..CHECKED_KEYS {
            let key = Self::KEYS.key(rng.random_range(0..count));
            ensure!(engine.get(&key, &mut |_| ())?, "a key that was synced is lost");
        }
        done.extra.insert("open_ms".to_owned(), open_time.as_secs_f64() * 1e3);
        done.extra.insert("cold_read_ms".to_owned(), cold_read.as_secs_f64() * 1e3);
        done.extra.insert("open_to_cold_read_ratio".to_owned(), open_time.as_secs_f64() / cold_read.as_secs_f64());
        done.extra.insert("written_bytes".to_owned(), bytes as f64);
        Ok(done)
    }
}

/// Reads what was written to the files of the database; space that is only reserved is no part of a log.
fn read_all(site: &Site<'_>) -> Result<u64> {
    let mut buffer = vec![0; MIB];
    let mut total = 0;
    for path in process::files_under(site.dir)? {
        let mut file = File::open(&path)?;
        let mut end = 0;
        // An error means that no data follows.
        while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(end)) {
            end = rustix::fs::seek(&file, SeekFrom::Hole(start))?;
            file.seek(io::SeekFrom::Start(start))?;
            let mut extent = (&mut file).take(end - start);
            loop {
                let count = extent.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                total += count as u64;
            }
        }
    }
    Ok(total)
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    vec![
        Benchmark::new(
            "reopen/small",
            "open and one get after a kill with 64 MB of 32 B/100 B keys in the log, caches dropped",
            Kind::Reopen(Reopen { sizes: ValueSizes::Fixed(100) }),
        ),
        Benchmark::new(
            "reopen/client",
            "the same with the client's keys and values",
            Kind::Reopen(Reopen { sizes: ValueSizes::Client }),
        ),
    ]
}
