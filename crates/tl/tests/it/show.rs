//! `tl show`.

use crate::past::Past;

#[test]
fn a_state_is_shown_with_what_it_changed() {
    let past = Past::new();
    past.save(&[("a", "1\n"), ("b", "1\n")]);
    past.place.write("a", "2\n");
    let state = past.record(&["-m", "first line\nsecond line", "--label", "v1"]);
    let text = past.text(&["show"]);
    for part in
        [&format!("checkpoint {state}\n"), "reason     manual\n", "label      v1\n", "    second line\n", " a | 2 +-\n"]
    {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(past.text(&["show", "-p", &state]).ends_with("--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n"));
    let json = past.json(&["show"]);
    assert_eq!((&json["id"], &json["files"][0]["path"]), (&state.into(), &"a".into()));
    assert_eq!(json["files"].as_array().unwrap().len(), 1);
    assert!(json["files"][0]["hunks"].is_null(), "a table was asked for");
    assert!(past.json(&["show", "-p"])["files"][0]["hunks"].is_array());
}

#[test]
fn a_state_that_is_not_there() {
    Past::new().run(&["show", "@-100"]).code(1).says(&["before the oldest state"]);
}
