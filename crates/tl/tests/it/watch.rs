//! `tl watch`.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::place::Place;

/// If it fails, whoever watches misses saves, or sees them late.
#[test]
fn each_checkpoint_is_shown_as_it_is_made() {
    let place = Place::protected();
    // By its id: what comes after it is shown, whether or not the program was quicker than the next save.
    let before = place.json(&["flush"])["id"].as_str().unwrap().to_owned();
    let mut child = place.command(&["--json", "watch", "--after", &before, "-n", "2"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value {
        loop {
            let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if event["event"] == "checkpoint" {
                return event["checkpoint"].clone();
            }
        }
    };
    for name in ["one", "two"] {
        place.write(name, name);
        place.json(&["flush"]);
        assert_eq!(next()["touched"], serde_json::json!([name]));
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_begins_where_it_is_told() {
    let place = Place::protected();
    place.write("one", "");
    let one = place.json(&["flush"]);
    let ended = place.run(&["watch", "--after", "@-1", "-n", "1"]).ok();
    assert!(ended.text().contains(&one["id"].as_str().unwrap()[..14]), "{}", ended.text());
}
