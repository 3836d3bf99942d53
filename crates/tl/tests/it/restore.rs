//! `tl restore`, `tl undo`, `tl redo`.

use std::fs;

use crate::place::Place;

/// If it fails, what a person gets back is not what was recorded, or what they had before it is lost.
#[test]
fn a_state_comes_back_and_undo_and_redo_go_both_ways() {
    let place = Place::protected();
    place.write("src/main.rs", "fn main() { one(); }\n");
    let one = place.json(&["flush"])["id"].as_str().unwrap().to_owned();
    place.write("src/main.rs", "fn main() { two(); }\n");
    place.write("new.txt", "made later\n");
    fs::remove_file(place.project().join("README")).unwrap();

    let restored = place.json(&["restore", &one, "-y"]);
    assert_eq!(restored["verified"], true);
    let read = |path: &str| fs::read_to_string(place.project().join(path));
    assert_eq!(read("src/main.rs").unwrap(), "fn main() { one(); }\n");
    assert_eq!(read("README").unwrap(), "read me\n");
    assert!(read("new.txt").is_err(), "a recorded file that the state has not is left behind");

    assert_eq!(place.json(&["undo", "-y"])["verified"], true);
    assert_eq!(read("src/main.rs").unwrap(), "fn main() { two(); }\n");
    assert_eq!(read("new.txt").unwrap(), "made later\n");
    assert!(read("README").is_err());

    assert_eq!(place.json(&["redo", "-y"])["verified"], true);
    assert_eq!(read("src/main.rs").unwrap(), "fn main() { one(); }\n");
}

/// If it fails, a dry run changes something, or a plan does not say what a restore does.
#[test]
fn a_dry_run_lists_the_steps_and_changes_nothing() {
    let place = Place::protected();
    let first = place.json(&["flush"])["id"].as_str().unwrap().to_owned();
    place.write("README", "changed\n");
    let plan = place.json(&["restore", &first, "--dry-run"]);
    assert_eq!(plan["dry_run"], true);
    assert_eq!(plan["steps"][0]["action"], "replace");
    assert_eq!(plan["steps"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_to_string(place.project().join("README")).unwrap(), "changed\n");
}

/// If it fails, chosen paths bring others along, or a copy elsewhere touches the working directory.
#[test]
fn paths_can_be_chosen_and_a_state_can_be_written_elsewhere() {
    let place = Place::protected();
    let first = place.json(&["flush"])["id"].as_str().unwrap().to_owned();
    place.write("README", "changed\n");
    place.write("src/main.rs", "changed\n");
    place.json(&["restore", &first, "README", "-y"]);
    let read = |path: &str| fs::read_to_string(place.project().join(path)).unwrap();
    assert_eq!((read("README"), read("src/main.rs")), ("read me\n".into(), "changed\n".into()));
    let copy = place.beside("copy");
    place.json(&["restore", &first, "--to", copy.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(copy.join("src/main.rs")).unwrap(), "fn main() {}\n");
    assert_eq!(fs::read_link(copy.join("link")).unwrap().to_str(), Some("README"));
    assert_eq!(read("src/main.rs"), "changed\n");
}
