//! The repeats of one benchmark on one engine, and the figures over them.

use std::collections::BTreeMap;

use crate::engine::Role;
use crate::measure::Measurement;
use crate::results::{RunResult, per};
use crate::stats::{coefficient_of_variation, median};

/// Up to this coefficient of variation a series counts as stable.
const STABLE_VARIATION_MAX: f64 = 0.05;

/// The repeats that were measured, in order; failed ones are only counted.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// One of the results, for everything that they share.
    pub first: &'a RunResult,
    /// The measurements by number of the repeat.
    pub measured: BTreeMap<u32, (&'a RunResult, &'a Measurement)>,
    /// Repeats that failed.
    pub failures: usize,
}

impl Series<'_> {
    /// The figure of every repeat that has it.
    pub fn figures(&self, figure: impl Fn(&RunResult, &Measurement) -> Option<f64>) -> Vec<f64> {
        self.measured.values().filter_map(|(result, done)| figure(result, done)).collect()
    }

    /// The median of a figure, if any repeat has it.
    pub fn median(&self, figure: impl Fn(&RunResult, &Measurement) -> Option<f64>) -> Option<f64> {
        let figures = self.figures(figure);
        (!figures.is_empty()).then(|| median(&figures))
    }

    /// Spread of the throughput over the repeats, and whether that is stable.
    #[must_use]
    pub fn spread(&self) -> Option<(f64, bool)> {
        let variation = coefficient_of_variation(&self.figures(items_per_second))?;
        Some((variation, variation <= STABLE_VARIATION_MAX))
    }

    /// True if some repeat ran out of time.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.measured.values().any(|(_, done)| done.truncated)
    }

    /// Name of the engine.
    #[must_use]
    pub fn engine(&self) -> &str {
        &self.first.engine.name
    }

    /// Side of the engine.
    #[must_use]
    pub fn role(&self) -> Role {
        self.first.engine.role
    }
}

/// Groups results by benchmark, and within it by engine, each in order of the names.
#[must_use]
pub fn group(results: &[RunResult]) -> BTreeMap<&str, Vec<Series<'_>>> {
    let mut all: BTreeMap<&str, BTreeMap<&str, Series<'_>>> = BTreeMap::new();
    for result in results {
        let series = all.entry(&result.benchmark).or_default().entry(&result.engine.name).or_insert_with(|| Series {
            first: result,
            measured: BTreeMap::new(),
            failures: 0,
        });
        match result.measurement() {
            Some(done) => {
                series.measured.insert(result.repeat, (result, done));
            }
            None => series.failures += 1,
        }
    }
    all.into_iter().map(|(name, engines)| (name, engines.into_values().collect())).collect()
}

/// Operations per second.
pub fn operations_per_second(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.operations, done.elapsed_ns).map(|rate| rate * 1e9)
}

/// Keys per second.
pub fn items_per_second(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.items, done.elapsed_ns).map(|rate| rate * 1e9)
}

/// Millions of bytes of keys and values per second.
pub fn megabytes_per_second(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.user_bytes, done.elapsed_ns).map(|rate| rate * 1e3)
}

/// Multiple of the machine's floor, where the run measured it.
pub fn floor_multiple(result: &RunResult, done: &Measurement) -> Option<f64> {
    result.run.floor?.multiple(result.durability, done)
}

/// Median latency in microseconds.
pub fn p50_us(_: &RunResult, done: &Measurement) -> Option<f64> {
    Some(done.latency.p50_ns as f64 / 1e3)
}

/// 95th percentile of the latency in microseconds.
pub fn p95_us(_: &RunResult, done: &Measurement) -> Option<f64> {
    Some(done.latency.p95_ns as f64 / 1e3)
}

/// 99th percentile of the latency in microseconds.
pub fn p99_us(_: &RunResult, done: &Measurement) -> Option<f64> {
    Some(done.latency.p99_ns as f64 / 1e3)
}

/// Largest latency in milliseconds.
pub fn max_ms(_: &RunResult, done: &Measurement) -> Option<f64> {
    Some(done.latency.max_ns as f64 / 1e6)
}

/// Processor time per operation in microseconds.
pub fn cpu_us_per_operation(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.cost.cpu_ns, done.operations).map(|nanoseconds| nanoseconds / 1e3)
}

/// Allocations per operation.
pub fn allocations_per_operation(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.cost.allocations?, done.operations)
}

/// Syncs per operation.
pub fn syncs_per_operation(result: &RunResult, _: &Measurement) -> Option<f64> {
    result.syncs_per_operation()
}

/// Bytes that the disk was asked to write, per byte of keys and values.
pub fn write_amplification(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.cost.written_bytes?, done.user_bytes)
}

/// Bytes per operation that the engine counted on their way to the disk.
pub fn engine_bytes_per_operation(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.cost.engine_bytes?, done.operations)
}
