//! Comparisons and the gate, as their users run them: exit codes, files, directories, exceptions.

use std::fs;
use std::path::Path;

use crate::{bench, run, text};

/// Results of one short run, and the same with `edit` applied to each file.
fn before_and_after(dir: &Path, edit: impl Fn(&mut serde_json::Value)) {
    run(dir, &["durable-put/1"], "granite,floor-append", "before");
    fs::create_dir(dir.join("after")).expect("created");
    for entry in fs::read_dir(dir.join("before")).expect("there") {
        let path = entry.expect("an entry").path();
        let mut result: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        edit(&mut result);
        let path = dir.join("after").join(path.file_name().expect("a name"));
        fs::write(path, result.to_string()).expect("written");
    }
}

fn one_more_sync(result: &mut serde_json::Value) {
    let done = &mut result["outcome"]["measured"];
    let more = done["cost"]["syncs"].as_u64().expect("counted") + done["operations"].as_u64().expect("counted");
    done["cost"]["syncs"] = more.into();
}

#[test]
fn a_counter_that_rose_closes_the_gate_and_one_that_fell_does_not() {
    let dir = tempfile::tempdir().expect("a directory");
    before_and_after(dir.path(), one_more_sync);
    let worse = bench(dir.path(), &["gate", "before", "after"]);
    assert_eq!(worse.status.code(), Some(2), "{}", text(&worse));
    assert!(
        text(&worse).contains("worse: durable-put/1 on granite: 2.000 syncs per operation, 1.000 before"),
        "{}",
        text(&worse)
    );
    let better = bench(dir.path(), &["gate", "after", "before", "--counters"]);
    assert_eq!(better.status.code(), Some(0), "{}", text(&better));
    assert!(text(&better).contains("1 series compared, 0 regressions"), "{}", text(&better));
}

#[test]
fn directories_and_single_files_are_compared_with_everybody_in_them() {
    let dir = tempfile::tempdir().expect("a directory");
    before_and_after(dir.path(), one_more_sync);
    let all = text(&bench(dir.path(), &["compare", "before", "after"]));
    for row in [
        "| durable-put/1 | granite | syncs | 1.000 | 2.000 | 2.000 | worse |",
        "| durable-put/1 | floor-append | syncs |",
    ] {
        assert!(all.contains(row), "no {row} in {all}");
    }
    let file = "durable-put.1--granite--r00.json";
    let one = bench(dir.path(), &["compare", &format!("before/{file}"), &format!("after/{file}")]);
    assert!(one.status.success() && text(&one).contains("1 series compared"), "{}", text(&one));
}

#[test]
fn a_foreign_file_among_results_is_an_error_that_names_the_field() {
    let dir = tempfile::tempdir().expect("a directory");
    before_and_after(dir.path(), |result| result["repeat"] = (-1).into());
    for command in ["gate", "compare"] {
        let output = bench(dir.path(), &[command, "before", "after"]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("/repeat: -1"), "{}", text(&output));
    }
    fs::write(dir.path().join("before/package.json"), "{\"name\": \"something else\"}").expect("written");
    let output = bench(dir.path(), &["gate", "before", "before"]);
    assert!(text(&output).contains("package.json") && text(&output).contains("schema_version"), "{}", text(&output));
}

#[test]
fn a_baseline_brings_its_exceptions_along() {
    let dir = tempfile::tempdir().expect("a directory");
    before_and_after(dir.path(), one_more_sync);
    let exception = |until: &str| {
        let text = format!(
            "[[exception]]\nbenchmark = \"durable-put/1\"\nengine = \"granite\"\nfigure = \"syncs\"\nlimit_ratio = 2.0\n\
             reason = \"the directory is synced too, until names are kept\"\nuntil = \"{until}\"\n"
        );
        fs::write(dir.path().join("before/exceptions.toml"), text).expect("written");
        bench(dir.path(), &["gate", "before", "after"])
    };
    let allowed = exception("9999-12-31");
    assert!(allowed.status.success(), "{}", text(&allowed));
    assert!(text(&allowed).contains("(the directory is synced too, until names are kept)"), "{}", text(&allowed));
    let ended = exception("2020-01-01");
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended));
    assert!(
        text(&ended).contains("exceptions.toml: the exception for durable-put/1 on granite ended"),
        "{}",
        text(&ended)
    );
}

/// What `.ci/run` does: the committed baseline is whole, and belongs to the benchmarks as they are.
#[test]
fn the_committed_baseline_is_of_what_the_ci_profile_runs() {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let baseline = Path::new(&package).join("../../bench/baselines/ci");
    let results = bench::results::read(&baseline).expect("valid");
    for benchmark in bench::workload::registry() {
        let of_it: Vec<_> = results.iter().filter(|result| result.benchmark == benchmark.name).collect();
        assert_eq!(
            !of_it.is_empty(),
            benchmark.ci_operations.is_some(),
            "{}: capture the baseline again",
            benchmark.name
        );
        for result in of_it {
            assert_eq!(result.parameters.operations, benchmark.ci_operations, "{}", benchmark.name);
        }
    }
}
