//! The report for people: medians of every series, and how the subject stands to the best peer and to the floor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::series::{self, Series};
use crate::engine::{Durability, Role};
use crate::floor::MachineFloor;
use crate::measure::Measurement;
use crate::results::RunResult;
use crate::stats::{Pairing, Ratio, ratio};

type Figure = fn(&RunResult, &Measurement) -> Option<f64>;

/// Whether more of a figure is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    More,
    Less,
}

/// Extra figures that describe the run and are not compared.
const DESCRIPTIVE: [&str; 35] = [
    "collections",
    "data_blocks_per_index_block",
    "descriptors_last_third",
    "descriptors_max",
    "disk_bytes_last_third",
    "disk_bytes_max",
    "entries_per_data_block",
    "file_bytes_per_entry",
    "filter_bytes_per_entry",
    "index_bytes_per_entry",
    "memory_bytes_last_third",
    "memory_bytes_max",
    "reopened",
    "background_puts_per_s",
    "batches",
    "checkpoints",
    "checkpoints_deleted",
    "cold_read_ms",
    "contents_bytes",
    "disk_bytes_after",
    "disk_bytes_before",
    "events_read",
    "idle_anonymous_bytes",
    "idle_shared_bytes",
    "kernel_watch_bytes",
    "objects_dropped",
    "objects_seen",
    "p50_large_us",
    "p50_small_us",
    "program_private_bytes",
    "saves",
    "watch_table_bytes",
    "watches",
    "write_amplification_fill",
    "written_bytes",
];

/// The benchmarks themselves keep the load average below this on a machine that does nothing else: most wait for the disk or use one core.
const LOAD_AVERAGE_MAX: f64 = 3.0;

/// Renders results that one run or several wrote.
#[must_use]
pub fn markdown(results: &[RunResult]) -> String {
    let groups: Vec<(&str, Vec<Series<'_>>)> = series::group(results).into_iter().collect();
    let mut text = String::new();
    head(&mut text, results);
    counts(&mut text, results);
    let durable: Vec<_> = groups.iter().filter(|(_, all)| all[0].first.durability == Durability::Sync).collect();
    let buffered: Vec<_> = groups.iter().filter(|(_, all)| all[0].first.durability != Durability::Sync).collect();
    section(
        &mut text,
        "Durable commits",
        &durable,
        &[
            ("p50 us", series::p50_us),
            ("x floor", series::floor_multiple),
            ("p95 us", series::p95_us),
            ("p99 us", series::p99_us),
            ("max ms", series::max_ms),
            ("commits/s", series::operations_per_second),
            ("MB/s", series::megabytes_per_second),
            ("syncs/commit", series::syncs_per_operation),
            ("disk B/user B", series::write_amplification),
            ("cpu us/commit", series::cpu_us_per_operation),
            ("allocs/commit", series::allocations_per_operation),
        ],
    );
    section(
        &mut text,
        "Without a sync",
        &buffered,
        &[
            ("p50 us", series::p50_us),
            ("x floor", series::floor_multiple),
            ("p95 us", series::p95_us),
            ("p99 us", series::p99_us),
            ("max ms", series::max_ms),
            ("ops/s", series::operations_per_second),
            ("MB/s", series::megabytes_per_second),
            ("cpu us/op", series::cpu_us_per_operation),
            ("allocs/op", series::allocations_per_operation),
        ],
    );
    extras(&mut text, &groups);
    comparison(&mut text, &groups);
    failures(&mut text, results);
    text
}

fn floor_line(floor: MachineFloor) -> String {
    format!(
        "- Floor: append of 4 KiB and fdatasync p50 {:.1} us, p99 {:.1} us; sequential write {:.0} MB/s; memcpy {:.0} MB/s",
        floor.append_sync_p50_ns as f64 / 1e3,
        floor.append_sync_p99_ns as f64 / 1e3,
        floor.sequential_write_bytes_per_s / 1e6,
        floor.memcpy_bytes_per_s / 1e6,
    )
}

fn line(text: &mut String, cells: &[String]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn table_head(text: &mut String, names: &[&str]) {
    line(text, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    line(text, &names.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
}

fn head(text: &mut String, results: &[RunResult]) {
    let Some(first) = results.first() else { return };
    let (machine, build) = (&first.run.machine, &first.run.build);
    let memory = machine
        .memory_bytes
        .map_or("unknown memory".to_owned(), |bytes| format!("{:.0} GiB", bytes as f64 / f64::from(1 << 30)));
    let _ = writeln!(
        text,
        "# Benchmarks\n\n- Machine: {}, {} cores, {memory}, {} ({}), {}\n- Build: {}, {} {}, commit {}{}",
        machine.cpu,
        machine.cores,
        machine.filesystem,
        machine.mount_options,
        machine.kernel,
        build.profile,
        build.rustc,
        build.rustflags,
        build.commit,
        if build.modified { " with changes" } else { "" },
    );
    let load = results.iter().filter_map(|result| result.load_average).fold(0.0, f64::max);
    if load > LOAD_AVERAGE_MAX {
        let _ =
            writeln!(text, "- **The machine was busy** (load average up to {load:.1}): times are not to be relied on");
    }
    let runs: BTreeSet<String> = results.iter().map(|result| result.run.arguments.join(" ")).collect();
    for arguments in runs {
        let _ = writeln!(text, "- Command: `bench {arguments}`");
    }
    let engines: BTreeSet<_> =
        results.iter().map(|result| (&result.engine.name, &result.engine.version, &result.engine.notes)).collect();
    for (name, version, notes) in engines {
        let _ = writeln!(text, "- {name} {version}: {notes}");
    }
    let floors: BTreeSet<String> = results.iter().filter_map(|result| result.run.floor.map(floor_line)).collect();
    for floor in floors {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{floor}");
    }
    text.push_str(
        "\nMedians over the repeats. Spread is the coefficient of variation of the throughput; `!` marks a series that is not stable. \
         `x floor` is the median of a durable operation as a multiple of the machine's append and sync, and the time of any other as a multiple \
         of what a copy of its bytes in memory takes.\n",
    );
}

/// How much ran, and how much of it failed.
fn counts(text: &mut String, results: &[RunResult]) {
    let mut suites: BTreeMap<&str, (BTreeSet<&str>, u64, u64)> = BTreeMap::new();
    for result in results {
        let (benchmarks, passed, failed) = suites.entry(result.suite.name()).or_default();
        benchmarks.insert(&result.benchmark);
        *(if result.measurement().is_some() { passed } else { failed }) += 1;
    }
    text.push_str("\n## Summary\n\n");
    table_head(text, &["suite", "benchmarks", "repeats passed", "repeats failed"]);
    let (mut passed_all, mut failed_all) = (0, 0);
    for (suite, (benchmarks, passed, failed)) in suites {
        (passed_all, failed_all) = (passed_all + passed, failed_all + failed);
        line(text, &[suite.to_owned(), benchmarks.len().to_string(), passed.to_string(), failed.to_string()]);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{passed_all} repeats passed, {failed_all} failed.");
}

fn section(text: &mut String, title: &str, groups: &[&(&str, Vec<Series<'_>>)], columns: &[(&str, Figure)]) {
    if groups.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n## {title}\n");
    let all_series = || groups.iter().flat_map(|(_, all)| all.iter());
    // Results from before something was measured have no column for it.
    let columns: Vec<_> =
        columns.iter().filter(|(_, figure)| all_series().any(|series| series.median(figure).is_some())).collect();
    let mut names = vec!["benchmark", "engine"];
    names.extend(columns.iter().map(|(name, _)| *name));
    names.push("spread");
    table_head(text, &names);
    for (benchmark, all) in groups {
        for series in all.iter().filter(|series| !series.measured.is_empty()) {
            let mut cells = vec![(*benchmark).to_owned(), series.engine().to_owned()];
            cells.extend(columns.iter().map(|(_, figure)| series.median(figure).map_or("-".to_owned(), number)));
            let spread = series.spread().map_or("-".to_owned(), |(variation, stable)| {
                format!("{:.0} %{}", variation * 100.0, if stable { "" } else { " !" })
            });
            let mark = if series.truncated() { ", ran out of time" } else { "" };
            cells.push(spread + mark);
            line(text, &cells);
        }
    }
}

fn extra_names<'a>(all: &[Series<'a>]) -> BTreeSet<&'a str> {
    all.iter()
        .flat_map(|series| series.measured.values())
        .flat_map(|(_, done)| done.extra.keys().map(String::as_str))
        .collect()
}

fn extras(text: &mut String, groups: &[(&str, Vec<Series<'_>>)]) {
    let with_extras: Vec<_> = groups.iter().filter(|(_, all)| !extra_names(all).is_empty()).collect();
    if with_extras.is_empty() {
        return;
    }
    text.push_str("\n## Further figures\n");
    for (benchmark, all) in with_extras {
        let names: Vec<&str> = extra_names(all).into_iter().collect();
        let _ = writeln!(text, "\n{benchmark}:\n");
        let mut head = vec!["engine"];
        head.extend(&names);
        table_head(text, &head);
        for series in all.iter().filter(|series| !series.measured.is_empty()) {
            let mut cells = vec![series.engine().to_owned()];
            cells.extend(
                names
                    .iter()
                    .map(|name| series.median(|_, done| done.extra.get(*name).copied()).map_or("-".to_owned(), number)),
            );
            line(text, &cells);
        }
    }
}

fn comparison(text: &mut String, groups: &[(&str, Vec<Series<'_>>)]) {
    let mut rows = Vec::new();
    for (benchmark, all) in groups {
        for subject in all.iter().filter(|series| series.role() == Role::Subject && !series.measured.is_empty()) {
            let durable = subject.first.durability == Durability::Sync;
            rows.push(compare(benchmark, "throughput", subject, all, Better::More, &|r, d| {
                series::items_per_second(r, d)
            }));
            rows.push(compare(benchmark, "p50", subject, all, Better::Less, &|r, d| series::p50_us(r, d)));
            if durable {
                rows.push(compare(benchmark, "p99", subject, all, Better::Less, &|r, d| series::p99_us(r, d)));
            }
            for name in extra_names(all).into_iter().filter(|name| !DESCRIPTIVE.contains(name)) {
                rows.push(compare(benchmark, name, subject, all, Better::Less, &|_, d| d.extra.get(name).copied()));
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    text.push_str(
        "\n## Against the best peer and the floor\n\n\
         Ratios are of medians, ours over theirs, with the interval of 95 % of the bootstrap resamples of the paired repeats. \
         More is better for throughput, less for everything else. The append floor is the better of its two kinds.\n\n",
    );
    table_head(
        text,
        &[
            "benchmark",
            "figure",
            "engine",
            "value",
            "best peer",
            "to best peer",
            "to append floor",
            "to overwrite floor",
        ],
    );
    for row in rows {
        line(text, &row);
    }
}

/// A figure of a repeat.
pub type AnyFigure<'f> = &'f dyn Fn(&RunResult, &Measurement) -> Option<f64>;

fn compare(
    benchmark: &str,
    figure_name: &str,
    subject: &Series<'_>,
    all: &[Series<'_>],
    better: Better,
    figure: AnyFigure<'_>,
) -> Vec<String> {
    let peer = best(all, |series| series.role() == Role::Peer && !series.truncated(), better, figure);
    let append = best(all, |series| series.engine().starts_with("floor-append"), better, figure);
    let overwrite = best(all, |series| series.engine() == "floor-overwrite", better, figure);
    let against = |other: Option<&Series<'_>>| {
        other.and_then(|other| paired_ratio(subject, other, figure)).map_or("-".to_owned(), |ratio| {
            match (ratio.value.is_finite(), ratio.high.is_finite()) {
                (true, true) => interval(&ratio),
                (true, false) => format!("{:.2}", ratio.value),
                (false, _) => "-".to_owned(),
            }
        })
    };
    vec![
        benchmark.to_owned(),
        figure_name.to_owned(),
        subject.engine().to_owned(),
        subject.median(figure).map_or("-".to_owned(), number),
        peer.map_or("-".to_owned(), |peer| peer.engine().to_owned()),
        against(peer),
        against(append),
        against(overwrite),
    ]
}

fn best<'s, 'r>(
    all: &'s [Series<'r>],
    takes_part: impl Fn(&Series<'_>) -> bool,
    better: Better,
    figure: AnyFigure<'_>,
) -> Option<&'s Series<'r>> {
    let sign = if better == Better::More { -1.0 } else { 1.0 };
    all.iter()
        .filter(|series| takes_part(series))
        .filter_map(|series| Some((series.median(figure)? * sign, series)))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, series)| series)
}

/// A ratio with its interval.
#[must_use]
pub fn interval(ratio: &Ratio) -> String {
    format!("{:.2} [{:.2}, {:.2}]", ratio.value, ratio.low, ratio.high)
}

/// The ratio over the repeats that both have, drawn together: they ran beside each other.
#[must_use]
pub fn paired_ratio(above: &Series<'_>, below: &Series<'_>, figure: AnyFigure<'_>) -> Option<Ratio> {
    let pairs: Vec<(f64, f64)> = above
        .measured
        .iter()
        .filter_map(|(repeat, (result, done))| {
            let (other_result, other) = below.measured.get(repeat)?;
            Some((figure(result, done)?, figure(other_result, other)?))
        })
        .collect();
    let (tops, bottoms): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    ratio(&tops, &bottoms, Pairing::Paired)
}

fn failures(text: &mut String, results: &[RunResult]) {
    let failed: Vec<_> = results.iter().filter(|result| result.measurement().is_none()).collect();
    if failed.is_empty() {
        return;
    }
    text.push_str("\n## Failed\n\n");
    for result in failed {
        if let crate::results::Outcome::Failed(message) = &result.outcome {
            let first = message.lines().last().unwrap_or_default();
            let _ =
                writeln!(text, "- {} on {}, repeat {}: {first}", result.benchmark, result.engine.name, result.repeat);
        }
    }
}

/// Three significant digits, and no more places than help.
#[must_use]
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 || value == 0.0 {
        let whole = format!("{value:.0}");
        let digits = whole.trim_start_matches('-').len();
        let mut text = String::new();
        for (place, digit) in whole.trim_start_matches('-').chars().enumerate() {
            if place > 0 && (digits - place).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        if value < 0.0 { format!("-{text}") } else { text }
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 0.01 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Outcome;
    use crate::results::tests::sample;

    fn result(engine: &str, role: Role, repeat: u32, slower: f64) -> RunResult {
        let mut result = sample();
        result.engine.name = engine.to_owned();
        result.engine.role = role;
        result.repeat = repeat;
        if let Outcome::Measured(done) = &mut result.outcome {
            done.elapsed_ns = (done.elapsed_ns as f64 * slower) as u64;
            let latency = &mut done.latency;
            for value in [
                &mut latency.p50_ns,
                &mut latency.p95_ns,
                &mut latency.p99_ns,
                &mut latency.p999_ns,
                &mut latency.max_ns,
            ] {
                *value = (*value as f64 * slower) as u64;
            }
        }
        result
    }

    #[test]
    fn the_subject_is_compared_with_the_best_peer_and_the_better_append_floor() {
        let results: Vec<RunResult> = (0..5)
            .flat_map(|repeat| {
                [
                    result("granite", Role::Subject, repeat, 1.0),
                    result("good", Role::Peer, repeat, 2.0),
                    result("bad", Role::Peer, repeat, 4.0),
                    result("floor-append", Role::Floor, repeat, 0.8),
                    result("floor-append-allocated", Role::Floor, repeat, 0.5),
                ]
            })
            .collect();
        let text = markdown(&results);
        assert!(
            text.contains(
                "| client/b1/w1 | throughput | granite | 10,000 | good | 2.00 [2.00, 2.00] | 0.50 [0.50, 0.50] | - |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| client/b1/w1 | p50 | granite | 95.0 | good | 0.50 [0.50, 0.50] | 2.00 [2.00, 2.00] | - |"),
            "{text}"
        );
    }

    #[test]
    fn a_failure_is_named_and_spoils_nothing_else() {
        let mut failed = result("good", Role::Peer, 0, 1.0);
        failed.outcome = Outcome::Failed("exit status: 1: it broke".to_owned());
        let text = markdown(&[result("granite", Role::Subject, 0, 1.0), failed]);
        assert!(text.contains("client/b1/w1 on good, repeat 0: exit status: 1: it broke"), "{text}");
        assert!(text.contains("| throughput | granite | 10,000 | - | - |"), "{text}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [1_234_567.8, 100.0, 12.345, 1.234, 0.001_234, 0.0].map(number);
        assert_eq!(shown, ["1,234,568", "100", "12.3", "1.23", "0.0012", "0"]);
    }
}
