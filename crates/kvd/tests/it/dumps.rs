//! dump-sstable, dump-wal, dump-manifest

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Ended, Place};

fn files(database: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(database)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Three keys in a table, one of them with a large value, and a delete that is in the log only.
fn place() -> Place {
    let place = Place::new();
    place.run_with(&["batch"], b"put a 1\nput b two\\x20words\n").ok();
    place.run_with(&["put", "large", "-"], &[b'x'; 5000]).ok();
    place.run(&["compact"]).ok();
    place.run(&["del", "a"]).ok();
    place
}

#[test]
fn a_table_is_shown_with_its_properties_and_entries() {
    let place = place();
    let table = &files(&place.database(), "sst")[0];
    let dump = place.run(&["dump-sstable", table.to_str().unwrap(), "--blocks"]).ok();
    for line in ["entries: 3", "deletes: 0", "smallest: a", "largest: large", "a @1 put 1", "b @2 put two words"] {
        assert!(dump.text().lines().any(|found| found == line), "{line}: {dump:?}");
    }
    assert!(dump.text().contains("large @3 put 5000 bytes in segment "), "{dump:?}");
    assert!(dump.text().contains("block: data at byte "), "{dump:?}");
    let json = objects(&place.run(&["dump-sstable", table.to_str().unwrap(), "--json"]).ok());
    assert_eq!(json[0]["table"]["properties"]["entries"], 3);
    assert_eq!(json[2]["entry"], serde_json::json!({ "key": "b", "seq": 2, "kind": "put", "value": "two words" }));
    assert_eq!(json[3]["entry"]["kind"], "put_separated");
    let summary = place.run(&["dump-sstable", table.to_str().unwrap(), "--summary"]).ok();
    assert!(!summary.text().contains("@2 put"), "{summary:?}");
}

#[test]
fn a_segment_is_shown_record_by_record() {
    let place = Place::new();
    place.run_with(&["batch", "--every", "2"], b"put a 1\nput b 2\ndel a\n").ok();
    let segment = &files(&place.database(), "seg")[0];
    let dump = place.run(&["dump-wal", segment.to_str().unwrap()]).ok();
    for part in
        ["of log, incarnation ", "2 operations from @1", "1 operations from @3", ": a @1 put 1\n", ": a @3 del\n"]
    {
        assert!(dump.text().contains(part), "{part}: {dump:?}");
    }
    let json = objects(&place.run(&["dump-wal", segment.to_str().unwrap(), "--json"]).ok());
    assert_eq!(json[0]["segment"]["kind"], "log");
    assert_eq!(json[1]["record"]["operations"][1]["key"], "b");
}

#[test]
fn a_manifest_is_shown_with_its_edits_and_what_they_add_up_to() {
    let place = place();
    let dump = place.run(&["dump-manifest"]).ok();
    for part in
        ["create keyspace ", "add table ", "\"default\": in tables up to @3; any keys", "3 entries", "keys a to large"]
    {
        assert!(dump.text().contains(part), "{part}: {dump:?}");
    }
    let json = place.run(&["dump-manifest", "--json", "--summary"]).ok().json();
    assert_eq!(json["keyspaces"][0]["tables"][0]["entries"], 3);
    assert_eq!(json["keyspaces"][0]["tables"][0]["largest"], "large");
    assert!(json.get("records").is_none());
    let named = place.run(&["dump-manifest", place.database().join("MANIFEST").to_str().unwrap()]).ok();
    assert_eq!(named.stdout, dump.stdout);
}

/// If it fails, damage ends the dump, so that nobody sees what is behind it, or passes for health.
#[test]
fn dumps_go_on_behind_damage_and_tell_of_it() {
    let place = Place::new();
    place.run_with(&["batch", "--every", "1"], b"put a first-value\nput b second-value\nput c third-value\n").ok();
    let segment = files(&place.database(), "seg")[0].clone();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.windows(12).position(|window| window == b"second-value").unwrap();
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let dump = place.run(&["dump-wal", segment.to_str().unwrap()]).code(3);
    assert!(dump.text().contains("its checksum fails"), "{dump:?}");
    assert!(dump.text().contains("c @3 put third-value"), "{dump:?}");
    assert!(dump.stderr.contains("is damaged in 1 places"), "{dump:?}");
    let json = objects(&place.run(&["dump-wal", segment.to_str().unwrap(), "--json"]).code(3));
    assert_eq!(json[2]["record"]["intact"], false);
}

#[test]
fn a_file_that_is_not_there_is_a_failure_of_the_system() {
    let place = Place::new();
    for command in ["dump-sstable", "dump-wal", "dump-manifest"] {
        place.run(&[command, place.beside("nothing").to_str().unwrap()]).code(5);
    }
}
