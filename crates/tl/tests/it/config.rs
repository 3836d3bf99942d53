//! `tl config`.

use std::fs;
use std::path::Path;

use crate::place::Place;

#[test]
fn a_setting_is_changed_and_taken_back() {
    let place = Place::protected();
    let default = place.json(&["config", "get", "retention.newest"]);
    assert_eq!((&default["value"], &default["is_default"]), (&"2000".into(), &true.into()));
    let set = place.json(&["config", "set", "retention.newest", "7"]);
    assert_eq!((&set["value"], &set["is_default"]), (&"7".into(), &false.into()));
    assert_eq!(place.run(&["config", "get", "retention.newest"]).ok().text(), "7\n");
    assert_eq!(place.json(&["config", "unset", "retention.newest"]), default);
    assert!(place.json(&["config"]).as_array().unwrap().len() > 5);
}

#[test]
fn what_is_no_setting_is_refused() {
    let place = Place::protected();
    place.run(&["config", "get", "retention.nothing"]).code(1).says(&["tl config list"]);
    place.run(&["config", "set", "retention.nothing", "1"]).code(2);
    place.run(&["config", "set", "retention.newest", "many"]).code(2).says(&["retention.newest"]);
}

/// If it fails, whoever can write a store's settings can run programs, or have files elsewhere read and written.
#[test]
fn settings_name_no_commands_and_no_paths() {
    let place = Place::protected();
    let settings = place.json(&["config", "list"]);
    for setting in settings.as_array().unwrap() {
        for value in ["/etc/passwd", "../outside", "sh -c true"] {
            let key = setting["key"].as_str().unwrap();
            place.run(&["config", "set", key, value]).code(2);
        }
    }
    let info = place.json(&["info"]);
    place.json(&["stop"]);
    fs::write(Path::new(info["config"].as_str().unwrap()), "[hooks]\ncommand = \"touch /tmp/x\"\n").unwrap();
    place.run(&["status"]).code(2).says(&["hooks.command"]);
}
