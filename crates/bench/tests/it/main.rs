//! The program as a user runs it.

mod document;
mod judging;
mod registry;
mod tools;

use std::path::Path;
use std::process::{Command, Output};

fn bench(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench")).current_dir(dir).args(arguments).output().expect("the program starts")
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const SHORT: [&str; 9] = ["--ops", "20", "--repeats", "1", "--scale", "0.001", "--warmup-ops", "2", "--seconds"];

/// Runs `benchmarks` on `engines` and returns what was printed.
fn run(dir: &Path, benchmarks: &[&str], engines: &str, out: &str) -> String {
    let mut arguments = vec!["run"];
    arguments.extend(benchmarks);
    arguments.extend(["--engines", engines, "--dir", "data", "--out", out]);
    arguments.extend(SHORT);
    arguments.push("0.05");
    let output = bench(dir, &arguments);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_run_prints_a_table_leaves_valid_results_and_cleans_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = run(dir.path(), &["machine/memcpy", "durable-put/1"], "machine,floor-*", "out");
    assert!(table.contains("| durable-put/1 | floor-append |"), "{table}");
    assert!(table.contains("| machine/memcpy | machine |"), "{table}");

    let report = bench(dir.path(), &["report", "out"]);
    assert_eq!(String::from_utf8_lossy(&report.stdout), table, "the report differs from what the run printed");
    let csv = bench(dir.path(), &["csv", "out"]);
    assert_eq!(String::from_utf8_lossy(&csv.stdout).lines().count(), 5, "{}", text(&csv));
    let left = std::fs::read_dir(dir.path().join("data")).expect("exists").count();
    assert_eq!(left, 0, "a database was left behind");
}

#[test]
fn a_report_is_a_page_with_a_plot_of_each_benchmark() {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), &["machine/memcpy", "durable-put/1"], "machine,floor-append,granite", "out");
    let report = bench(dir.path(), &["report", "out", "--out", "page"]);
    assert!(report.status.success(), "{}", text(&report));
    let read = |name: &str| {
        std::fs::read(dir.path().join("page").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let page = String::from_utf8(read("index.html")).expect("UTF-8");
    assert!(page.contains("3 repeats passed, 0 failed."), "{page}");
    assert!(page.contains("plots/durable-put.1.svg") && page.contains("plots/machine.memcpy.png"), "{page}");
    let plot = String::from_utf8(read("plots/durable-put.1.svg")).expect("UTF-8");
    assert!(plot.contains("floor-append") && plot.contains("granite"), "{plot}");
    assert_eq!(&read("plots/machine.memcpy.png")[..4], b"\x89PNG");
    assert_eq!(String::from_utf8(read("results.csv")).expect("UTF-8").lines().count(), 4);
    assert_eq!(read("summary.md"), report.stdout);
}

#[test]
fn the_floor_of_the_machine_is_measured_by_itself_and_with_every_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let floor = text(&bench(dir.path(), &["floor"]));
    for figure in ["append of 4 KiB and fdatasync: p50", "sequential write", "memcpy"] {
        assert!(floor.contains(figure), "no {figure} in {floor}");
    }
    let table = run(dir.path(), &["durable-put/1"], "granite", "out");
    assert!(table.contains("- Floor: append of 4 KiB") && table.contains("| x floor |"), "{table}");
}

#[test]
fn numbers_are_taken_by_name_where_a_benchmark_has_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = ["run", "db_bench/readseq", "--engines", "granite", "--ops", "1", "--repeats", "1", "--scale", "1"];
    let with = |rest: &[&str]| bench(dir.path(), &[&start[..], rest].concat());
    let output = with(&["--param", "keys=500", "--param", "value_bytes=10", "--out", "out", "--dir", "data"]);
    assert!(output.status.success(), "{}", text(&output));
    let results = bench::results::read(&dir.path().join("out")).expect("valid");
    let done = results[0].measurement().expect("measured");
    assert_eq!((done.items, done.user_bytes), (500, 500 * 26));
    assert_eq!(results[0].parameters.param["keys"], 500);
    for (param, said) in [("clients=2", "takes keys, value_bytes"), ("keys=many", "no number"), ("keys", "NAME=NUMBER")]
    {
        let output = with(&["--param", param, "--out", "none", "--dir", "data"]);
        assert!(!output.status.success() && text(&output).contains(said), "{}", text(&output));
    }
}

/// Working directories, daemons and stores go their own ways: a benchmark that fails must be seen, and must not hide what the others found.
#[test]
fn a_benchmark_that_fails_is_reported_and_the_others_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = ["timelapse/store-size", "timelapse/hash/4k", "durable-put/1"];
    let mut arguments =
        vec!["run", "--engines", "timelapse,granite", "--history", "nowhere", "--out", "out", "--dir", "data"];
    arguments.extend(names);
    arguments.extend("--ops 2 --warmup-ops 1 --repeats 2 --scale 0.001".split(' '));
    let output = bench(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("2 repeats failed") && said.contains("4 repeats passed, 2 failed."), "{said}");
    assert!(said.contains("- timelapse/store-size on timelapse, repeat 1:") && said.contains("nowhere"), "{said}");
    let results = bench::results::read(&dir.path().join("out")).expect("valid, the failed ones too");
    assert_eq!(results.len(), 6);
}

#[test]
fn what_a_kill_and_a_new_process_leave_is_measured() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = run(dir.path(), &["reopen/", "idle/"], "granite", "out");
    for figure in ["open_to_cold_read_ratio", "idle_private_bytes"] {
        assert!(table.contains(figure), "no {figure} in {table}");
    }
    let gate = bench(dir.path(), &["gate", "out", "out"]);
    assert!(gate.status.success() && text(&gate).contains("3 series compared, 0 regressions"), "{}", text(&gate));
}

/// `cargo test --workspace` builds `tl` beside this program; tests of this package alone may come without it, and then the failure says what to do.
#[test]
fn the_program_is_measured_with_a_daemon_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = ["start-up", "status-100k", "flush-10k", "soak"].map(|name| format!("timelapse/program/{name}"));
    let mut arguments = vec!["run"];
    arguments.extend(names.iter().map(String::as_str));
    arguments.extend("--engines timelapse,git --dir data --out out --ops 3 --warmup-ops 1 --repeats 1".split(' '));
    arguments.extend(["--scale", "0.001", "--seconds", "3"]);
    let output = bench(dir.path(), &arguments);
    if !Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("tl").exists() {
        assert!(!output.status.success() && text(&output).contains("cargo build --release -p tl"), "{}", text(&output));
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let csv = text(&bench(dir.path(), &["csv", "out"]));
    for (name, engine) in names.iter().take(3).flat_map(|name| [(name, "timelapse"), (name, "git")]) {
        assert!(csv.contains(&format!("{name},{engine},")), "{name} did not run on {engine}: {csv}");
    }
}

/// Without `--ops` the clock alone ends it: a flood that made nothing, or never ended, would look like a good one.
#[test]
fn a_flood_by_the_clock_makes_events_and_all_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = "run timelapse/events --engines timelapse --dir data --out out --repeats 1 --seconds 0.3";
    let output = bench(dir.path(), &arguments.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", text(&output));
    let csv = text(&bench(dir.path(), &["csv", "out"]));
    let (_, read) = csv.split_once("events_read=").expect("a figure");
    let read: u64 = read.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    assert!(read > 0, "{csv}");
}

#[test]
fn results_are_not_mixed_with_those_of_another_run() {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), &["machine/memcpy"], "machine", "out");
    let again = bench(dir.path(), &["run", "machine/memcpy", "--out", "out", "--ops", "1", "--repeats", "1"]);
    assert!(!again.status.success() && text(&again).contains("--replace"), "{}", text(&again));
}

#[test]
fn what_matches_nothing_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    for (arguments, word) in [
        (["run", "nothing/here", "--engines", "machine"], "no benchmark matches"),
        (["run", "machine/memcpy", "--engines", "nobody"], "no engine matches"),
        (["run", "machine/memcpy", "--repeats", "0"], "must be positive"),
    ] {
        let output = bench(dir.path(), &arguments);
        assert!(!output.status.success() && text(&output).contains(word), "{}", text(&output));
    }
    let output = bench(dir.path(), &["report", "absent"]);
    assert!(!output.status.success() && text(&output).contains("cannot read absent"), "{}", text(&output));
}
