use std::path::Path;

use anyhow::Result;
use jiff::civil::date;

use super::*;
use crate::compare::{Figure, Kinds, Scope, Times, compare};
use crate::measure::Measurement;
use crate::results::tests::sample;
use crate::results::{Outcome, RunResult};
use crate::run::baseline_name;

fn measured(result: &mut RunResult) -> &mut Measurement {
    match &mut result.outcome {
        Outcome::Measured(done) => done,
        Outcome::Failed(message) => panic!("the sample failed: {message}"),
    }
}

fn run(repeats: u32, change: impl Fn(&mut Measurement)) -> Vec<RunResult> {
    (0..repeats)
        .map(|repeat| {
            let mut result = sample();
            result.repeat = repeat;
            let done = measured(&mut result);
            // Honest noise of 1 %.
            done.elapsed_ns += u64::from(repeat % 3) * 10_000_000;
            change(done);
            result
        })
        .collect()
}

fn comparison(baseline: &[RunResult], current: &[RunResult]) -> Comparison {
    compare(baseline, current, Scope::Subjects, Kinds::All).expect("comparable")
}

fn judgements(change: impl Fn(&mut Measurement), judgement: Judgement) -> Vec<Figure> {
    let changes = comparison(&run(5, |_| ()), &run(5, change)).changes;
    changes.into_iter().filter(|change| change.judgement == judgement).map(|change| change.figure).collect()
}

fn refused(baseline: &[RunResult], current: &[RunResult]) -> Vec<String> {
    let verdict = judge(&comparison(baseline, current), &Exceptions::default(), date(2026, 1, 1)).expect("judged");
    verdict.refused.iter().map(ToString::to_string).collect()
}

#[test]
fn an_unchanged_run_passes() {
    assert_eq!(comparison(&run(5, |_| ()), &run(5, |_| ())).series, 1);
    assert_eq!(refused(&run(5, |_| ()), &run(5, |_| ())), Vec::<String>::new());
}

/// A gate that cannot fail is a defect, and so is one that takes what became better for worse.
#[test]
fn each_figure_is_refused_when_it_got_worse_and_praised_when_it_got_better() {
    type Edit = fn(&mut Measurement, f64);
    let edits: [(Figure, Edit, f64); 5] = [
        (Figure::Throughput, |done, factor| done.elapsed_ns = (done.elapsed_ns as f64 * factor) as u64, 1.10),
        (
            Figure::P99,
            |done, factor| {
                let latency = &mut done.latency;
                latency.p99_ns = (latency.p99_ns as f64 * factor) as u64;
                latency.p95_ns = latency.p95_ns.min(latency.p99_ns);
            },
            1.15,
        ),
        (Figure::Allocations, |done, factor| done.cost.allocations = Some((20_000.0 * factor) as u64), 1.06),
        (Figure::Syncs, |done, factor| done.cost.syncs = Some((10_000.0 * factor) as u64), 1.02),
        (Figure::Bytes, |done, factor| done.cost.engine_bytes = Some((2e7 * factor) as u64), 1.06),
    ];
    for (figure, edit, factor) in edits {
        assert_eq!(judgements(|done| edit(done, factor), Judgement::Worse), [figure], "worse by {factor}");
        assert_eq!(judgements(|done| edit(done, 1.0 / factor), Judgement::Better), [figure], "better by {factor}");
        assert_eq!(judgements(|done| edit(done, 1.0 / factor), Judgement::Worse), [], "better by {factor}");
        assert_eq!(judgements(|done| edit(done, 1.004), Judgement::Worse), [], "a trifle");
    }
}

#[test]
fn counters_are_refused_even_on_one_repeat_and_times_are_not() {
    let worse = run(1, |done| {
        done.cost.allocations = Some(21_300);
        done.cost.syncs = Some(10_100);
        done.elapsed_ns *= 2;
    });
    let found = refused(&run(1, |_| ()), &worse);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("2.130 allocations per operation, 2.000 before"), "{found:?}");
    assert!(found[1].contains("1.010 syncs per operation, 1.000 before"), "{found:?}");
}

#[test]
fn a_single_sync_where_there_was_none_is_refused() {
    let none = run(1, |done| done.cost.syncs = Some(0));
    let one_in_ten = run(1, |done| done.cost.syncs = Some(1000));
    assert_eq!(refused(&none, &one_in_ten).len(), 1);
}

#[test]
fn noise_around_the_threshold_does_not_gate() {
    let mut slow = run(4, |_| ());
    for (repeat, result) in slow.iter_mut().enumerate() {
        measured(result).elapsed_ns = if repeat % 2 == 0 { 1_150_000_000 } else { 980_000_000 };
    }
    assert_eq!(refused(&run(4, |_| ()), &slow), Vec::<String>::new());
}

#[test]
fn a_benchmark_that_vanished_or_fails_is_refused() {
    let mut failed = run(1, |_| ());
    failed[0].outcome = Outcome::Failed("it broke".to_owned());
    assert_eq!(refused(&run(5, |_| ()), &failed).len(), 1);
    let mut other = run(1, |_| ());
    other[0].benchmark = "client/b16/w1".to_owned();
    let found = refused(&run(5, |_| ()), &other);
    assert_eq!(found, ["client/b1/w1 on granite: was measured in the baseline and is not now"]);
    let mut once = run(5, |_| ());
    once[4].outcome = Outcome::Failed("it broke".to_owned());
    assert_eq!(refused(&run(5, |_| ()), &once), ["client/b1/w1 on granite: 1 repeats failed, 0 before"]);
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
    assert_eq!(refused(&run(5, |_| ()), &current), Vec::<String>::new());
    assert_eq!(refused(&run(5, |_| ()), &run(5, slow)).len(), 1);
}

#[test]
fn times_of_another_machine_or_build_are_left_out_and_counters_are_not() {
    let worse = |done: &mut Measurement| {
        done.elapsed_ns *= 2;
        done.cost.syncs = Some(20_000);
    };
    let mut current = run(5, worse);
    for result in &mut current {
        result.run.build.profile = "debug".to_owned();
    }
    let found = comparison(&run(5, |_| ()), &current);
    assert_eq!(found.times, Times::LeftOut("/run/build/profile is debug, and release in the baseline".to_owned()));
    assert_eq!(refused(&run(5, |_| ()), &current).len(), 1);
    let counters = compare(&run(5, |_| ()), &run(5, worse), Scope::Subjects, Kinds::Counters).expect("comparable");
    assert!(counters.changes.iter().all(|change| change.figure != Figure::Throughput), "{counters:?}");
}

#[test]
fn results_of_other_parameters_are_refused_by_the_name_of_the_field() {
    let mut current = run(1, |_| ());
    current[0].parameters.scale = 0.5;
    let error = compare(&run(1, |_| ()), &current, Scope::Subjects, Kinds::All).expect_err("another scale");
    assert!(error.to_string().contains("/parameters/scale is 0.5, and 1 in the baseline"), "{error}");
    let mut current = run(1, |_| ());
    current[0].parameters.param.insert("keys".to_owned(), 5);
    let error = compare(&run(1, |_| ()), &current, Scope::Subjects, Kinds::All).expect_err("another number");
    assert!(error.to_string().contains("/parameters/param"), "{error}");
}

#[test]
fn peers_are_compared_only_where_everybody_is() {
    let peer = |change: fn(&mut Measurement)| {
        let mut results = run(5, change);
        results.iter_mut().for_each(|result| result.engine.role = crate::engine::Role::Peer);
        results
    };
    let (before, after) = (peer(|_| ()), peer(|done| done.elapsed_ns *= 2));
    assert_eq!(comparison(&before, &after).series, 0);
    assert_eq!(compare(&before, &after, Scope::Everybody, Kinds::All).expect("comparable").series, 1);
}

const EXCEPTION: &str = r#"
[[exception]]
benchmark = "client/b1/w1"
engine = "granite"
figure = "allocations"
limit_ratio = 1.2
reason = "a batch is copied until the arena is back"
until = "2026-03-31"
"#;

fn judged(exceptions: &str, allocations: u64, today: Date) -> Result<Verdict> {
    let worse = run(1, |done| done.cost.allocations = Some(allocations));
    let exceptions = Exceptions::parse(Path::new("exceptions.toml"), exceptions)?;
    judge(&comparison(&run(1, |_| ()), &worse), &exceptions, today)
}

#[test]
fn an_exception_allows_what_it_names_as_far_as_it_says_and_no_longer() {
    let allowed = judged(EXCEPTION, 23_000, date(2026, 3, 31)).expect("judged");
    assert!(allowed.refused.is_empty() && allowed.allowed.len() == 1, "{allowed:?}");
    assert_eq!(allowed.allowed[0].1, "a batch is copied until the arena is back");

    let ended = judged(EXCEPTION, 23_000, date(2026, 4, 1)).expect_err("it has ended").to_string();
    assert!(ended.contains("ended on 2026-03-31"), "{ended}");
    let unused = judged(EXCEPTION, 20_000, date(2026, 1, 1)).expect_err("nothing got worse").to_string();
    assert!(unused.contains("allows nothing that happened"), "{unused}");
    let too_much = judged(EXCEPTION, 25_000, date(2026, 1, 1)).expect_err("more than it allows").to_string();
    assert!(too_much.contains("allows nothing that happened"), "{too_much}");
    let other = EXCEPTION.replace("allocations", "syncs");
    assert!(judged(&other, 23_000, date(2026, 1, 1)).is_err(), "an exception for syncs allowed allocations");
}

#[test]
fn an_exception_without_a_reason_or_an_end_is_refused_by_the_name_of_the_field() {
    for (from, to, named) in [
        ("reason = \"a batch is copied until the arena is back\"\n", "", "reason"),
        ("a batch is copied until the arena is back", " ", "reason: it is empty"),
        ("until = \"2026-03-31\"\n", "", "until"),
        ("2026-03-31", "soon", "until: \"soon\""),
        ("\"allocations\"", "\"speed\"", "figure: none of failures, throughput"),
        ("limit_ratio = 1.2", "limit_ratio = 0.0", "limit_ratio"),
        ("engine = ", "machine = ", "machine"),
    ] {
        assert!(EXCEPTION.contains(from));
        let error = judged(&EXCEPTION.replace(from, to), 23_000, date(2026, 1, 1)).expect_err(to);
        assert!(format!("{error:#}").contains(named), "{to}: {error:#}");
    }
}
