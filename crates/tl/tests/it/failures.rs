//! What goes wrong whatever the command: the message, what to do next, the exit code.

use crate::place::{Ended, Place};

/// If it fails, programs cannot tell failures apart.
#[test]
fn failures_are_json_for_programs() {
    let place = Place::new();
    let unknown = ["stores", "remove", "--yes", "0123456789abcdef0123456789abcdef"];
    let failed = place.run(&[&["--json"], &unknown[..]].concat()).code(1);
    let error = failed.error();
    assert_eq!((&error["kind"], &error["exit_code"]), (&"absent".into(), &1.into()));
    assert!(error["error"].as_str().unwrap().contains("0123456789abcdef"));
    place.run(&unknown).code(1).says(&["tl: there is no store", "hint: `tl stores`"]);
}

#[test]
fn a_directory_that_is_not_there() {
    let place = Place::new();
    place.run(&["-C", "nowhere", "stores"]).code(1).says(&["nowhere"]);
}

/// If it fails, somebody who runs a command in the wrong directory is not told so.
#[test]
fn outside_of_every_project() {
    let place = Place::new();
    for command in
        [&["status"][..], &["flush"], &["watch"], &["pins"], &["pin", "x"], &["gc"], &["verify"], &["config"]]
    {
        place.run(command).code(2).says(&["not in a directory that Timelapse protects", "hint: `tl init`"]);
    }
}

/// If it fails, a clone can bring a store along that `tl` then opens.
#[test]
fn a_planted_marker_is_refused() {
    let place = Place::new();
    let planted = "0123456789abcdef0123456789abcdef\n";
    place.write(".tl", planted);
    place.run(&["status"]).code(2).says(&["came from somewhere else"]);
    assert_eq!(place.read(".tl"), planted.as_bytes());
    place.write(".tl", "rm -rf /");
    place.run(&["status"]).code(2).says(&["is no marker of Timelapse"]);
}

/// If it fails, stores are made in a place that depends on where the command runs.
#[test]
fn without_a_place_for_stores() {
    let place = Place::new();
    let mut command = place.command(&["stores"]);
    command.env_remove("HOME").env("XDG_STATE_HOME", "relative");
    Ended::of(command).code(2).says(&["XDG_STATE_HOME", "hint:"]);
}

/// If it fails, `tl ... | head` prints an error.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    let mut child = place.command(&["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}
