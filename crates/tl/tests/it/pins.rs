//! `tl pin`, `tl unpin`, `tl pins`, and states named on the command line.

use crate::place::Place;

#[test]
fn a_pin_names_a_state() {
    let place = Place::protected();
    let first = place.json(&["flush"]);
    place.write("more", "");
    let second = place.json(&["flush"]);
    assert_eq!(place.json(&["pin", "now"]), serde_json::json!({"name": "now", "id": second["id"]}));
    assert_eq!(place.json(&["pin", "old", "@-1"])["id"], first["id"]);
    assert_eq!(place.json(&["pin", "same", "old"])["id"], first["id"], "a pin is a name for a state");
    let names: Vec<_> = place.json(&["pins"]).as_array().unwrap().iter().map(|pin| pin["name"].clone()).collect();
    assert_eq!(names, ["now", "old", "same"]);
    assert_eq!(place.json(&["unpin", "same"]), serde_json::json!({"name": "same"}));
    place.run(&["unpin", "same"]).code(1);
}

/// If it fails, a mistyped name is taken for another state.
#[test]
fn names_that_are_missing_or_mean_several_things() {
    let place = Place::protected();
    place.write("more", "");
    place.json(&["flush"]);
    place.run(&["pin", "x", "nothing-like-this"]).code(1).says(&["nothing-like-this"]);
    place.run(&["pin", "x", "@-999"]).code(1);
    // The first digits of an id are the time: all states of these minutes have them.
    let prefix = place.json(&["flush"])["id"].as_str().unwrap()[..5].to_owned();
    place.run(&["pin", "x", &prefix]).code(2).says(&["several", "digits"]);
}

/// If it fails, the commands about marks need a daemon that they have no use for.
#[test]
fn they_need_no_daemon() {
    let place = Place::protected();
    place.json(&["stop"]);
    place.json(&["pin", "quiet"]);
    assert_eq!(place.json(&["pins"])[0]["name"], "quiet");
    assert!(place.json(&["status"])["daemon"].is_null());
}
