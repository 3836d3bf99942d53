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

/// If it fails, what another user put there is opened and trusted.
#[test]
fn a_store_of_another_user_is_refused() {
    let place = Place::protected();
    let store = place.json(&["info"])["store"].as_str().unwrap().to_owned();
    place.json(&["stop"]);
    // Only root can give files away.
    if std::os::unix::fs::chown(&store, Some(12_345), None).is_ok() {
        place.run(&["status"]).code(2).says(&["belongs to user 12345", "hint:"]);
        std::os::unix::fs::chown(&store, Some(0), None).unwrap();
    }
}

/// If it fails, a time is understood in another zone than the user's.
#[test]
fn times_are_those_of_the_users_zone() {
    let place = Place::protected();
    let run = |zone: &str, state: &str| {
        let mut command = place.command(&["pin", "x", state]);
        command.env("TZ", zone);
        Ended::of(command).code
    };
    // Whatever the zone, all states are before the one and after the other.
    for zone in ["UTC", "Europe/Berlin", "EST5EDT", "<LOC>-2:00:00"] {
        assert_eq!(run(zone, "2100-01-01T00:00"), 0, "{zone}");
        assert_eq!(run(zone, "2001-01-01T00:00"), 1, "{zone}");
    }
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
