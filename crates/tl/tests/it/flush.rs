//! `tl flush`.

use crate::place::Place;

/// If it fails, a script that flushed cannot rely on what it wrote being kept.
#[test]
fn it_holds_what_was_written_before() {
    let place = Place::protected();
    let mut roots = std::collections::BTreeSet::new();
    for round in 0..5 {
        place.write("src/main.rs", format!("fn main() {{ {round}; }}\n"));
        let flushed = place.json(&["flush"]);
        assert_eq!(flushed.as_object().unwrap().keys().collect::<Vec<_>>(), ["changed", "complete", "id", "root"]);
        assert_eq!(flushed["complete"], true);
        assert_eq!(flushed["id"].as_str().unwrap().len(), 26);
        roots.insert(flushed["root"].as_str().unwrap().to_owned());
    }
    assert_eq!(roots.len(), 5);
    let unchanged = place.json(&["flush"]);
    assert_eq!(unchanged["changed"], false);
    assert!(roots.contains(unchanged["root"].as_str().unwrap()));
}

#[test]
fn a_message_makes_a_checkpoint_of_its_own() {
    let place = Place::protected();
    let before = place.json(&["flush"]);
    let named = place.json(&["flush", "-m", "before the change", "--actor", "me", "--label", "safe"]);
    assert_ne!(named["id"], before["id"]);
    assert_eq!(named["root"], before["root"]);
    let head = &place.json(&["status"])["head"];
    assert_eq!((&head["reason"], &head["message"]), (&"manual".into(), &"before the change".into()));
    assert_eq!((&head["actor"], &head["label"]), (&"me".into(), &"safe".into()));
}

#[test]
fn a_scan_compares_everything() {
    let place = Place::protected();
    assert_eq!(place.json(&["flush", "--scan"])["changed"], false);
}
