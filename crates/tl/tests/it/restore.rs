//! `tl restore`, `tl undo`, `tl redo`.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::past::Past;
use crate::place::{Ended, Place};

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
    let plan = place.json(&["restore", &first, "src", "--to", copy.to_str().unwrap(), "--dry-run"]);
    assert_eq!((&plan["steps"][0]["path"], plan["steps"].as_array().unwrap().len()), (&"src".into(), 2));
    assert!(!copy.exists());
    place.json(&["restore", &first, "--to", copy.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(copy.join("src/main.rs")).unwrap(), "fn main() {}\n");
    assert_eq!(fs::read_link(copy.join("link")).unwrap().to_str(), Some("README"));
    assert_eq!(read("src/main.rs"), "changed\n");
}

#[test]
fn only_chosen_parts_are_restored() {
    let past = Past::new();
    let before: String = (1..=20).map(|line| format!("{line}\n")).collect();
    let first = past.save(&[("f", &before), ("whole", "old\0"), ("left", "old\n")]);
    past.save(&[
        ("f", &before.replace("1\n2\n", "one\n2\n").replace("\n20\n", "\ntwenty\n")),
        ("whole", "new\0"),
        ("left", "new\n"),
    ]);
    // The first part of `f`, not the second, nothing of `left`, all of `whole`.
    let mut command = past.command(&["restore", &first, "-p"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"y\nn\nn\ny\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(past.place.read("f"), before.replace("\n20\n", "\ntwenty\n").into_bytes());
    assert_eq!((past.place.read("left"), past.place.read("whole")), (b"new\n".to_vec(), b"old\0".to_vec()));
}

/// If it fails, `rm -rf` of the whole project brings back what was left in the middle of it.
#[test]
fn a_project_that_is_gone_comes_back_as_it_was_before_the_deletion() {
    let past = Past::new();
    past.save(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let project = past.place.project();
    fs::create_dir_all(project.join("d/empty")).unwrap();
    past.record(&[]);
    let id = past.json(&["stores"])[0]["id"].as_str().unwrap().to_owned();
    past.remove("a");
    past.record(&[]);
    fs::remove_dir(project.join("d/empty")).unwrap();
    past.record(&[]);
    past.remove("b");
    past.record(&[]);
    fs::remove_dir_all(past.place.project()).unwrap();
    let to = past.place.beside("back");
    let mut command = past.command(&["restore", "--store", &id, "--to", to.to_str().unwrap(), "-y"]);
    Ended::of({
        command.current_dir(past.place.beside("home"));
        command
    })
    .ok();
    for (file, content) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(fs::read_to_string(to.join(file)).unwrap(), content);
    }
    assert!(to.join("d/empty").is_dir());
}

/// If it fails, `--store` works on one side of the command only, or a restore without a state does something.
#[test]
fn a_state_must_be_named_unless_a_store_is() {
    let past = Past::new();
    past.save(&[("a", "1")]);
    let id = past.json(&["stores"])[0]["id"].as_str().unwrap().to_owned();
    past.run(&["restore", "-y"]).code(2).says(&["no state is named", "tl log"]);
    past.run(&["--store", &id, "restore", "-y"]).ok();
    past.run(&["restore", "--store", &id, "-y"]).ok();
}

/// If it fails, `tl redo` cannot be asked for by people, or nobody is told what it would do.
#[test]
fn a_redo_is_planned_like_an_undo() {
    let past = Past::new();
    let first = past.save(&[("a", "1")]);
    past.save(&[("a", "2")]);
    past.run(&["redo", "--dry-run"]).code(1).says(&["redo"]);
    past.run(&["restore", &first, "-y"]).ok();
    assert_eq!(past.json(&["undo", "--dry-run"])["steps"][0]["path"], "a");
    past.run(&["undo", "-y"]).ok();
    assert_eq!(past.json(&["redo", "--dry-run"])["steps"][0]["path"], "a");
    assert_eq!(past.place.read("a"), b"2");
}
