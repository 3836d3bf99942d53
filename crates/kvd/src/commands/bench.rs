//! `bench`

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use granite::{Db, Durability, Keyspace, KeyspaceOptions, WriteBatch};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::Serialize;

use crate::commands::diag::write_amplification;
use crate::failure::Failure;
use crate::session::Session;

/// The keyspace that is made for the benchmark and dropped after it.
const KEYSPACE: &str = "kvd-bench";
/// Seed of keys and values, so that runs are alike.
const SEED: u64 = 0x6772_616e_6974_6521;
/// Longest time for the durable puts.
const DURABLE_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest duration that is told apart, in nanoseconds: a minute.
const DURATION_MAX_NS: u64 = 60_000_000_000;

/// Take a quick look at the speed of this machine: random writes, random reads, durable writes.
#[derive(Debug, Args)]
#[command(after_help = "\
One thread, one run, whatever else the machine does: for figures to rely on, use the crate `bench` of the repository. The
keyspace kvd-bench is created for it and dropped afterwards.")]
pub struct Bench {
    /// Number of keys to write and to read.
    #[arg(long, default_value_t = 100_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    count: u32,
    /// Bytes of each value.
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=16_777_216))]
    value_len: u32,
    /// Number of durable writes, each with a sync of its own; they end after 5 seconds at the latest.
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    durable: u32,
}

#[derive(Debug, Serialize)]
struct Report {
    count: u32,
    value_bytes: u32,
    workloads: Vec<Measured>,
    /// Bytes written to disk for each byte of log.
    write_amplification: Option<f64>,
    /// Where figures to rely on come from.
    note: &'static str,
}

#[derive(Debug, Serialize)]
struct Measured {
    workload: &'static str,
    operations: u64,
    seconds: f64,
    operations_per_second: f64,
    p50_ns: u64,
    p95_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

impl Bench {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let db = session.open_or_create()?;
        if db.keyspace_names().iter().any(|name| name == KEYSPACE) {
            return Err(Failure::input(
                format!("the keyspace {KEYSPACE:?} is there already"),
                "another directory as --db, or a run that was cut off: remove that directory if nothing else is in it",
            ));
        }
        let keyspace = db.keyspace(KEYSPACE, KeyspaceOptions::new())?;
        let measured = self.measure(&db, &keyspace);
        let write_amplification = write_amplification(&db.stats());
        db.drop_keyspace(KEYSPACE)?;
        db.close()?;
        let report = Report {
            count: self.count,
            value_bytes: self.value_len,
            workloads: measured?,
            write_amplification,
            note: "a quick look; the crate `bench` measures properly",
        };
        if session.settings.json { session.out.json(&report) } else { report.print(session) }
    }

    fn measure(&self, db: &Db, keyspace: &Keyspace) -> Result<Vec<Measured>> {
        let mut rng = StdRng::seed_from_u64(SEED);
        let mut value = vec![0; self.value_len as usize];
        let mut write = |durability: Durability| -> Result<()> {
            rng.fill_bytes(&mut value);
            let mut batch = WriteBatch::new();
            batch.put(keyspace, &key(rng.random_range(0..self.count)), &value);
            db.write(batch, durability)?;
            Ok(())
        };
        let fill = timed("fillrandom", self.count, Duration::MAX, || write(Durability::Buffered))?;
        db.sync()?;
        let durable = timed("durable put", self.durable, DURABLE_TIME_MAX, || write(Durability::Sync))?;
        db.wait_for_background()?;
        let mut rng = StdRng::seed_from_u64(SEED + 1);
        let read = timed("readrandom", self.count, Duration::MAX, || {
            std::hint::black_box(keyspace.get(&key(rng.random_range(0..self.count)))?);
            Ok(())
        })?;
        Ok(vec![fill, read, durable])
    }
}

/// 16 digits.
fn key(number: u32) -> Vec<u8> {
    format!("{number:016}").into_bytes()
}

fn timed(
    workload: &'static str,
    count: u32,
    time_max: Duration,
    mut operation: impl FnMut() -> Result<()>,
) -> Result<Measured> {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, DURATION_MAX_NS, 3).context("make a histogram")?;
    let start = Instant::now();
    let mut before = start;
    for _ in 0..count {
        operation()?;
        let now = Instant::now();
        histogram.saturating_record(u64::try_from((now - before).as_nanos()).unwrap_or(u64::MAX));
        before = now;
        if now - start > time_max {
            break;
        }
    }
    let seconds = (before - start).as_secs_f64();
    Ok(Measured {
        workload,
        operations: histogram.len(),
        seconds,
        operations_per_second: if seconds > 0.0 { histogram.len() as f64 / seconds } else { 0.0 },
        p50_ns: histogram.value_at_quantile(0.5),
        p95_ns: histogram.value_at_quantile(0.95),
        p99_ns: histogram.value_at_quantile(0.99),
        max_ns: histogram.max(),
    })
}

impl Report {
    fn print(&self, session: &mut Session) -> Result<()> {
        let out = &mut session.out;
        out.line(format_args!("{} keys of 16 bytes, values of {} bytes, one thread", self.count, self.value_bytes))?;
        out.line(format_args!(
            "{:<12} {:>10} {:>12} {:>10} {:>10} {:>10} {:>10}",
            "workload", "operations", "per second", "p50 us", "p95 us", "p99 us", "max us"
        ))?;
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        for one in &self.workloads {
            out.line(format_args!(
                "{:<12} {:>10} {:>12.0} {:>10.1} {:>10.1} {:>10.1} {:>10.1}",
                one.workload,
                one.operations,
                one.operations_per_second,
                micros(one.p50_ns),
                micros(one.p95_ns),
                micros(one.p99_ns),
                micros(one.max_ns)
            ))?;
        }
        if let Some(factor) = self.write_amplification {
            out.line(format_args!("written to disk for each byte of log: {factor:.2}"))?;
        }
        out.line(format_args!("This is {}.", self.note))
    }
}
