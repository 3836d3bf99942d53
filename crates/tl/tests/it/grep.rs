//! `tl grep`.

use serde_json::json;

use crate::past::Past;

#[test]
fn what_is_long_gone_is_found_with_its_time() {
    let past = Past::new();
    let first = past.save(&[("a", "one\nsecret key\n"), ("b", "nothing")]);
    let second = past.save(&[("b", "still nothing")]);
    past.save(&[("a", "one\n")]);
    let fourth = past.save(&[("c", "another secret\n")]);
    let found = past.json(&["grep", "secret"]);
    let presences = found["presences"].as_array().unwrap();
    let told: Vec<_> = presences
        .iter()
        .map(|p| {
            (
                p["path"].as_str().unwrap(),
                p["first"]["id"].as_str().unwrap(),
                p["last"]["id"].as_str().unwrap(),
                p["present"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("a", &first[..], &second[..], false), ("c", &fourth, &fourth, true)]);
    assert_eq!(presences[0]["matches"], json!([{"line": 2, "text": "secret key", "start": 0, "end": 6, "cut": false}]));
    assert_eq!(past.text(&["grep", "-l", "secret"]), "a\nc\n");
    assert_eq!(past.text(&["grep", "-l", "-i", "SECRET", "c"]), "c\n");
    assert!(past.text(&["grep", "secret"]).contains("2: secret key\n"));
}

#[test]
fn states_can_be_left_out() {
    let past = Past::new();
    past.save(&[("a", "x")]);
    let second = past.save(&[("a", "y")]);
    past.run(&["grep", "x", "--since", &second]).code(1).says(&["nothing matches in 1 states"]);
    past.run(&["grep", "y", "--since", &second]).ok();
}

#[test]
fn a_bad_pattern_is_explained() {
    let past = Past::new();
    past.run(&["grep", "("]).code(2).says(&["no regular expression", "--fixed-strings"]);
    past.run(&["grep", "(\\w{999}){999}"]).code(2).says(&["memory"]);
}
