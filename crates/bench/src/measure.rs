//! Drives the threads of a workload through warm-up and measurement, and reads the meters around the measured part.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alloc::{Allocations, thread_allocations};
use crate::engine::{EngineCounters, Metered};
use crate::process::{self, ProcessIo};

const SIGNIFICANT_DIGITS: u8 = 3;

/// When to stop: at whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Operations per thread.
    pub operations: u64,
    /// Wall time.
    pub time: Duration,
}

impl Limit {
    /// Only the clock ends it.
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self { operations: u64::MAX, time }
    }
}

/// Latencies of single operations, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Operations that were timed one by one.
    pub samples: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Median.
    pub p50_ns: u64,
    /// 95th percentile.
    pub p95_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

/// What the measured operations cost, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Processor time of all threads of the process, background work included.
    pub cpu_ns: u64,
    /// Allocations by the threads that called the engine; null if the engine does not allocate through Rust.
    pub allocations: Option<u64>,
    /// Bytes of those allocations.
    pub allocated_bytes: Option<u64>,
    /// Bytes handed to write calls of the process; null if the system does not tell, as in the two that follow.
    pub write_call_bytes: Option<u64>,
    /// Bytes that the disk was asked to write.
    pub written_bytes: Option<u64>,
    /// Bytes that the disk was asked to read.
    pub read_bytes: Option<u64>,
    /// Syncs that the engine counted; null if it does not count.
    pub syncs: Option<u64>,
    /// Bytes that the engine counted on their way to the disk; null if it does not count.
    #[serde(default)]
    pub engine_bytes: Option<u64>,
}

/// What one measurement found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Calls of the engine: commits, gets, scans.
    pub operations: u64,
    /// Keys that they wrote or showed.
    pub items: u64,
    /// Bytes of the keys and values.
    pub user_bytes: u64,
    /// Wall time.
    pub elapsed_ns: u64,
    /// True if time ran out before the workload had done all its operations.
    pub truncated: bool,
    /// Latencies.
    pub latency: Latency,
    /// Costs.
    pub cost: Cost,
    /// Figures that only this benchmark has, by name; the unit stands last in the name.
    pub extra: BTreeMap<String, f64>,
}

/// What a thread notes while it works.
#[derive(Debug)]
pub struct Recorder {
    histogram: Histogram<u64>,
    sample_every: u64,
    calls: u64,
    operations: u64,
    items: u64,
    user_bytes: u64,
    allocations: Allocations,
}

impl Recorder {
    /// Times one call in `sample_every` on its own. Reads of a microsecond are not all timed: the clock would be part of the result.
    ///
    /// # Errors
    /// If the histogram cannot be made.
    pub fn new(sample_every: u64) -> Result<Self> {
        Ok(Self {
            histogram: Histogram::new(SIGNIFICANT_DIGITS)?,
            sample_every,
            calls: 0,
            operations: 0,
            items: 0,
            user_bytes: 0,
            allocations: Allocations::default(),
        })
    }

    /// Runs one call of the engine, which returns the items and bytes that it wrote or showed.
    ///
    /// # Errors
    /// Those of the call.
    pub fn call(&mut self, call: impl FnOnce() -> Result<(u64, u64)>) -> Result<()> {
        let timed = self.calls.is_multiple_of(self.sample_every);
        self.calls += 1;
        let before = thread_allocations();
        let start = timed.then(Instant::now);
        let (items, user_bytes) = call()?;
        let elapsed = start.map(|start| start.elapsed());
        // Before the histogram, which allocates when a call is slower than any before it.
        let allocated = thread_allocations().since(before);
        if let Some(elapsed) = elapsed {
            self.histogram.record(nanoseconds(elapsed).max(1))?;
        }
        self.allocations.count += allocated.count;
        self.allocations.bytes += allocated.bytes;
        self.operations += 1;
        self.items += items;
        self.user_bytes += user_bytes;
        Ok(())
    }

    /// Notes `count` operations that took `elapsed` together: entries of a long scan, too quick for a clock of their own.
    ///
    /// # Errors
    /// If the histogram refuses the value.
    pub fn note_run(&mut self, count: u64, user_bytes: u64, elapsed: Duration) -> Result<()> {
        self.histogram.record((nanoseconds(elapsed) / count.max(1)).max(1))?;
        self.operations += count;
        self.items += count;
        self.user_bytes += user_bytes;
        Ok(())
    }

    fn absorb(&mut self, other: &Self) -> Result<()> {
        self.histogram.add(&other.histogram)?;
        self.operations += other.operations;
        self.items += other.items;
        self.user_bytes += other.user_bytes;
        self.allocations.count += other.allocations.count;
        self.allocations.bytes += other.allocations.bytes;
        Ok(())
    }

    fn latency(&self) -> Latency {
        let histogram = &self.histogram;
        Latency {
            samples: histogram.len(),
            mean_ns: histogram.mean(),
            p50_ns: histogram.value_at_quantile(0.50),
            p95_ns: histogram.value_at_quantile(0.95),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// Nanoseconds of a duration, saturating.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads the meters at the start of a measured part and again at its end.
pub struct Meter<'a> {
    engine: &'a dyn Metered,
    cpu: Duration,
    io: Option<ProcessIo>,
    counted: Option<EngineCounters>,
    start: Instant,
}

impl<'a> Meter<'a> {
    /// Starts. A trace of system calls shows the start and the end of the measured part by [`mark_trace`].
    ///
    /// # Errors
    /// If a meter cannot be read.
    pub fn start(engine: &'a dyn Metered) -> Result<Self> {
        mark_trace()?;
        Ok(Self {
            engine,
            cpu: process::cpu_time(),
            io: ProcessIo::now(),
            counted: engine.counters(),
            start: Instant::now(),
        })
    }

    /// Ends, and puts together what the recorder and the meters saw.
    ///
    /// # Errors
    /// If a meter cannot be read.
    pub fn stop(self, recorder: &Recorder) -> Result<Measurement> {
        let elapsed = self.start.elapsed();
        let io = ProcessIo::now().zip(self.io).map(|(now, before)| now.since(before));
        let counted = self.engine.counters().zip(self.counted);
        let cpu = process::cpu_time().saturating_sub(self.cpu);
        mark_trace()?;
        Ok(Measurement {
            operations: recorder.operations,
            items: recorder.items,
            user_bytes: recorder.user_bytes,
            elapsed_ns: nanoseconds(elapsed),
            truncated: false,
            latency: recorder.latency(),
            cost: Cost {
                cpu_ns: nanoseconds(cpu),
                allocations: Some(recorder.allocations.count),
                allocated_bytes: Some(recorder.allocations.bytes),
                write_call_bytes: io.map(|io| io.write_call_bytes),
                written_bytes: io.map(|io| io.written_bytes),
                read_bytes: io.map(|io| io.read_bytes),
                syncs: counted.map(|(after, before)| after.syncs - before.syncs),
                engine_bytes: counted.map(|(after, before)| after.bytes_written - before.bytes_written),
            },
            extra: BTreeMap::new(),
        })
    }
}

/// Leaves a mark in a trace of system calls: a sync of the null device, which the kernel refuses without doing anything.
///
/// # Errors
/// If the null device cannot be opened.
pub fn mark_trace() -> Result<()> {
    let null = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
    // The refusal is the mark.
    drop(null.sync_data());
    Ok(())
}

/// One thread's work: each call does one operation; false means that there is nothing left to do.
pub type Work<'a> = Box<dyn FnMut(&mut Recorder) -> Result<bool> + Send + 'a>;

/// Runs every work on a thread of its own: first the warm-up, then, from a common start, the measured part.
///
/// # Errors
/// The first error of any thread.
pub fn drive(
    engine: &dyn Metered,
    works: Vec<Work<'_>>,
    sample_every: u64,
    warmup: Limit,
    measured: Limit,
) -> Result<Measurement> {
    let warm = Barrier::new(works.len() + 1);
    let go = Barrier::new(works.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = works
            .into_iter()
            .map(|mut work| {
                let (warm, go) = (&warm, &go);
                scope.spawn(move || -> Result<Recorder> {
                    let warmed =
                        Recorder::new(sample_every).and_then(|mut scratch| run(&mut work, &mut scratch, warmup));
                    warm.wait();
                    go.wait();
                    warmed.context("in the warm-up")?;
                    let mut recorder = Recorder::new(sample_every)?;
                    run(&mut work, &mut recorder, measured)?;
                    Ok(recorder)
                })
            })
            .collect();
        warm.wait();
        let meter = Meter::start(engine);
        go.wait();
        let mut total = Recorder::new(sample_every)?;
        for thread in threads {
            let recorder = thread.join().map_err(|_| anyhow!("a thread of the workload panicked"))??;
            total.absorb(&recorder)?;
        }
        meter?.stop(&total)
    })
}

fn run(work: &mut Work<'_>, recorder: &mut Recorder, limit: Limit) -> Result<()> {
    let start = Instant::now();
    let mut done = 0;
    while done < limit.operations {
        // The clock is read as rarely as operations are timed.
        if done % recorder.sample_every == 0 && start.elapsed() >= limit.time {
            break;
        }
        if !work(recorder)? {
            break;
        }
        done += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A histogram grows when a call is slower than any before: counted as the engine's, that would be an allocation by chance.
    #[test]
    fn a_call_that_allocates_nothing_is_charged_with_nothing_however_slow_it_is() {
        let mut recorder = Recorder::new(1).expect("a recorder");
        for micros in [0, 1, 300, 20_000] {
            let wait = || {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(micros) {
                    std::hint::spin_loop();
                }
                Ok((1, 1))
            };
            recorder.call(wait).expect("no error");
        }
        assert_eq!(recorder.allocations, Allocations::default());
        assert_eq!(recorder.histogram.len(), 4);
    }
}
