//! Two sets of results side by side: what became better or worse, by how much, and whether that can be told.
//!
//! Counters are compared as they are: they do not depend on the machine or on what else it does. Times are compared by the bootstrap interval
//! of their ratio, and only where both sets are of the same machine and the same kind of build, or ran beside each other.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};

use crate::engine::Role;
use crate::measure::Measurement;
use crate::report::{Series, group};
use crate::results::{RunResult, per};
use crate::run::baseline_name;
use crate::stats::{Pairing, Ratio, median, ratio};

/// Throughput may fall to this share.
const THROUGHPUT_RATIO_MIN: f64 = 0.95;
/// The 99th percentile may rise to this multiple.
const P99_RATIO_MAX: f64 = 1.10;
/// Allocations per operation may rise to this multiple.
const ALLOCATIONS_RATIO_MAX: f64 = 1.05;
/// Bytes written per operation may.
const BYTES_RATIO_MAX: f64 = 1.05;
/// Less than this per operation is no rise: work in the background adds a few to every run.
const SYNCS_RISE_MIN: f64 = 0.01;
/// A buffer that grows once in a run is no rise either.
const ALLOCATIONS_RISE_MIN: f64 = 0.02;
/// A segment's header, spread over few operations.
const BYTES_RISE_MIN: f64 = 64.0;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Repeats that failed, or all that are missing.
    Failures,
    /// Items per second.
    Throughput,
    /// The 99th percentile of the latency.
    P99,
    /// Allocations per operation.
    Allocations,
    /// Syncs per operation.
    Syncs,
    /// Bytes per operation that the engine wrote.
    Bytes,
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Failures, Self::Throughput, Self::P99, Self::Allocations, Self::Syncs, Self::Bytes];

    /// As tables and the file of exceptions call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Throughput => "throughput",
            Self::P99 => "p99",
            Self::Allocations => "allocations",
            Self::Syncs => "syncs",
            Self::Bytes => "bytes",
        }
    }

    fn of(self, result: &RunResult, done: &Measurement) -> Option<f64> {
        match self {
            Self::Failures => None,
            Self::Throughput => per(done.items, done.elapsed_ns).map(|rate| rate * 1e9),
            Self::P99 => Some(done.latency.p99_ns as f64),
            Self::Allocations => per(done.cost.allocations?, done.operations),
            Self::Syncs => result.syncs_per_operation(),
            Self::Bytes => per(done.cost.engine_bytes?, done.operations),
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Beyond the threshold, to the good.
    Better,
    /// Within it, or it cannot be told.
    Same,
    /// Beyond the threshold, to the bad.
    Worse,
}

/// One figure of one series, then and now.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Name of the benchmark.
    pub benchmark: String,
    /// Name of the engine.
    pub engine: String,
    /// What is compared.
    pub figure: Figure,
    /// Median of the baseline.
    pub before: f64,
    /// Median now.
    pub after: f64,
    /// The interval of `after / before`, where it decides.
    pub interval: Option<Ratio>,
    /// What came of it.
    pub judgement: Judgement,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { benchmark, engine, before, after, .. } = self;
        write!(f, "{benchmark} on {engine}: ")?;
        match (self.figure, self.interval) {
            (Figure::Failures, _) if after.is_infinite() => write!(f, "was measured in the baseline and is not now"),
            (Figure::Failures, _) => write!(f, "{after} repeats failed, {before} before"),
            (figure, Some(Ratio { value, low, high })) => {
                write!(f, "{} is {value:.3} [{low:.3}, {high:.3}] times the baseline's", figure.name())
            }
            (figure, None) => write!(f, "{after:.3} {} per operation, {before:.3} before", figure.name()),
        }
    }
}

/// Whether times mean anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Times {
    /// They do.
    Compared,
    /// They do not, because of this.
    LeftOut(String),
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Series that both sets have.
    pub series: usize,
    /// All figures that both sets have, and failures where there are more or less of them.
    pub changes: Vec<Change>,
    /// Whether times are among them.
    pub times: Times,
}

/// Which series are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What this project builds: the others are not ours to mend.
    Subjects,
    /// All.
    Everybody,
}

/// Whose times are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Counters alone.
    Counters,
    /// Times too, where they can be.
    All,
}

/// Compares `current` with `baseline`. A series that is missing or failed now counts as a failure.
///
/// # Errors
/// If a series was measured with other parameters: the error names the first that differs.
pub fn compare(baseline: &[RunResult], current: &[RunResult], scope: Scope, kinds: Kinds) -> Result<Comparison> {
    let (old, new) = (index(baseline), index(current));
    let mut comparison = Comparison { series: 0, changes: Vec::new(), times: times_of(baseline, current, kinds) };
    for (&(benchmark, engine), before) in &old {
        let in_scope = scope == Scope::Everybody || before.role() == Role::Subject;
        if !in_scope || before.measured.is_empty() || engine.ends_with(&baseline_name("")) {
            continue;
        }
        comparison.series += 1;
        let change = |figure, before, after, interval, judgement| {
            let (benchmark, engine) = (benchmark.to_owned(), engine.to_owned());
            Change { benchmark, engine, figure, before, after, interval, judgement }
        };
        let failed_before = before.failures as f64;
        let Some(after) = new.get(&(benchmark, engine)).filter(|after| !after.measured.is_empty()) else {
            let gone = change(Figure::Failures, failed_before, f64::INFINITY, None, Judgement::Worse);
            comparison.changes.push(gone);
            continue;
        };
        ensure_comparable(before.first, after.first)?;
        if after.failures != before.failures {
            let more = after.failures > before.failures;
            let judgement = if more { Judgement::Worse } else { Judgement::Better };
            comparison.changes.push(change(Figure::Failures, failed_before, after.failures as f64, None, judgement));
        }
        let name_beside = baseline_name(engine);
        let beside = new.get(&(benchmark, name_beside.as_str())).filter(|series| !series.measured.is_empty());
        for figure in [Figure::Throughput, Figure::P99] {
            // What ran beside shared the machine with it, whatever machine that was.
            let (against, pairing) = match (beside, &comparison.times, kinds) {
                (Some(beside), _, Kinds::All) => (beside, Pairing::Paired),
                (None, Times::Compared, _) => (before, Pairing::Independent),
                _ => continue,
            };
            let (tops, bottoms) = (figures(after, figure), figures(against, figure));
            let Some(interval) = ratio(&tops, &bottoms, pairing) else { continue };
            let judgement = judge_time(figure, interval);
            comparison.changes.push(change(figure, median(&bottoms), median(&tops), Some(interval), judgement));
        }
        for figure in [Figure::Allocations, Figure::Syncs, Figure::Bytes] {
            let (tops, bottoms) = (figures(after, figure), figures(before, figure));
            if tops.is_empty() || bottoms.is_empty() {
                continue;
            }
            let (now, then) = (median(&tops), median(&bottoms));
            // With several writers such counts depend on who meets whom: they are times in disguise.
            let interval = if after.first.writers > 1 { ratio(&tops, &bottoms, Pairing::Independent) } else { None };
            let judgement = judge_counter(figure, then, now, interval);
            comparison.changes.push(change(figure, then, now, interval, judgement));
        }
    }
    Ok(comparison)
}

fn figures(series: &Series<'_>, figure: Figure) -> Vec<f64> {
    series.figures(|result, done| figure.of(result, done))
}

fn judge_time(figure: Figure, interval: Ratio) -> Judgement {
    // As a loss: how many times slower.
    let (low, high, limit) = match figure {
        Figure::Throughput => (1.0 / interval.high, 1.0 / interval.low, 1.0 / THROUGHPUT_RATIO_MIN),
        _ => (interval.low, interval.high, P99_RATIO_MAX),
    };
    match () {
        () if low > limit => Judgement::Worse,
        () if high < 1.0 / limit => Judgement::Better,
        () => Judgement::Same,
    }
}

fn judge_counter(figure: Figure, then: f64, now: f64, interval: Option<Ratio>) -> Judgement {
    let (ratio_max, rise_min) = match figure {
        Figure::Allocations => (ALLOCATIONS_RATIO_MAX, ALLOCATIONS_RISE_MIN),
        Figure::Bytes => (BYTES_RATIO_MAX, BYTES_RISE_MIN),
        _ => (1.0, SYNCS_RISE_MIN),
    };
    if let Some(interval) = interval {
        let limit = ratio_max + SYNCS_RISE_MIN;
        return match () {
            () if interval.low > limit => Judgement::Worse,
            () if interval.high < 1.0 / limit => Judgement::Better,
            () => Judgement::Same,
        };
    }
    let rose = |from: f64, to: f64| to > from * ratio_max && to >= from + rise_min;
    match () {
        () if rose(then, now) => Judgement::Worse,
        () if rose(now, then) => Judgement::Better,
        () => Judgement::Same,
    }
}

/// Two results say something about each other only if both did the same.
fn ensure_comparable(before: &RunResult, after: &RunResult) -> Result<()> {
    let (old, new) = (&before.parameters, &after.parameters);
    let conditions = [
        ("durability", format!("{:?}", before.durability), format!("{:?}", after.durability)),
        ("writers", before.writers.to_string(), after.writers.to_string()),
        ("parameters/scale", old.scale.to_string(), new.scale.to_string()),
        ("parameters/operations", format!("{:?}", old.operations), format!("{:?}", new.operations)),
        ("parameters/memory_bytes", format!("{:?}", old.memory_bytes), format!("{:?}", new.memory_bytes)),
        ("parameters/param", format!("{:?}", old.param), format!("{:?}", new.param)),
    ];
    for (field, then, now) in conditions {
        ensure!(
            then == now,
            "{} on {} cannot be compared: /{field} is {now}, and {then} in the baseline",
            after.benchmark,
            after.engine.name
        );
    }
    Ok(())
}

/// Times of another machine, or of another kind of build, say nothing.
fn times_of(baseline: &[RunResult], current: &[RunResult], kinds: Kinds) -> Times {
    if kinds == Kinds::Counters {
        return Times::LeftOut("counters only".to_owned());
    }
    let (Some(old), Some(new)) = (baseline.first(), current.first()) else { return Times::Compared };
    let (then, now) = (&old.run.machine, &new.run.machine);
    let conditions = [
        ("run/machine/cpu", then.cpu.clone(), now.cpu.clone()),
        ("run/machine/cores", then.cores.to_string(), now.cores.to_string()),
        ("run/machine/filesystem", then.filesystem.clone(), now.filesystem.clone()),
        ("run/build/profile", old.run.build.profile.clone(), new.run.build.profile.clone()),
    ];
    let differing = conditions.into_iter().find(|(_, then, now)| then != now);
    differing.map_or(Times::Compared, |(field, then, now)| {
        Times::LeftOut(format!("/{field} is {now}, and {then} in the baseline"))
    })
}

fn index(results: &[RunResult]) -> BTreeMap<(&str, &str), Series<'_>> {
    let groups = group(results);
    groups
        .into_iter()
        .flat_map(|(benchmark, all)| all.into_iter().map(move |series| (benchmark, series)))
        .map(|(benchmark, series)| ((benchmark, series.first.engine.name.as_str()), series))
        .collect()
}
