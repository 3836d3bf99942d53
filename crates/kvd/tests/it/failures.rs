//! Exit codes and what is said.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use crate::program::Place;

#[test]
fn wrong_usage_is_told_with_a_hint() {
    let place = Place::new();
    place.run(&["frobnicate"]).code(2);
    place.run(&["get"]).code(2);
    place.run(&["put", "k", "v", "--hex"]).code(2);
    place.run(&["put", "", "v"]).code(2);
    place.run(&["scan", "--hex", "--raw"]).code(2);
    place.run(&["get", "k", "--memory", "5"]).code(2);
    let nowhere = place.run(&["get", "k"]).code(2);
    assert!(nowhere.stderr.contains("hint: `kvd --db DIR put KEY VALUE` creates a database"), "{nowhere:?}");
    assert!(!place.database().exists(), "a command that failed, or only reads, created a database");
    let unnamed = std::process::Command::new(env!("CARGO_BIN_EXE_kvd")).args(["get", "k"]).output().unwrap();
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(String::from_utf8(unnamed.stderr).unwrap().contains("say --db DIR"));
}

/// If it fails, kvd takes a database away from a program that has it open, or says something that does not help.
#[test]
fn a_database_that_is_open_elsewhere_is_left_alone() {
    let place = Place::new();
    let mut holder = place.command(&["batch", "--every", "1", "--ack"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = holder.stdin.take().unwrap();
    stdin.write_all(b"put a 1\n").unwrap();
    let mut acknowledged = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut acknowledged).unwrap();
    for command in [&["get", "a"][..], &["put", "a", "2"], &["scan"], &["stats"], &["compact"], &["diag"]] {
        let locked = place.run(command).code(4);
        assert!(locked.stderr.contains("open elsewhere"), "{locked:?}");
        assert!(locked.stderr.contains("hint: "), "{locked:?}");
    }
    let json = place.run(&["get", "a", "--json"]).code(4);
    let error: serde_json::Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!(error["exit_code"], 4);
    drop(stdin);
    holder.wait().unwrap();
    assert_eq!(place.run(&["get", "a"]).ok().text(), "1\n");
}

/// If it fails, damage passes for a usual failure, or worse, for health.
#[test]
fn damage_has_an_exit_code_of_its_own() {
    let place = Place::new();
    place.run(&["put", "a", "1"]).ok();
    let manifest = place.database().join("MANIFEST");
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[3] ^= 1;
    fs::write(&manifest, bytes).unwrap();
    let damaged = place.run(&["get", "a"]).code(3);
    assert!(damaged.stderr.contains("MANIFEST"), "{damaged:?}");
    assert!(damaged.stderr.contains("kvd verify"), "{damaged:?}");
}

#[test]
fn a_system_failure_has_an_exit_code_of_its_own() {
    let place = Place::new();
    fs::create_dir(place.database()).unwrap();
    fs::create_dir(place.database().join("MANIFEST")).unwrap();
    place.run(&["put", "a", "1"]).code(5);
}

/// If it fails, a directory with somebody's files in it becomes a database.
#[test]
fn a_directory_of_other_files_is_not_taken() {
    let place = Place::new();
    fs::create_dir(place.database()).unwrap();
    fs::write(place.database().join("letter.txt"), "dear reader").unwrap();
    place.run(&["put", "a", "1"]).code(2);
    assert_eq!(fs::read_dir(place.database()).unwrap().count(), 1);
}

/// Zeroes a value and everything behind it in the file that holds it.
fn cut_log_at(database: &Path, value: &[u8]) {
    let mut cut = 0;
    for path in fs::read_dir(database).unwrap().map(|entry| entry.unwrap().path()) {
        let mut bytes = fs::read(&path).unwrap();
        if let Some(start) = bytes.windows(value.len()).position(|window| window == value) {
            bytes[start..].fill(0);
            fs::write(&path, bytes).unwrap();
            cut += 1;
        }
    }
    assert_eq!(cut, 1);
}

/// If it fails, a program that was killed while it wrote leaves a database that kvd cannot open, or that `strict` takes for whole.
#[test]
fn a_torn_tail_is_dropped_or_with_strict_refused() {
    let place = Place::new();
    let mut killed = place.command(&["batch", "--every", "1", "--ack"]).stdin(Stdio::piped()).spawn().unwrap();
    killed.stdin.as_mut().unwrap().write_all(b"put a 1\nput b the-last-value\n").unwrap();
    let acknowledged = BufReader::new(killed.stdout.take().unwrap()).lines().take(2).count();
    assert_eq!(acknowledged, 2);
    killed.kill().unwrap();
    killed.wait().unwrap();
    // What a loss of power could have left, had the second batch not been synced yet.
    cut_log_at(&place.database(), b"the-last-value");
    place.run(&["scan", "--recovery", "strict"]).code(3);
    assert_eq!(place.run(&["scan"]).ok().text(), "a 1\n");
    let stats = place.run(&["stats"]).ok();
    assert!(stats.text().contains("torn tail: dropped from segment"), "{stats:?}");
    let diag = place.run(&["diag", "--json"]).ok().json();
    assert_eq!(diag["warnings"].as_array().unwrap().len(), 1, "{diag}");
}

/// If it fails, acknowledged writes vanish without a word, or what is left of them cannot be had.
#[test]
fn damage_of_the_log_is_refused_and_with_salvage_told() {
    let place = Place::new();
    place.run_with(&["batch", "--every", "1"], b"put a 1\nput b the-last-value\n").ok();
    cut_log_at(&place.database(), b"the-last-value");
    for mode in ["strict", "tail"] {
        place.run(&["scan", "--recovery", mode]).code(3);
    }
    let salvaged = place.run(&["scan", "--recovery", "salvage"]).ok();
    assert_eq!(salvaged.text(), "a 1\n");
    assert!(salvaged.stderr.contains("kvd: lost: the operations 2 to"), "{salvaged:?}");
}
