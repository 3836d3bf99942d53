//! `tl bisect`.

use std::fs;

use serde_json::json;

use crate::past::Past;

/// Ten states of `value`, of which those from `first_bad` on hold `bad`. Returns their ids.
fn ten_states(past: &Past, first_bad: usize) -> Vec<String> {
    let word = |index| if index < first_bad { "good" } else { "bad" };
    (0..10).map(|index| past.save(&[("value", &format!("{} {index}\n", word(index))), ("sub/other", "x")])).collect()
}

/// Where the directories of states are made, to see that they are removed.
fn scratch(past: &Past) -> String {
    let dir = past.place.beside("scratch");
    fs::create_dir_all(&dir).unwrap();
    dir.to_str().unwrap().to_owned()
}

/// If it fails, another save is blamed than the one that broke the command.
#[test]
fn the_save_that_broke_a_command_is_named() {
    let past = Past::new();
    let states = ten_states(&past, 6);
    let scratch = scratch(&past);
    let run = ["bisect", "run", "--scratch", &scratch];
    let script = ["sh", "-c", "grep -q good value"];
    let found = past.json(&[&run[..], &["--good", &states[0]], &script].concat());
    assert_eq!((&found["first_bad"]["id"], &found["last_good"]["id"]), (&json!(states[6]), &json!(states[5])));
    assert!(found["tries"].as_array().unwrap().len() <= 6, "{found}");
    let found = past.json(&[&run[..], &["--bad", &states[8]], &script].concat());
    assert_eq!(found["first_bad"]["id"], json!(states[6]), "without a good state");
    let text = past.text(&[&run[..], &script].concat());
    assert!(text.starts_with(&format!("{} broke it", states[6])) && text.contains("    value\n"), "{text}");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0, "directories are left behind");
}

/// If it fails, what a command does in one state changes the verdict about the next.
#[test]
fn states_are_untouched_by_what_ran_before() {
    let past = Past::new();
    let states = ten_states(&past, 3);
    let scratch = scratch(&past);
    // It writes into a file that all states share, without a change of its length, and leaves a directory that cannot be removed at once.
    let script = "test \"$(cat sub/other)\" = x || exit 126; printf y > sub/other; mkdir -p l/m && chmod 0 l; grep -q good value";
    let found = past.json(&["bisect", "run", "--scratch", &scratch, "sh", "-c", script]);
    assert_eq!(found["first_bad"]["id"], json!(states[3]));
    assert_eq!(past.place.read("sub/other"), b"x");
}

#[test]
fn states_that_cannot_be_judged_leave_candidates() {
    let past = Past::new();
    let states = ten_states(&past, 6);
    let script = "case $(cat value) in *5|*6) exit 125;; good*) exit 0;; *) exit 1;; esac";
    let found = past.json(&["bisect", "run", "--good", &states[0], "sh", "-c", script]);
    assert_eq!((&found["first_bad"], &found["candidates"]), (&json!(null), &json!([states[5], states[6], states[7]])));
    assert_eq!(found["last_good"]["id"], json!(states[4]));
}

#[test]
fn a_search_that_makes_no_sense_is_explained() {
    let past = Past::new();
    let states = ten_states(&past, 6);
    let run = |arguments: &[&str]| past.run(&[&["bisect", "run"], arguments].concat());
    run(&["true"]).code(2).says(&["succeeds", "should be bad"]);
    run(&["false"]).code(1).says(&["none of the states"]);
    run(&["--good", &states[7], "sh", "-c", "grep -q good value"]).code(2).says(&["should be good"]);
    run(&["--good", &states[7], "--bad", &states[2], "true"]).code(2).says(&["not older"]);
    run(&["sh", "-c", "exit 127"]).code(2).says(&["127", "says nothing"]);
    run(&["sh", "-c", "kill -9 $$"]).code(2).says(&["signal 9"]);
    run(&["no-such-program-at-all"]).code(1).says(&["cannot run no-such-program-at-all"]);
}

#[test]
fn a_command_runs_where_the_user_is() {
    let past = Past::new();
    let states = ten_states(&past, 6);
    let mut command = past.command(&["--json", "bisect", "run", "sh", "-c", "test -f other && grep -q good ../value"]);
    command.current_dir(past.place.project().join("sub"));
    let found = crate::place::Ended::of(command).ok().json();
    assert_eq!(found["first_bad"]["id"], json!(states[6]));
}
