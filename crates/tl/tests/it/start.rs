//! `tl start` and `tl stop`.

use std::fs;

use crate::place::Place;

/// If it fails, two daemons record the same directory, or none does.
#[test]
fn one_daemon_runs_until_it_is_stopped() {
    let place = Place::protected();
    let pid = place.json(&["status"])["daemon"].as_u64().unwrap();
    assert_eq!(place.json(&["start"])["daemon"], pid);
    assert_eq!(place.json(&["stop"])["stopped"], pid);
    assert!(place.json(&["stop"])["stopped"].is_null());
    assert!(place.json(&["status"])["daemon"].is_null());
    let again = place.json(&["start"])["daemon"].as_u64().unwrap();
    assert_ne!(again, pid);
}

/// If it fails, what is written just before the end is lost until the next start.
#[test]
fn the_end_records_what_is_left() {
    let place = Place::protected();
    let before = place.json(&["flush"]);
    place.write("last", "words");
    place.json(&["stop"]);
    let head = &place.json(&["status"])["head"];
    assert_ne!(head["id"], before["id"]);
    assert_eq!(head["files_added"], 1);
}

#[test]
fn a_directory_that_is_gone_is_not_watched() {
    let place = Place::protected();
    let id = place.json(&["info"])["id"].as_str().unwrap().to_owned();
    place.json(&["stop"]);
    fs::remove_dir_all(place.project()).unwrap();
    place.run(&["--store", &id, "start"]).code(2).says(&["is gone", "tl restore"]);
}
