//! `tl ls`.

use serde_json::json;

use crate::past::Past;

#[test]
fn a_directory_is_listed_as_it_was() {
    let past = Past::new();
    past.save(&[("a", "1"), ("d/e/f", "22"), ("d/g", "333")]);
    past.remove("d/g");
    past.save(&[("h", "1")]);
    assert_eq!(past.text(&["ls"]), "a\nd/\nh\n");
    assert_eq!(past.text(&["ls", "@-1"]), "a\nd/\n");
    assert_eq!(past.text(&["ls", "-R", "d@-1"]), "d/e/\nd/e/f\nd/g\n");
    assert_eq!(past.text(&["ls", "d/g@-1"]), "d/g\n");
    assert!(past.text(&["ls", "-l", "d@-1"]).contains("-rw-r--r--         3 B  d/g\n"));
    past.run(&["ls", "d/g"]).code(1).says(&["there is no d/g"]);
    let found = past.json(&["ls", "d@-1"]);
    assert_eq!((&found[0]["path"], &found[0]["kind"]), (&json!("d/e"), &json!("directory")));
    assert_eq!((&found[1]["path"], &found[1]["size"], &found[1]["mode"]), (&json!("d/g"), &json!(3), &json!("0644")));
}

#[test]
fn paths_are_relative_to_where_the_command_runs() {
    let past = Past::new();
    past.save(&[("d/e/f", "1")]);
    let mut command = past.command(&["ls"]);
    command.current_dir(past.place.project().join("d"));
    assert_eq!(crate::place::Ended::of(command).ok().text(), "d/e/\n");
}
