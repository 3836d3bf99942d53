//! `tl label`.

use crate::place::Place;

#[test]
fn a_label_is_shown_and_taken_away() {
    let place = Place::protected();
    let id = place.json(&["flush"])["id"].clone();
    assert_eq!(place.json(&["label", "works"]), serde_json::json!({"id": id, "label": "works"}));
    assert_eq!(place.json(&["status"])["head"]["label"], "works");
    assert!(place.json(&["label", ""])["label"].is_null());
    assert!(place.json(&["status"])["head"]["label"].is_null());
}
