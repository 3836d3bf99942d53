//! `tl stores`.

use crate::place::Place;

#[test]
fn no_store_is_an_empty_list() {
    let place = Place::new();
    assert_eq!(place.json(&["stores"]), serde_json::json!([]));
    assert!(place.run(&["stores"]).ok().text().contains("tl init"));
}

/// If it fails, a store can be lost without anybody having agreed.
#[test]
fn ids_are_checked_before_anything_is_removed() {
    let place = Place::new();
    place.run(&["stores", "remove", "all"]).code(2).says(&["32 lower-case"]);
    place.run(&["stores", "remove", "0123456789abcdef0123456789abcdef"]).code(1).says(&["there is no store"]);
}

/// If it fails, a store cannot be found once its directory is gone, or cannot be removed, or is removed while it is used.
#[test]
fn a_store_is_listed_and_removed() {
    let place = Place::protected();
    let listed = place.json(&["stores"]);
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&listed[0]["root_state"], &listed[0]["form"]), (&"in-place".into(), &"outside".into()));
    assert!(listed[0]["last_save"].is_string() && listed[0]["error"].is_null(), "{listed}");
    place.run(&["stores", "remove", &id]).code(2).says(&["--yes"]);
    place.run(&["stores", "remove", &id, "--yes"]).code(4).says(&["tl stop"]);
    place.json(&["stop"]);
    std::fs::rename(place.project(), place.beside("away")).unwrap();
    assert_eq!(place.json(&["stores"])[0]["root_state"], "gone");
    std::fs::rename(place.beside("away"), place.project()).unwrap();
    assert_eq!(place.json(&["stores", "remove", &id, "-y"]), serde_json::json!({"removed": id}));
    assert_eq!(place.json(&["stores"]), serde_json::json!([]));
    assert!(!place.project().join(".tl").exists());
}
