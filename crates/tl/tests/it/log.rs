//! `tl log`.

use crate::past::Past;

fn ids(found: &serde_json::Value) -> Vec<&str> {
    found.as_array().unwrap().iter().map(|state| state["id"].as_str().unwrap()).collect()
}

#[test]
fn states_are_listed_newest_first() {
    let past = Past::new();
    let first = past.save(&[("a", "1")]);
    let second = past.save(&[("a", "2"), ("b", "1")]);
    let found = past.json(&["log"]);
    assert_eq!(ids(&found)[..2], [&second[..], &first]);
    assert_eq!((&found[0]["files_added"], &found[0]["files_changed"]), (&1.into(), &1.into()));
    assert_eq!(found[0]["touched"], serde_json::json!(["a", "b"]));
    assert_eq!(ids(&past.json(&["log", "-n", "1"])), [&second]);
    assert_eq!(ids(&past.json(&["log", "-n", "0"])), [""; 0]);
    let reversed = past.json(&["log", "--reverse"]);
    assert_eq!(ids(&reversed).last(), Some(&&second[..]));
    let text = past.text(&["log"]);
    assert!(text.lines().next().unwrap().contains("+1 ~1") && text.contains("a, b"), "{text}");
}

#[test]
fn a_path_leaves_the_states_that_changed_it() {
    let past = Past::new();
    let first = past.save(&[("d/a", "1"), ("e", "1")]);
    past.save(&[("e", "2")]);
    let third = past.save(&[("d/b", "1")]);
    assert_eq!(ids(&past.json(&["log", "d"])), [&third, &first]);
    assert_eq!(ids(&past.json(&["log", "d/a"])), [&first]);
    assert_eq!(past.json(&["log", "nothing"]), serde_json::json!([]));
}

/// If it fails, a file that was removed by mistake is not found again.
#[test]
fn deleted_files_are_named_with_the_state_that_removed_them() {
    let past = Past::new();
    past.save(&[("keep", "1"), ("d/gone", "precious")]);
    past.remove("d/gone");
    let removal = past.save(&[("keep", "2")]);
    past.save(&[("keep", "3")]);
    let found = past.json(&["log", "--deleted"]);
    assert_eq!(ids(&found), [&removal]);
    assert_eq!(found[0]["deleted"], serde_json::json!(["d/gone"]));
    assert_eq!(ids(&past.json(&["log", "--deleted", "keep"])), [""; 0]);
    assert!(past.text(&["log", "--deleted", "d"]).contains("d/gone"));
}

#[test]
fn states_are_chosen_by_who_made_them_and_when() {
    let past = Past::new();
    past.save(&[("a", "1")]);
    past.place.write("a", "2");
    let second = past.record(&["--session", "s1", "--actor", "claude", "-m", "why"]);
    past.place.write("a", "3");
    let third = past.record(&["--session", "s2"]);
    assert_eq!(ids(&past.json(&["log", "--session", "s1"])), [&second]);
    assert_eq!(ids(&past.json(&["log", "--actor", "claude"])), [&second]);
    assert_eq!(ids(&past.json(&["log", "--since", &third])), [&third]);
    assert!(!ids(&past.json(&["log", "--until", &second])).contains(&&third[..]));
    assert_eq!(ids(&past.json(&["log", "--until", "1 day ago"])), [""; 0]);
    past.run(&["log", "--since", "no-such-thing"]).code(1).says(&["no-such-thing"]);
    past.run(&["pin", "good", &second]).ok();
    assert_eq!(past.json(&["log", "--session", "s1"])[0]["pins"], serde_json::json!(["good"]));
    let text = past.text(&["log"]);
    assert!(text.contains("[pin good, manual, session s1, by claude, \"why\"]"), "{text}");
}

/// If it fails, a message or a name drives the terminal of whoever reads the log.
#[test]
fn nothing_in_the_log_drives_the_terminal() {
    let past = Past::new();
    past.place.write("a\x1b[2Jb", "1");
    past.record(&["-m", "evil\x1b]0;title\x07"]);
    let text = past.text(&["log"]);
    assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
}
