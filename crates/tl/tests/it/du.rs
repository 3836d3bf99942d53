//! `tl du`.

use serde_json::{Value, json};

use crate::place::Place;

fn usage(used: &Value, path: &str) -> (u64, u64) {
    let found = used.as_array().unwrap().iter().find(|used| used["path"] == path);
    let found = found.unwrap_or_else(|| panic!("no {path} in {used}"));
    (found["bytes"].as_u64().unwrap(), found["history_bytes"].as_u64().unwrap())
}

/// If it fails, nobody finds out what fills the disk.
#[test]
fn present_and_past_are_told_apart() {
    let place = Place::new();
    place.write("dir/file", [b'1'; 1000]);
    place.json(&["init"]);
    place.write("dir/file", [b'2'; 10]);
    place.write("dir/copy", [b'2'; 10]);
    place.json(&["flush"]);
    let used = place.json(&["du", "-d", "2"]);
    assert_eq!(usage(&used, "dir"), (20, 1010));
    assert_eq!(usage(&used, ""), (20, 1010));
    assert_eq!(usage(&used, "dir/file").0, 10);
    let used = place.json(&["du", "--state", "@-1"]);
    assert_eq!(usage(&used, "dir"), (1000, 1010));
    place.json(&["stop"]);
    assert_eq!(place.json(&["du", "dir/copy", "-d", "0"])[0]["path"], json!(""));
    place.run(&["du", "nothing"]).code(1);
}
