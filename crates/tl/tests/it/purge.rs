//! `tl purge PATH`.

use crate::place::Place;

/// If it fails, a purge removes more than what was named, or without anybody having agreed.
#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::protected();
    place.run(&["purge"]).code(2);
    place.run(&["purge", "."]).code(2).says(&["whole directory"]);
    place.run(&["purge", "../outside"]).code(2).says(&["outside of"]);
    place.run(&["purge", "/etc/passwd"]).code(2).says(&["outside of"]);
}

/// If it fails, what was purged can still be read, or what was not named goes with it.
#[test]
fn the_content_of_a_path_is_gone_and_the_rest_stays() {
    let place = Place::protected();
    place.write("secret.txt", "a password that nobody may read again\n");
    let state = place.json(&["flush"])["id"].as_str().unwrap().to_owned();
    std::fs::remove_file(place.project().join("secret.txt")).unwrap();
    place.json(&["flush"]);
    let purged = place.json(&["purge", "secret.txt", "-y"]);
    assert_eq!((&purged["objects"], &purged["dry_run"]), (&1.into(), &false.into()));
    assert!(purged["scanned_files"].as_u64().unwrap() > 0);
    let copy = place.beside("copy");
    place.run(&["restore", &state, "README", "--to", copy.to_str().unwrap()]).code(0);
    assert_eq!(std::fs::read_to_string(copy.join("README")).unwrap(), "read me\n");
    let other = place.beside("other");
    let lost = place.run(&["restore", &state, "secret.txt", "--to", other.to_str().unwrap()]);
    assert_ne!(lost.code, 0, "{lost:?}");
    assert!(!other.join("secret.txt").exists());
}
