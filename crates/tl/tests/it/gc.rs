//! `tl gc`.

use crate::place::Place;

/// If it fails, a look at what would be removed removes it, or young states go.
#[test]
fn young_states_stay() {
    let place = Place::protected();
    place.write("a", "1");
    place.json(&["flush"]);
    for arguments in [&["gc", "--dry-run"][..], &["gc"]] {
        let collected = place.json(arguments);
        assert_eq!(collected["dry_run"], arguments.len() == 2);
        assert_eq!((&collected["checkpoints_removed"], &collected["evicted"]), (&0.into(), &serde_json::json!([])));
        assert!(collected["checkpoints_kept"].as_u64().unwrap() >= 2);
    }
}

/// If it fails, nobody is told why a state went.
#[test]
fn evictions_are_explained() {
    let place = Place::protected();
    for round in 0..4 {
        place.write("a", round.to_string());
        place.json(&["flush"]);
    }
    place.json(&["config", "set", "retention.newest", "1"]);
    place.json(&["config", "set", "retention.dense_hours", "0"]);
    let planned = place.json(&["gc", "--dry-run"]);
    let removed = planned["checkpoints_removed"].as_u64().unwrap();
    assert!(removed > 0, "{planned}");
    assert_eq!(planned["evicted"].as_array().unwrap().len() as u64, removed);
    assert!(planned["evicted"][0]["why"].as_str().unwrap().contains("same hour"), "{planned}");
    assert_eq!(place.json(&["gc"])["checkpoints_removed"], removed);
}
