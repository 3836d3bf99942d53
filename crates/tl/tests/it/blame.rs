//! `tl blame`.

use crate::past::Past;

/// The states that brought the lines, and where the lines stood in them.
fn origins(found: &serde_json::Value) -> Vec<(&str, u64)> {
    let origin = |line: &'_ serde_json::Value| line["original_line"].as_u64().unwrap();
    found.as_array().unwrap().iter().map(|line| (line["checkpoint"].as_str().unwrap(), origin(line))).collect()
}

#[test]
fn each_line_is_told_with_the_save_that_brought_it() {
    let past = Past::new();
    let first = past.save(&[("f", "a\nb\nc\n")]);
    past.save(&[("other", "x")]);
    past.place.write("f", "a\nnew\nb\nc\n");
    let second = past.record(&["--actor", "claude"]);
    let third = past.save(&[("f", "a\nnew\nb\nC\n")]);
    let found = past.json(&["blame", "f"]);
    assert_eq!(origins(&found), [(&first[..], 1), (&second, 2), (&first, 2), (&third, 4)]);
    assert_eq!((&found[1]["actor"], &found[1]["text"]), (&"claude".into(), &"new".into()));
    assert_eq!(origins(&past.json(&["blame", "f@-1", "-L", "4"])), [(&first[..], 3)]);
    let text = past.text(&["blame", "f"]);
    assert!(
        text.lines().nth(1).unwrap().contains("claude") && text.lines().nth(1).unwrap().ends_with("    2  new"),
        "{text}"
    );
}

/// If it fails, a move of a file looks like a rewrite of all of it.
#[test]
fn a_renamed_file_is_followed() {
    let past = Past::new();
    let lines = "one\ntwo\nthree\nfour\n";
    let first = past.save(&[("old", lines)]);
    let second = past.save(&[("old", &format!("{lines}five\n"))]);
    std::fs::rename(past.place.project().join("old"), past.place.project().join("new")).unwrap();
    let third = past.save(&[("new", &format!("{lines}five\nsix\n"))]);
    let found = past.json(&["blame", "new"]);
    let states: Vec<_> = origins(&found).into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, [&first[..], &first, &first, &first, &second, &third]);
    assert_eq!((&found[0]["original_path"], &found[5]["original_path"]), (&"old".into(), &"new".into()));
    let unfollowed = past.json(&["blame", "--no-renames", "new"]);
    assert!(origins(&unfollowed).iter().all(|(state, _)| *state == third));
}

#[test]
fn what_has_no_lines_is_refused() {
    let past = Past::new();
    past.place.write("binary", b"\0");
    past.save(&[("d/f", "x")]);
    past.run(&["blame", "binary"]).code(2).says(&["binary"]);
    past.run(&["blame", "d"]).code(2).says(&["d is no file"]);
    past.run(&["blame", "gone"]).code(1).says(&["there is no gone"]);
}
