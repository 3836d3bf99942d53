//! `tl status`.

use std::fs;

use crate::place::Place;

/// If it fails, scripts that rely on the documented fields break.
#[test]
fn the_documented_fields() {
    let place = Place::protected();
    let flushed = place.json(&["flush"]);
    let status = place.json(&["status"]);
    assert!(status["daemon"].is_u64() && status["started"].is_string());
    assert_eq!((&status["head"]["id"], &status["head"]["root"]), (&flushed["id"], &flushed["root"]));
    assert_eq!(status["files"], 3);
    assert_eq!(status["root"], place.project().to_str().unwrap());
    for field in ["backend", "directories", "kernel_bytes", "events", "overflows", "scanned"] {
        assert!(!status["watch"][field].is_null(), "{field}: {status}");
    }
    for field in ["id", "path", "disk_bytes"] {
        assert!(!status["store"][field].is_null(), "{field}: {status}");
    }
}

#[test]
fn without_a_daemon_it_says_so() {
    let place = Place::protected();
    place.json(&["stop"]);
    let status = place.json(&["status"]);
    assert!(status["daemon"].is_null() && status["watch"].is_null());
    assert_eq!((&status["health"], &status["files"]), (&"degraded".into(), &3.into()));
    let ended = place.run(&["status"]).ok();
    assert!(ended.text().contains("tl start"), "{}", ended.text());
}

/// If it fails, a name could drive the terminal of whoever looks.
#[test]
fn nothing_is_coloured_or_paged_into_a_pipe() {
    let place = Place::protected();
    assert!(!place.run(&["status"]).ok().stdout.contains(&0x1b));
    assert!(place.run(&["--color", "always", "status"]).ok().stdout.contains(&0x1b));
}

/// If it fails, a store that lost its files is used as if nothing had happened.
#[test]
fn a_corrupt_store_is_told() {
    let place = Place::protected();
    let store = place.json(&["info"])["store"].as_str().unwrap().to_owned();
    place.json(&["stop"]);
    let db = std::path::Path::new(&store).join("db");
    for entry in fs::read_dir(&db).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, "nonsense").unwrap();
        }
    }
    let ended = place.run(&["--json", "status"]);
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.error()["hint"].is_string(), "{ended:?}");
}
