//! Tools that are installed on some machines only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::text;

/// What `bench --list` and a run see of `jj` with a program of that name on the path.
const STAND_IN: &str = r#"#!/bin/sh
case "$*" in
  --version) echo "jj 0.99.0-test" ;;
  *"git init"*) mkdir .jj ;;
  *commit*) test -d .jj ;;
  *diff*) ;;
  *) exit 9 ;;
esac
"#;

fn bench_with_path(dir: &std::path::Path, path: &str, arguments: &str) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.current_dir(dir).env("PATH", path).args(arguments.split(' '));
    command.output().expect("the program starts")
}

#[test]
fn jj_takes_part_where_it_is_on_the_path_and_is_missed_only_by_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let tools = dir.path().join("tools");
    fs::create_dir(&tools).expect("created");
    let system = "/usr/bin:/bin";
    let run = "run timelapse/checkpoint/1k timelapse/first-checkpoint/1k --ops 2 --warmup-ops 1 --repeats 1 --scale 0.01 --dir data --replace";

    let absent = tools.to_str().expect("UTF-8");
    let list = text(&bench_with_path(dir.path(), absent, "--list"));
    assert!(list.contains("Peer absent: defaults, its repository inside"), "{list}");
    let missed = bench_with_path(dir.path(), absent, &format!("{run} --engines jj"));
    assert!(!missed.status.success() && text(&missed).contains("jj is not installed"), "{}", text(&missed));

    let program = tools.join("jj");
    fs::write(&program, STAND_IN).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made a program");
    let path = format!("{}:{system}", tools.display());
    let list = text(&bench_with_path(dir.path(), &path, "--list"));
    assert!(list.contains("Peer 0.99.0-test: defaults, its repository inside"), "{list}");
    let measured = bench_with_path(dir.path(), &path, &format!("{run} --engines jj,timelapse --out out"));
    assert!(measured.status.success(), "{}", text(&measured));
    for name in ["timelapse/checkpoint/1k", "timelapse/first-checkpoint/1k"] {
        assert!(text(&measured).contains(&format!("| {name} | jj |")), "{}", text(&measured));
    }
}
