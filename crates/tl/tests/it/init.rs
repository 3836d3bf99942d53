//! `tl init`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use serde_json::Value;

use crate::place::{Ended, Place};

fn done(init: &Value) -> &str {
    init["done"].as_str().unwrap()
}

/// If it fails, `git clean` can take a project's history along, or others can read it.
#[test]
fn the_store_is_outside_of_the_tree_and_private() {
    let place = Place::new();
    place.write("file", "content");
    let init = place.json(&["init"]);
    assert_eq!((done(&init), init["form"].as_str()), ("created", Some("outside")));
    assert_eq!(init["root"], place.project().to_str().unwrap());
    assert_eq!((&init["checkpoint"]["complete"], &init["daemon"].is_u64()), (&true.into(), &true));
    let store = place.beside("state/timelapse/stores").join(init["store"].as_str().unwrap());
    assert_eq!(init["path"], store.to_str().unwrap());
    assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o700);
    let marker = format!("{}\n", init["store"].as_str().unwrap());
    assert_eq!(place.read(".tl"), marker.as_bytes());
    // Once more is no mistake, and nothing happens.
    assert_eq!(done(&place.json(&["init"])), "present");
}

/// If it fails, a person is not told what was done.
#[test]
fn people_are_told_what_was_done() {
    let place = Place::new();
    place.write("file", "content");
    let ended = place.run(&["init"]).ok();
    for word in ["protected", "recorded as", "the history is in", "captures every save"] {
        assert!(ended.text().contains(word), "{word}: {}", ended.text());
    }
}

/// If it fails, a slip of the finger records a home directory or a whole system.
#[test]
fn what_nobody_means_to_protect_is_refused_with_the_reason() {
    let place = Place::new();
    place.run(&["init", "/"]).code(2).says(&["whole system", "--force"]);
    let home = place.beside("home");
    let home = home.to_str().unwrap();
    place.run(&["init", home]).code(2).says(&["is your home directory", "--force"]);
    let above = place.beside(".");
    place.run(&["init", above.to_str().unwrap()]).code(2).says(&["holds your home directory", "--force"]);
    place.run(&["init", "nowhere"]).code(1).says(&["nowhere"]);
    assert_eq!(place.json(&["stores"]), serde_json::json!([]));
    assert_eq!(done(&place.json(&["init", "--force", home])), "created");
}

/// If it fails, a store records its own growth for ever.
#[test]
fn a_directory_that_holds_the_stores_leaves_them_out() {
    let place = Place::new();
    let above = place.beside(".").canonicalize().unwrap();
    place.write("file", "content");
    let init = place.json(&["init", "--force", above.to_str().unwrap()]);
    assert!(init["notes"][0].as_str().unwrap().contains(".tlignore"), "{init}");
    assert_eq!(fs::read_to_string(above.join(".tlignore")).unwrap(), "/state/timelapse/\n");
}

#[test]
fn a_directory_in_a_protected_one_is_refused() {
    let place = Place::protected();
    place.run(&["init", "src"]).code(2).says(&["protected already", "--force"]);
    assert_eq!(done(&place.json(&["init", "--force", "src"])), "created");
}

#[test]
fn a_store_in_the_tree() {
    let place = Place::new();
    place.write("file", "content");
    let init = place.json(&["init", "--in-tree"]);
    assert_eq!(init["form"], "in-tree");
    assert_eq!(init["path"], place.project().join(".tl").to_str().unwrap());
    assert!(place.project().join(".tl/db").is_dir());
    assert_eq!(place.json(&["status"])["files"], 1, "the store is no part of what it records");
}

/// If it fails, a copy of a project writes into the history of the original, or begins without a history.
#[test]
fn a_copy_gets_a_store_of_its_own_with_the_same_history() {
    let place = Place::protected();
    let first = place.json(&["flush"]);
    let (from, copy) = (place.project(), place.beside("copy"));
    assert!(Command::new("cp").arg("-a").arg(&from).arg(&copy).status().unwrap().success());
    let copy = copy.to_str().unwrap();
    place.run(&["-C", copy, "status"]).code(2).says(&["--adopt"]);
    let init = place.json(&["init", "--adopt", copy]);
    assert_eq!(done(&init), "adopted");
    let original = place.json(&["status"])["store"]["id"].clone();
    assert_ne!(init["store"], original);
    assert_eq!(init["checkpoint"]["root"], first["root"]);
    place.write("only-here", "");
    place.json(&["flush"]);
    assert_eq!(place.json(&["-C", copy, "flush"])["root"], first["root"]);
    place.run(&["init", "--adopt"]).code(2).says(&["of its own already"]);
}

/// If it fails, a project that was moved has lost its history.
#[test]
fn a_moved_project_needs_nothing() {
    let place = Place::protected();
    let before = place.json(&["flush"]);
    place.json(&["stop"]);
    let moved = place.beside("moved");
    fs::rename(place.project(), &moved).unwrap();
    let status = place.json(&["-C", moved.to_str().unwrap(), "status"]);
    assert_eq!((&status["head"]["id"], &status["root"]), (&before["id"], &moved.to_str().unwrap().into()));
}

/// If it fails, the history of a directory that is gone cannot go on anywhere.
#[test]
fn a_store_whose_directory_is_gone_goes_on_elsewhere() {
    let place = Place::protected();
    let before = place.json(&["flush"]);
    let id = place.json(&["info"])["id"].as_str().unwrap().to_owned();
    let new = place.beside("new");
    fs::create_dir(&new).unwrap();
    place.run(&["--store", &id, "init", new.to_str().unwrap()]).code(2);
    place.json(&["stop"]);
    fs::remove_dir_all(place.project()).unwrap();
    let init = place.json(&["--store", &id, "init", new.to_str().unwrap()]);
    assert_eq!((done(&init), init["store"].as_str()), ("reattached", Some(&*id)));
    assert_ne!(init["checkpoint"]["id"], before["id"], "the empty directory is a state of its own");
}

/// If it fails, an unreadable file or a pipe stops everything, or is forgotten silently.
#[test]
fn what_cannot_be_recorded_is_named() {
    let place = Place::new();
    place.write("open", "content");
    place.write("closed", "secret");
    assert!(Command::new("mkfifo").arg(place.project().join("pipe")).status().unwrap().success());
    fs::set_permissions(place.project().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let ended = place.run(&["init"]).ok();
    assert!(ended.text().contains("pipe (special)"), "{}", ended.text());
    // Permissions hold root back from nothing.
    if fs::read(place.project().join("closed")).is_err() {
        assert!(ended.text().contains("closed (permission-denied)"), "{}", ended.text());
    }
}

/// If it fails, a store that a newer program made is opened as if it were understood.
#[test]
fn a_newer_store_is_refused() {
    let place = Place::protected();
    let info = place.json(&["info"]);
    place.json(&["stop"]);
    let format = std::path::Path::new(info["store"].as_str().unwrap()).join("FORMAT");
    fs::write(format, "timelapse store 9\n").unwrap();
    let error = place.run(&["--json", "status"]).code(2).error();
    assert!(error["error"].as_str().unwrap().contains("version 9"), "{error}");
    let listed = place.json(&["stores"]);
    assert!(listed[0]["error"].as_str().unwrap().contains("version 9"), "{listed}");
}

/// If it fails, a program that runs without a daemon records nothing.
#[test]
fn without_a_daemon() {
    let place = Place::new();
    place.write("file", "1");
    let init = place.json(&["--no-daemon", "init"]);
    assert_eq!((&init["daemon"], done(&init)), (&Value::Null, "created"));
    place.write("file", "2");
    let flushed = place.json(&["--no-daemon", "flush"]);
    assert_eq!((&flushed["changed"], &flushed["complete"]), (&true.into(), &true.into()));
    let status = place.json(&["status"]);
    assert_eq!((&status["daemon"], &status["head"]["id"]), (&Value::Null, &flushed["id"]));
    let mut command = place.command(&["flush", "--json"]);
    command.env("XDG_RUNTIME_DIR", format!("/tmp/{}", "x".repeat(120)));
    Ended::of(command).code(2).says(&["too long"]);
}
