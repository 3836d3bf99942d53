//! scan

use std::io::{BufRead, BufReader, Read};

use crate::program::Place;

fn fruit() -> Place {
    let place = Place::new();
    let lines = "put apple green\nput banana yellow\nput cherry red\nput cranberry red\nput date brown\n";
    place.run_with(&["batch"], lines.as_bytes()).ok();
    place
}

#[test]
fn bounds_prefix_order_and_limit_choose_what_is_printed() {
    let place = fruit();
    let keys = |arguments: &[&str]| {
        let mut all = vec!["scan", "--keys-only"];
        all.extend_from_slice(arguments);
        place.run(&all).ok().text().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys(&[]), "apple banana cherry cranberry date");
    assert_eq!(keys(&["--from", "banana", "--to", "cranberry"]), "banana cherry");
    assert_eq!(keys(&["--prefix", "c"]), "cherry cranberry");
    assert_eq!(keys(&["--prefix", "c", "--from", "ci"]), "cranberry");
    assert_eq!(keys(&["--prefix", "c", "--to", "ci", "--reverse"]), "cherry");
    assert_eq!(keys(&["--reverse", "--limit", "2"]), "date cranberry");
    assert_eq!(keys(&["--from", "banana", "--to", "date", "--reverse"]), "cranberry cherry banana");
    assert_eq!(keys(&["--prefix", "zzz"]), "");
    assert_eq!(keys(&["--limit", "0"]), "");
    place.run(&["scan", "--from", "b", "--to", "a"]).code(2);
}

#[test]
fn lines_are_key_and_value_in_every_form() {
    let place = Place::new();
    place.run_with(&["put", "a key", "-"], b"two\nlines\x00").ok();
    assert_eq!(place.run(&["scan"]).ok().text(), "a\\x20key two\\nlines\\x00\n");
    assert_eq!(place.run(&["scan", "--hex"]).ok().text(), "61206b6579 74776f0a6c696e657300\n");
    assert_eq!(place.run(&["scan", "--raw"]).ok().stdout, b"a key two\nlines\x00\n");
    let json = place.run(&["scan", "--json"]).ok().json();
    assert_eq!(json, serde_json::json!({ "key": "a key", "value": "two\nlines\u{0}" }));
}

/// If it fails, a dump made with `scan` does not restore with `batch`.
#[test]
fn what_scan_prints_batch_reads() {
    let place = Place::new();
    for (key, value) in [(&b"\x00\xff"[..], &b""[..]), (b"a b", b" x\\y "), ("ü".as_bytes(), &[0; 5000])] {
        place.run_with(&["put", "--hex", &hex(key), "-"], hex(value).as_bytes()).ok();
    }
    for form in [&["scan"][..], &["scan", "--hex"]] {
        let printed = place.run(form).ok();
        let lines: String = printed.text().lines().map(|line| format!("put {line}\n")).collect();
        let copy = Place::new();
        let mut batch = vec!["batch"];
        batch.extend_from_slice(&form[1..]);
        copy.run_with(&batch, lines.as_bytes()).ok();
        assert_eq!(copy.run(form).ok().stdout, printed.stdout);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// If it fails, `kvd scan | head` complains.
#[test]
fn a_reader_that_goes_away_ends_the_scan_quietly() {
    let place = Place::new();
    let lines: String = (0..3000).map(|number| format!("put key{number} {}\n", "x".repeat(500))).collect();
    place.run_with(&["batch"], lines.as_bytes()).ok();
    let mut child = place.command(&["scan"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(512, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("key0 x"));
    // The reader is dropped: 1.5 MB do not fit into a pipe.
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
}
