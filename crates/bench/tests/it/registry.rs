//! The names that results are compared by, and what stands behind each.

use std::collections::BTreeSet;

use bench::results::{self, RunResult};
use bench::workload::{Benchmark, Suite, registry};

use crate::{bench, text};

/// A name that changes, or means something else, makes every older result worthless: it is only added or removed on purpose, here.
#[test]
fn the_names_of_the_benchmarks_are_the_committed_ones() {
    let committed: BTreeSet<&str> = include_str!("../../../../bench/benchmarks.txt").lines().collect();
    let registered = registry();
    let names: BTreeSet<&str> = registered.iter().map(|benchmark| benchmark.name.as_str()).collect();
    assert_eq!(names.len(), registered.len(), "two benchmarks have one name");
    let added: Vec<_> = names.difference(&committed).collect();
    let gone: Vec<_> = committed.difference(&names).collect();
    assert!(
        added.is_empty() && gone.is_empty(),
        "bench/benchmarks.txt lacks {added:?} and has {gone:?}, which are not there"
    );
}

#[test]
fn the_list_shows_every_benchmark_under_its_suite_and_every_engine() {
    let dir = tempfile::tempdir().expect("a directory");
    let list = text(&bench(dir.path(), &["--list"]));
    for suite in Suite::ALL {
        let head = format!("{}: {}\n", suite.name(), suite.about());
        let (_, behind) = list.split_once(&head).unwrap_or_else(|| panic!("no {head} in {list}"));
        for benchmark in registry().iter().filter(|benchmark| benchmark.suite == suite) {
            let line = format!("  {} ", benchmark.name);
            let line = behind.lines().take_while(|line| line.starts_with("  ")).find(|found| found.starts_with(&line));
            assert!(line.is_some_and(|line| line.contains(&benchmark.about)), "{} is not in {list}", benchmark.name);
        }
    }
    for name in ["floor-append", "granite", "timelapse", "git", "jj"] {
        assert!(list.contains(&format!("  {name} ")), "{name} is not in {list}");
    }
}

/// Every benchmark, those that run only by their names too, on everybody that it compares. Those of the program `tl` have a test of their own.
#[test]
fn every_benchmark_emits_one_valid_file_per_repeat() {
    let dir = tempfile::tempdir().expect("a directory");
    let is_measured = |benchmark: &&Benchmark| !benchmark.name.starts_with("timelapse/program/");
    let registered = registry();
    let names: Vec<&str> = registered.iter().filter(is_measured).map(|benchmark| benchmark.name.as_str()).collect();
    let mut arguments = vec!["run"];
    arguments.extend(&names);
    arguments.extend("--engines machine,granite,timelapse,git,floor-append --dir data --out out".split(' '));
    // Of the ci profile, which does not wait for a quiet disk, nothing is left but that.
    arguments.extend("--profile ci --ops 4 --warmup-ops 1 --repeats 1 --scale 0.001 --seconds 0.05".split(' '));
    let output = bench(dir.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output));
    let files = std::fs::read_dir(dir.path().join("out")).expect("there").count();
    let results = results::read(&dir.path().join("out")).expect("all are valid");
    assert_eq!(results.len(), files, "not every file is a result");
    for name in names {
        let of_it: Vec<&RunResult> = results.iter().filter(|result| result.benchmark == name).collect();
        let engines: BTreeSet<&str> = of_it.iter().map(|result| result.engine.name.as_str()).collect();
        assert!(!of_it.is_empty() && engines.len() == of_it.len(), "{name} left {} files of {engines:?}", of_it.len());
        assert!(of_it.iter().all(|result| result.measurement().is_some_and(|done| done.operations > 0)), "{name}");
    }
    for (name, engine) in [
        ("checkpoint/1k", "git"),
        ("first-checkpoint/1m", "floor-append"),
        ("store-size", "git"),
        ("restore/1k", "git"),
    ] {
        let ran = |result: &RunResult| result.benchmark == format!("timelapse/{name}") && result.engine.name == engine;
        assert!(results.iter().any(ran), "{name} did not run on {engine}");
    }
    let left = std::fs::read_dir(dir.path().join("data")).expect("exists").count();
    assert_eq!(left, 0, "a database or a working directory was left behind");

    let output = bench(dir.path(), &["run", "timelapse/checkpoint/*m", "--engines", "timelapse", "--out", "none"]);
    assert!(
        text(&output).contains("no benchmark matches"),
        "a pattern chose what only its name may: {}",
        text(&output)
    );
}
