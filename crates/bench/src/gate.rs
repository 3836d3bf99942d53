//! The gate: compares a directory of results with a baseline directory, and refuses a change that made something worse.
//!
//! Counters gate hard. Times gate only when the bootstrap interval excludes the threshold: a noisy machine must not refuse good changes.
//! Where the baseline's program ran in the same run (`--baseline-program`), times are paired with it instead of with the old figures.

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::Role;
use crate::measure::Measurement;
use crate::report::{Series, group};
use crate::results::{RunResult, per};
use crate::run::baseline_name;
use crate::stats::{Pairing, median, ratio};

/// Throughput may fall to this share of the baseline.
const THROUGHPUT_RATIO_MIN: f64 = 0.95;
/// The 99th percentile may rise to this multiple.
const P99_RATIO_MAX: f64 = 1.10;
/// Allocations per operation may rise to this multiple.
const ALLOCATIONS_RATIO_MAX: f64 = 1.05;
/// Syncs per operation may not rise. Work in the background adds a few to every run; less than this is no rise.
const SYNCS_RISE_MIN: f64 = 0.01;

/// One comparison that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// Name of the benchmark.
    pub benchmark: String,
    /// Name of the engine.
    pub engine: String,
    /// What got worse, with figures.
    pub what: String,
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.benchmark, self.engine, self.what)
    }
}

/// What the gate found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Series that were compared.
    pub compared: usize,
    /// What failed; empty if the gate opens.
    pub regressions: Vec<Regression>,
}

/// Compares the subject's series of both directories. A series of the baseline that is missing or failed in `current` is a regression.
#[must_use]
pub fn compare(baseline: &[RunResult], current: &[RunResult]) -> Verdict {
    let (old, new) = (index(baseline), index(current));
    let mut verdict = Verdict::default();
    for (&(benchmark, engine), before) in &old {
        if before.role() != Role::Subject || before.measured.is_empty() || engine.ends_with(&baseline_name("")) {
            continue;
        }
        verdict.compared += 1;
        let mut worse = |what: String| {
            verdict.regressions.push(Regression { benchmark: benchmark.to_owned(), engine: engine.to_owned(), what });
        };
        let Some(after) = new.get(&(benchmark, engine)).filter(|after| !after.measured.is_empty()) else {
            worse("was measured in the baseline and is not now".to_owned());
            continue;
        };
        if after.failures > before.failures {
            worse(format!("{} repeats failed, {} before", after.failures, before.failures));
        }
        let name_beside = baseline_name(engine);
        let beside = new.get(&(benchmark, name_beside.as_str()));
        let times_before = beside.filter(|series| !series.measured.is_empty());
        let pairing = if times_before.is_some() { Pairing::Paired } else { Pairing::Independent };
        times(after, times_before.unwrap_or(before), pairing, &mut worse);
        counters(after, before, &mut worse);
    }
    verdict
}

fn index(results: &[RunResult]) -> BTreeMap<(&str, &str), Series<'_>> {
    let groups = group(results);
    groups
        .into_iter()
        .flat_map(|(benchmark, all)| all.into_iter().map(move |series| (benchmark, series)))
        .map(|(benchmark, series)| ((benchmark, series.first.engine.name.as_str()), series))
        .collect()
}

fn throughput(_: &RunResult, done: &Measurement) -> Option<f64> {
    per(done.items, done.elapsed_ns)
}

fn times(after: &Series<'_>, before: &Series<'_>, pairing: Pairing, worse: &mut impl FnMut(String)) {
    if let Some(rate) = ratio(&after.figures(throughput), &before.figures(throughput), pairing)
        && rate.high < THROUGHPUT_RATIO_MIN
    {
        worse(format!("throughput is {:.3} [{:.3}, {:.3}] of the baseline's", rate.value, rate.low, rate.high));
    }
    let p99 = |_: &RunResult, done: &Measurement| Some(done.latency.p99_ns as f64);
    if let Some(tail) = ratio(&after.figures(p99), &before.figures(p99), pairing)
        && tail.low > P99_RATIO_MAX
    {
        worse(format!("p99 is {:.3} [{:.3}, {:.3}] times the baseline's", tail.value, tail.low, tail.high));
    }
}

fn counters(after: &Series<'_>, before: &Series<'_>, worse: &mut impl FnMut(String)) {
    let allocations = |_: &RunResult, done: &Measurement| per(done.cost.allocations?, done.operations);
    let syncs = |result: &RunResult, _: &Measurement| result.syncs_per_operation();
    let medians = |figure: &dyn Fn(&RunResult, &Measurement) -> Option<f64>| {
        let (new, old) = (after.figures(figure), before.figures(figure));
        (!new.is_empty() && !old.is_empty()).then(|| (median(&new), median(&old)))
    };
    if let Some((new, old)) = medians(&allocations)
        && new > old * ALLOCATIONS_RATIO_MAX
    {
        worse(format!("{new:.2} allocations per operation, {old:.2} before"));
    }
    // With several writers the number of syncs depends on who meets whom: it is a time in disguise.
    if after.first.writers > 1 {
        if let Some(rise) = ratio(&after.figures(syncs), &before.figures(syncs), Pairing::Independent)
            && rise.low > 1.0 + SYNCS_RISE_MIN
        {
            worse(format!(
                "syncs per operation are {:.3} [{:.3}, {:.3}] times the baseline's",
                rise.value, rise.low, rise.high
            ));
        }
    } else if let Some((new, old)) = medians(&syncs)
        && new >= old + SYNCS_RISE_MIN
    {
        worse(format!("{new:.3} syncs per operation, {old:.3} before"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Outcome;
    use crate::results::tests::sample;

    fn run(repeats: u32, change: impl Fn(&mut Measurement)) -> Vec<RunResult> {
        (0..repeats)
            .map(|repeat| {
                let mut result = sample();
                result.repeat = repeat;
                let Outcome::Measured(done) = &mut result.outcome else { panic!("the sample is measured") };
                // Honest noise of 1 %.
                done.elapsed_ns += u64::from(repeat % 3) * 10_000_000;
                change(done);
                result
            })
            .collect()
    }

    fn refused(change: impl Fn(&mut Measurement)) -> Vec<String> {
        compare(&run(5, |_| ()), &run(5, change)).regressions.into_iter().map(|regression| regression.what).collect()
    }

    #[test]
    fn an_unchanged_run_passes() {
        let verdict = compare(&run(5, |_| ()), &run(5, |_| ()));
        assert_eq!(verdict, Verdict { compared: 1, regressions: Vec::new() });
    }

    #[test]
    fn the_canary_that_is_slower_must_fail() {
        let found = refused(|done| done.elapsed_ns = done.elapsed_ns * 110 / 100);
        assert!(matches!(found.as_slice(), [only] if only.starts_with("throughput is 0.9")), "{found:?}");
    }

    #[test]
    fn the_canary_with_a_longer_tail_must_fail() {
        let found = refused(|done| done.latency.p99_ns = done.latency.p99_ns * 115 / 100);
        assert!(matches!(found.as_slice(), [only] if only.starts_with("p99 is 1.15")), "{found:?}");
    }

    #[test]
    fn the_canary_that_allocates_or_syncs_more_must_fail_even_on_one_repeat() {
        let worse = run(1, |done| {
            done.cost.allocations = Some(21_100);
            done.cost.syncs = Some(10_100);
        });
        let found = compare(&run(1, |_| ()), &worse).regressions;
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn noise_around_the_threshold_does_not_gate() {
        let noisy = run(4, |_| ());
        let mut slow: Vec<RunResult> = run(4, |_| ());
        for (repeat, result) in slow.iter_mut().enumerate() {
            let Outcome::Measured(done) = &mut result.outcome else { panic!("the sample is measured") };
            done.elapsed_ns = if repeat % 2 == 0 { 1_150_000_000 } else { 980_000_000 };
        }
        assert_eq!(compare(&noisy, &slow).regressions, []);
    }

    #[test]
    fn a_benchmark_that_vanished_or_fails_is_a_regression() {
        let mut failed = run(1, |_| ());
        failed[0].outcome = Outcome::Failed("it broke".to_owned());
        assert_eq!(compare(&run(5, |_| ()), &failed).regressions.len(), 1);
        let mut other = run(1, |_| ());
        other[0].benchmark = "client/b16/w1".to_owned();
        assert_eq!(compare(&run(5, |_| ()), &other).regressions.len(), 1);
    }

    #[test]
    fn a_slow_machine_is_forgiven_when_the_baseline_program_ran_beside() {
        let slow = |done: &mut Measurement| done.elapsed_ns *= 2;
        let mut current = run(5, slow);
        let mut beside = run(5, slow);
        for result in &mut beside {
            result.engine.name = baseline_name("granite");
        }
        current.extend(beside);
        assert_eq!(compare(&run(5, |_| ()), &current).regressions, []);
        assert_eq!(refused(slow).len(), 1);
    }
}
