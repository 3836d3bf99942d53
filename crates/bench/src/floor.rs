//! What the machine can do without any store, measured at the start of every run: the scale that its results are also given in.
//!
//! It takes about a second. The floors that run beside the engines ([`crate::engines::floors`]) write the same bytes as those, in the same
//! rounds; this one is the same in every run, so that runs of different machines and days can be told apart by it.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::ValuePool;
use crate::engine::Durability;
use crate::measure::{Measurement, nanoseconds};
use crate::stats::median;

const APPEND_BYTES: usize = 4096;
const APPENDS_MAX: u32 = 300;
/// A slow disk gets this long, and at least one append.
const APPEND_TIME_MAX: Duration = Duration::from_millis(600);
const WRITE_BLOCK_BYTES: usize = 1 << 20;
const WRITE_BLOCKS: usize = 64;
/// Larger than the caches of a processor.
const COPY_BYTES: usize = 64 << 20;
const COPIES: usize = 5;
const SIGNIFICANT_DIGITS: u8 = 3;

/// The machine's own figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineFloor {
    /// Median of an append of 4 KiB and `fdatasync`.
    pub append_sync_p50_ns: u64,
    /// Its 99th percentile.
    pub append_sync_p99_ns: u64,
    /// Writes of 1 MiB to a growing file, 64 of them and a sync.
    pub sequential_write_bytes_per_s: f64,
    /// Median of copies of 64 MiB in memory.
    pub memcpy_bytes_per_s: f64,
}

impl MachineFloor {
    /// Measures the disk that holds `dir`, and memory.
    ///
    /// # Errors
    /// If files in `dir` cannot be written.
    pub fn measure(dir: &Path) -> Result<Self> {
        let path = dir.join(format!("floor-{}", std::process::id()));
        let measured =
            Self::measure_with(&path).with_context(|| format!("cannot measure the disk of {}", dir.display()));
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        measured
    }

    fn measure_with(path: &Path) -> Result<Self> {
        let appends = append_and_sync(path)?;
        Ok(Self {
            append_sync_p50_ns: appends.value_at_quantile(0.5),
            append_sync_p99_ns: appends.value_at_quantile(0.99),
            sequential_write_bytes_per_s: write_sequentially(path)?,
            memcpy_bytes_per_s: copy(),
        })
    }

    /// How many times slower a measurement is than what the machine needs at least: a durable operation beside the append and sync, anything
    /// else beside a copy of its bytes in memory. `None` if nothing was moved.
    #[must_use]
    pub fn multiple(&self, durability: Durability, done: &Measurement) -> Option<f64> {
        let multiple = match durability {
            Durability::Sync => done.latency.p50_ns as f64 / self.append_sync_p50_ns as f64,
            Durability::Buffered => done.elapsed_ns as f64 / 1e9 / (done.user_bytes as f64 / self.memcpy_bytes_per_s),
        };
        multiple.is_finite().then_some(multiple)
    }
}

fn append_and_sync(path: &Path) -> Result<Histogram<u64>> {
    let block = ValuePool::new(1).into_bytes();
    let block = block.get(..APPEND_BYTES).context("the block is too short")?;
    let mut file = File::create(path)?;
    let mut histogram = Histogram::new(SIGNIFICANT_DIGITS)?;
    let began = Instant::now();
    for _ in 0..APPENDS_MAX {
        let start = Instant::now();
        file.write_all(block)?;
        file.sync_data()?;
        histogram.record(nanoseconds(start.elapsed()).max(1))?;
        if began.elapsed() >= APPEND_TIME_MAX {
            break;
        }
    }
    Ok(histogram)
}

fn write_sequentially(path: &Path) -> Result<f64> {
    let block = ValuePool::new(1).into_bytes();
    let block = block.get(..WRITE_BLOCK_BYTES).context("the block is too short")?;
    let mut file = File::create(path)?;
    let start = Instant::now();
    for _ in 0..WRITE_BLOCKS {
        file.write_all(block)?;
    }
    file.sync_data()?;
    Ok((WRITE_BLOCKS * WRITE_BLOCK_BYTES) as f64 / start.elapsed().as_secs_f64())
}

fn copy() -> f64 {
    let (from, mut to) = (vec![1_u8; COPY_BYTES], vec![0_u8; COPY_BYTES]);
    let rates: Vec<f64> = (0..COPIES)
        .map(|_| {
            let start = Instant::now();
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
            COPY_BYTES as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    median(&rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Latency;

    #[test]
    fn the_floor_of_any_directory_is_measured_and_nothing_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let floor = MachineFloor::measure(dir.path()).expect("measured");
        assert!(floor.append_sync_p50_ns > 0 && floor.append_sync_p50_ns <= floor.append_sync_p99_ns, "{floor:?}");
        assert!(floor.sequential_write_bytes_per_s > 0.0 && floor.memcpy_bytes_per_s > 0.0, "{floor:?}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
        let refused = format!("{:#}", MachineFloor::measure(Path::new("/nowhere")).expect_err("absent"));
        assert!(refused.contains("/nowhere"), "{refused}");
    }

    #[test]
    fn a_durable_operation_is_held_to_the_sync_and_any_other_to_a_copy_of_its_bytes() {
        let floor = MachineFloor {
            append_sync_p50_ns: 50_000,
            append_sync_p99_ns: 60_000,
            sequential_write_bytes_per_s: 1e9,
            memcpy_bytes_per_s: 1e10,
        };
        let latency = Latency { p50_ns: 150_000, ..Latency::default() };
        let done =
            Measurement { elapsed_ns: 1_000_000_000, user_bytes: 1_000_000_000, latency, ..Measurement::default() };
        assert_eq!(floor.multiple(Durability::Sync, &done), Some(3.0));
        assert_eq!(floor.multiple(Durability::Buffered, &done), Some(10.0));
        assert_eq!(floor.multiple(Durability::Buffered, &Measurement { user_bytes: 0, ..done }), None);
    }
}
