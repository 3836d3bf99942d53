//! batch

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::program::Place;

#[test]
fn lines_become_one_batch_or_several() {
    let place = Place::new();
    let lines = b"put a 1\nput b 2\n\ndel a\nput c 3\nput d last line without an end";
    assert_eq!(place.run_with(&["batch"], lines).ok().text(), "batches 1, operations 5\n");
    assert_eq!(place.run(&["scan"]).ok().text(), "b 2\nc 3\nd last line without an end\n");
    let several = place.run_with(&["batch", "--every", "2", "--json"], lines).ok().json();
    assert_eq!(several, serde_json::json!({ "batches": 3, "operations": 5 }));
    assert_eq!(place.run_with(&["batch"], b"").ok().text(), "batches 0, operations 0\n");
}

/// If it fails, half of what was meant as one batch is written.
#[test]
fn a_wrong_line_leaves_nothing_of_its_batch() {
    let place = Place::new();
    let wrong = place.run_with(&["batch"], b"put a 1\nput b\n").code(2);
    assert!(wrong.stderr.contains("nothing was committed: line 2"), "{wrong:?}");
    assert!(wrong.stderr.contains("hint: a line is"), "{wrong:?}");
    assert_eq!(place.run(&["scan"]).ok().text(), "");
    let later = place.run_with(&["batch", "--every", "2"], b"put a 1\nput b 2\nput c 3\nput  4\n").code(2);
    assert!(later.stderr.contains("stopped after 1 committed batches of 2 operations"), "{later:?}");
    assert_eq!(place.run(&["scan"]).ok().text(), "a 1\nb 2\n");
}

/// If it fails, a script that waits for an acknowledgement waits for ever, or takes more for durable than is.
#[test]
fn acknowledgements_come_while_the_command_runs() {
    let place = Place::new();
    let mut child = place
        .command(&["batch", "--every", "2", "--ack"])
        .stdin(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"put a 1\nput b 2\nput c 3\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "durable: batch 1, 2 operations, sequence 2");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines.next().is_none());
    assert_eq!(place.run(&["scan"]).ok().text(), "a 1\nb 2\n");
}

#[test]
fn there_is_one_acknowledgement_for_each_batch() {
    let place = Place::new();
    let lines: String = (0..5).map(|number| format!("put {number} x\n")).collect();
    let acknowledged = place.run_with(&["batch", "--every", "2", "--ack"], lines.as_bytes()).ok();
    assert_eq!(acknowledged.text().lines().count(), 3);
    let json = place.run_with(&["batch", "--ack", "--json"], lines.as_bytes()).ok().json();
    assert_eq!(json, serde_json::json!({ "batch": 1, "operations": 5, "seq": 10 }));
    place.run_with(&["batch", "--ack", "--durability", "buffered"], lines.as_bytes()).code(2);
}

/// If it fails, kvd goes on writing although nobody learns what is durable, or says that all is well.
#[test]
fn it_stops_when_nobody_reads_the_acknowledgements() {
    let place = Place::new();
    let mut child = place.command(&["batch", "--every", "1", "--ack"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"put a 1\nput b 2\n").unwrap();
    drop(stdin);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(5));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("stopped after 1 durable batches"));
    assert_eq!(place.run(&["scan"]).ok().text(), "a 1\n");
}
