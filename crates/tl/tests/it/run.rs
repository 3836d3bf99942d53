//! `tl run -- CMD`.

use crate::place::{Ended, Place};

/// If it fails, a change cannot be traced to the command that made it, or is attributed to one that did not.
#[test]
fn changes_are_attributed_to_the_command() {
    let place = Place::protected();
    place.write("mine", "before");
    place.run(&["run", "--session", "s1", "--actor", "robot", "--", "sh", "-c", "echo x > theirs"]).ok();
    let head = place.json(&["status"])["head"].clone();
    assert_eq!((&head["session"], &head["actor"]), (&"s1".into(), &"robot".into()));
    assert_eq!(head["touched"], serde_json::json!(["theirs"]));
    assert_eq!(head["message"], "sh -c echo x > theirs");
    place.write("mine", "after");
    place.json(&["flush"]);
    assert!(place.json(&["status"])["head"]["session"].is_null());
}

/// If it fails, `tl run -- make test` cannot stand where `make test` stood.
#[test]
fn the_exit_code_and_the_streams_are_those_of_the_command() {
    let place = Place::protected();
    let ended = place.run(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]).code(42).says(&["err"]);
    assert_eq!(ended.text(), "out\n");
    place.run(&["run", "--", "sh", "-c", "kill -KILL $$"]).code(128 + 9);
    place.run(&["run", "--", "/nowhere/program"]).code(127).says(&["/nowhere/program"]);
    place.run(&["run", "--", "/"]).code(126);
    place.run(&["run"]).code(2);
}

#[test]
fn programs_are_told_about_both_checkpoints() {
    let place = Place::protected();
    let ended = place.run(&["--json", "run", "--", "sh", "-c", "echo x > new; exit 3"]).code(3);
    let report = ended.error();
    assert_eq!((&report["exit_code"], &report["actor"]), (&3.into(), &"sh".into()));
    assert_ne!(report["before"]["root"], report["after"]["root"]);
    assert!(report["session"].as_str().unwrap().starts_with("sh-"));
}

/// If it fails, what a command does through `tl` itself is not counted as the command's.
#[test]
fn the_command_knows_its_session() {
    let place = Place::protected();
    let ended = place.run(&["run", "--session", "s2", "--", "sh", "-c", "echo $TL_SESSION $TL_ACTOR"]).ok();
    assert_eq!(ended.text(), "s2 sh\n");
    let mut command = place.command(&["--json", "run", "--", "true"]);
    command.env("TL_SESSION", "outer");
    assert_eq!(Ended::of(command).error()["session"], "outer");
}
