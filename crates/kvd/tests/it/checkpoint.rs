//! checkpoint

use std::fs;

use crate::program::Place;

/// If it fails, a backup lacks what was written before it, or changes with what is written after it.
#[test]
fn a_checkpoint_is_a_database_that_stands_still() {
    let place = Place::new();
    let backup = place.beside("backup");
    place.run(&["put", "a", "1"]).ok();
    place.run_with(&["put", "large", "-"], &[7; 100_000]).ok();
    let report = place.run(&["checkpoint", backup.to_str().unwrap(), "--json"]).ok().json();
    assert_eq!(report["seq"], 2);
    assert_eq!(report["files_copied"], 0, "both are on one filesystem: {report}");
    place.run(&["put", "a", "2"]).ok();
    place.run(&["del", "large"]).ok();
    place.run(&["compact"]).ok();

    let copy = Place::at(&backup);
    assert_eq!(copy.run(&["get", "a"]).ok().text(), "1\n");
    assert_eq!(copy.run(&["get", "large", "--raw"]).ok().stdout, [7; 100_000]);
    copy.run(&["put", "a", "3"]).ok();
    assert_eq!(place.run(&["get", "a"]).ok().text(), "2\n");
}

/// If it fails, a checkpoint overwrites somebody's files.
#[test]
fn a_directory_in_use_is_refused() {
    let place = Place::new();
    place.run(&["put", "a", "1"]).ok();
    let target = place.beside("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("letter.txt"), "dear reader").unwrap();
    place.run(&["checkpoint", target.to_str().unwrap()]).code(2);
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    assert!(place.run(&["checkpoint", place.beside("other").to_str().unwrap()]).ok().text().contains("sequence 1:"));
}
