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
    place.run(&["stores", "remove", "0123456789abcdef0123456789abcdef"]).code(2).says(&["there is no store"]);
}
