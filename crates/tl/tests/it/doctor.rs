//! `tl doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::place::Place;

fn verdict<'a>(checks: &'a Value, name: &str) -> &'a str {
    let found = checks.as_array().unwrap().iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {checks}"))["verdict"].as_str().unwrap()
}

#[test]
fn everything_is_well() {
    let place = Place::protected();
    let checks = place.json(&["doctor"]);
    for name in ["permissions", "sockets", "store", "daemon", "clock"] {
        assert_eq!(verdict(&checks, name), "good", "{checks}");
    }
}

/// If it fails, a person is told that all is well while nothing is captured, or while others can read everything.
#[test]
fn what_is_wrong_is_found() {
    let place = Place::protected();
    place.json(&["stop"]);
    fs::set_permissions(place.beside("state/timelapse"), fs::Permissions::from_mode(0o755)).unwrap();
    let ended = place.run(&["--json", "doctor"]).code(3);
    let checks = ended.json();
    assert_eq!((verdict(&checks, "daemon"), verdict(&checks, "permissions")), ("bad", "bad"));
    fs::set_permissions(place.beside("state/timelapse"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn outside_of_every_project_it_still_looks() {
    let place = Place::new();
    let checks = place.json(&["doctor"]);
    assert_eq!(verdict(&checks, "directory"), "warning");
}

/// If it fails, a store on a disk from elsewhere is used unchecked, or cannot be used at all.
#[test]
fn a_store_from_elsewhere_is_checked_and_taken_in() {
    let theirs = Place::new();
    theirs.write("file", "content");
    theirs.json(&["init", "--in-tree"]);
    let flushed = theirs.json(&["flush"]);
    theirs.json(&["stop"]);
    let ours = Place::new();
    fs::remove_dir(ours.project()).unwrap();
    fs::rename(theirs.project(), ours.project()).unwrap();
    ours.run(&["status"]).code(2).says(&["tl doctor --adopt"]);
    let adopted = ours.json(&["doctor", "--adopt"]);
    assert_eq!(adopted["root"], ours.project().to_str().unwrap());
    assert_eq!(ours.json(&["status"])["head"]["id"], flushed["id"]);
}
