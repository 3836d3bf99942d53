//! `tl verify`.

use crate::place::Place;

#[test]
fn a_sound_store() {
    let place = Place::protected();
    let verified = place.json(&["verify"]);
    assert_eq!((&verified["damaged"], &verified["damage"]), (&0.into(), &serde_json::json!([])));
    assert!(verified["objects"].as_u64().unwrap() > 3 && verified["checkpoints"].as_u64().unwrap() > 0);
    place.json(&["verify", "--sample", "0.5"]);
    place.run(&["verify", "--sample", "2"]).code(2).says(&["at most 1"]);
    place.json(&["stop"]);
    assert_eq!(place.json(&["verify"])["damaged"], 0);
}
