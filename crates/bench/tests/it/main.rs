//! The program as a user runs it.

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
fn what_a_kill_and_a_new_process_leave_is_measured() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = run(dir.path(), &["reopen/", "idle/"], "granite", "out");
    for figure in ["open_to_cold_read_ratio", "idle_private_bytes"] {
        assert!(table.contains(figure), "no {figure} in {table}");
    }
    let gate = bench(dir.path(), &["gate", "out", "out"]);
    assert!(gate.status.success() && text(&gate).contains("3 series compared, 0 regressions"), "{}", text(&gate));
}

/// Every benchmark of Timelapse's libraries, those that run only by their names too, on everybody that it compares.
#[test]
fn timelapse_is_measured_beside_git_and_the_floor() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut arguments =
        "run timelapse/ --engines timelapse,git,floor-append --dir data --out out".split(' ').collect::<Vec<_>>();
    let large = ["checkpoint", "checkpoint-flatness", "first-checkpoint"].map(|name| format!("timelapse/{name}/1m"));
    arguments.splice(2..2, large.iter().map(String::as_str));
    arguments.extend("--ops 4 --warmup-ops 1 --repeats 1 --scale 0.001 --seconds 0.05".split(' '));
    let output = bench(dir.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output));
    let list = text(&bench(dir.path(), &["--list"]));
    let csv = text(&bench(dir.path(), &["csv", "out"]));
    let is_measured = |name: &&str| name.starts_with("timelapse/") && !name.starts_with("timelapse/program/");
    for name in list.split_whitespace().filter(is_measured) {
        assert!(csv.contains(&format!("{name},timelapse,")), "{name} left no result in {csv}");
    }
    for (name, engine) in [
        ("checkpoint/1k", "git"),
        ("first-checkpoint/1m", "floor-append"),
        ("store-size", "git"),
        ("restore/1k", "git"),
    ] {
        assert!(csv.contains(&format!("timelapse/{name},{engine},")), "{name} did not run on {engine}: {csv}");
    }
    let left = std::fs::read_dir(dir.path().join("data")).expect("exists").count();
    assert_eq!(left, 0, "a working directory was left behind");

    let output = bench(dir.path(), &["run", "timelapse/checkpoint/*m", "--engines", "timelapse", "--out", "none"]);
    assert!(
        text(&output).contains("no benchmark matches"),
        "a pattern chose what only its name may: {}",
        text(&output)
    );
}

/// `cargo test --workspace` builds `tl` beside this program; tests of this package alone may come without it, and then the failure says what to do.
#[test]
fn the_program_is_measured_with_a_daemon_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = ["start-up", "status-100k", "flush-10k"].map(|name| format!("timelapse/program/{name}"));
    let mut arguments = vec!["run"];
    arguments.extend(names.iter().map(String::as_str));
    arguments.extend("--engines timelapse,git --dir data --out out --ops 3 --warmup-ops 1 --repeats 1".split(' '));
    arguments.extend(["--scale", "0.001"]);
    let output = bench(dir.path(), &arguments);
    if !Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("tl").exists() {
        assert!(!output.status.success() && text(&output).contains("cargo build --release -p tl"), "{}", text(&output));
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let csv = text(&bench(dir.path(), &["csv", "out"]));
    for (name, engine) in names.iter().flat_map(|name| [(name, "timelapse"), (name, "git")]) {
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

#[test]
fn the_list_names_benchmarks_and_engines() {
    let dir = tempfile::tempdir().expect("a directory");
    let list = text(&bench(dir.path(), &["--list"]));
    for name in
        ["client/b256/w16", "client-present/95/b256", "db_bench/readmissing", "ycsb/f", "idle/1m", "floor-append"]
    {
        assert!(list.contains(name), "{name} is not in {list}");
    }
}
