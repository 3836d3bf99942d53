//! `tl repair`.

use crate::place::Place;

/// If it fails, a sound store is changed by a repair, or a repair runs beside the daemon that has the store open.
#[test]
fn it_needs_the_daemon_stopped_and_leaves_a_sound_store_as_it_is() {
    let place = Place::protected();
    let head = place.json(&["flush"])["id"].clone();
    let refused = place.run(&["repair"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    place.json(&["stop"]);
    let repaired = place.json(&["repair"]);
    assert_eq!((&repaired["found"], &repaired["lost"]), (&0.into(), &0.into()));
    assert_eq!(place.json(&["flush"])["id"], head);
}
