//! put, get and del, and the forms of keys and values.

use serde_json::json;

use crate::program::Place;

/// If it fails, kvd does not give back what it was given.
#[test]
fn a_value_comes_back_until_it_is_deleted() {
    let place = Place::new();
    assert_eq!(place.run(&["put", "colour", "blue"]).ok().text(), "");
    assert_eq!(place.run(&["get", "colour"]).ok().text(), "blue\n");
    assert_eq!(place.run(&["get", "colour", "--raw"]).ok().text(), "blue");
    assert_eq!(place.run(&["put", "colour", "red"]).ok().text(), "");
    assert_eq!(place.run(&["get", "colour"]).ok().text(), "red\n");
    place.run(&["del", "colour"]).ok();
    let absent = place.run(&["get", "colour"]).code(1);
    assert_eq!(absent.text(), "");
    assert!(absent.stderr.contains("no such key"), "{absent:?}");
    place.run(&["del", "colour"]).ok();
}

#[test]
fn keyspaces_hold_their_own_keys() {
    let place = Place::new();
    place.run(&["--keyspace", "a", "put", "k", "1"]).ok();
    place.run(&["put", "k", "2", "--keyspace", "b"]).ok();
    assert_eq!(place.run(&["get", "k", "--keyspace", "a"]).ok().text(), "1\n");
    assert_eq!(place.run(&["get", "k", "--keyspace", "b"]).ok().text(), "2\n");
    let unknown = place.run(&["get", "k"]).code(2);
    assert!(unknown.stderr.contains("hint: the database has: a, b"), "{unknown:?}");
}

/// If it fails, bytes that are no text are changed on their way through standard input, a database and standard output.
#[test]
fn every_byte_of_standard_input_is_kept() {
    let place = Place::new();
    let value: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    place.run_with(&["put", "bytes", "-"], &value).ok();
    assert_eq!(place.run(&["get", "bytes", "--raw"]).ok().stdout, value);
    let digits = place.run(&["get", "6279746573", "--hex"]).ok();
    let digits = digits.text().trim_end();
    assert_eq!((digits.len(), &digits[..12]), (200_000, "000102030405"));
    place.run_with(&["put", "00ff", "-", "--hex"], format!("{digits}\n").as_bytes()).ok();
    assert_eq!(place.run(&["get", "--hex", "00ff"]).ok().text().trim_end(), digits);
}

#[test]
fn a_value_may_be_empty_or_look_like_a_number() {
    let place = Place::new();
    place.run(&["put", "empty", ""]).ok();
    place.run(&["put", "-1", "-2.5"]).ok();
    assert_eq!(place.run(&["get", "empty"]).ok().text(), "\n");
    assert_eq!(place.run(&["get", "-1"]).ok().text(), "-2.5\n");
}

#[test]
fn json_says_whether_bytes_are_text() {
    let place = Place::new();
    let put = place.run(&["put", "k", "v", "--json"]).ok().json();
    assert_eq!(put, json!({ "seq": 1, "value_bytes": 1, "synced_by_write": true }));
    assert_eq!(place.run(&["get", "k", "--json"]).ok().json(), json!({ "key": "k", "found": true, "value": "v" }));
    place.run(&["put", "ff", "ff00", "--hex"]).ok();
    let binary = json!({ "key_hex": "ff", "found": true, "value_hex": "ff00" });
    assert_eq!(place.run(&["get", "ff", "--hex", "--json"]).ok().json(), binary);
    let absent = place.run(&["get", "nothing", "--json"]).code(1);
    assert_eq!(absent.json(), json!({ "key": "nothing", "found": false }));
    let error: serde_json::Value = serde_json::from_str(&absent.stderr).unwrap();
    assert_eq!(error["exit_code"], 1);
}

/// If it fails, buffered writes are lost although kvd said that all went well.
#[test]
fn buffered_writes_are_there_after_the_command() {
    let place = Place::new();
    let put = place.run(&["put", "k", "v", "--durability", "buffered", "--json"]).ok().json();
    assert_eq!(put["synced_by_write"], false);
    assert_eq!(place.run(&["get", "k", "--recovery", "strict"]).ok().text(), "v\n");
}
