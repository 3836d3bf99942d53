//! A child process is killed at any moment, on the real disk: what it acknowledged is there, and nothing is half there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use northstar::{Database, Durability, Options, Reader, Tree};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::basics::assert_sound;

/// Set in the child: where it works.
const CHILD: &str = "NORTHSTAR_KILL_CHILD";
const LONG: &str = "NORTHSTAR_LONG";

fn options() -> Options {
    Options::new().memory_budget(northstar::MIN_MEMORY_BUDGET).checkpoint_log_len(40_000).segment_len(60_000)
}

/// What transaction `n` puts under each of its keys.
fn value(n: u64) -> Vec<u8> {
    let mut value = n.to_be_bytes().to_vec();
    value.resize(8 + (n * 37 % 300) as usize + if n.is_multiple_of(40) { 9000 } else { 0 }, n as u8);
    value
}

/// The child: commits without end and says each number once it is acknowledged. It is no test of its own.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let db = Database::open(path, options()).unwrap();
    let mut out = std::io::stdout().lock();
    loop {
        let mut txn = db.begin().unwrap();
        let n = txn.txn().0;
        for part in 0..5u64 {
            txn.put(Tree::DEFAULT, &((n * 5 + part * part) % 500).to_be_bytes(), &value(n)).unwrap();
        }
        txn.put(Tree::DEFAULT, b"newest", &n.to_be_bytes()).unwrap();
        txn.commit_with(if n.is_multiple_of(3) { Durability::Sync } else { Durability::Buffered }).unwrap();
        writeln!(out, "done {n}").unwrap();
        out.flush().unwrap();
    }
}

fn check(path: &Path, acknowledged: u64) -> u64 {
    let reader = Reader::open(path, &options()).unwrap();
    let db = Database::open(path, options()).unwrap();
    let newest = db.snapshot().txn().0;
    assert!(newest >= acknowledged, "{newest} of {acknowledged} acknowledged transactions are left");
    assert_eq!(reader.refresh().unwrap().0, newest);
    let mut model = std::collections::BTreeMap::new();
    for n in newest.saturating_sub(600).max(1)..=newest {
        model.extend((0..5u64).map(|part| ((n * 5 + part * part) % 500, n)));
    }
    for (key, n) in model {
        for snapshot in [db.snapshot(), reader.snapshot()] {
            assert!(
                *snapshot.get(Tree::DEFAULT, &key.to_be_bytes()).unwrap().unwrap() == *value(n),
                "{key} is not of {n}"
            );
        }
    }
    assert_sound(&db);
    newest
}

/// A kill would lose what was acknowledged, or leave a file that cannot be opened.
#[test]
fn a_killed_process_leaves_what_it_acknowledged() {
    let rounds = if std::env::var_os(LONG).is_some() { 2000 } else { 12 };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut rng = StdRng::seed_from_u64(0x5eed);
    let mut newest = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let count = rng.random_range(0..250);
        let mut acknowledged = newest;
        for line in
            lines.by_ref().map_while(Result::ok).filter_map(|line| line.strip_prefix("done ")?.parse().ok()).take(count)
        {
            acknowledged = line;
        }
        child.kill().unwrap();
        // What it said before it died counts too.
        for line in lines.map_while(Result::ok) {
            acknowledged = line.strip_prefix("done ").and_then(|n| n.parse().ok()).unwrap_or(acknowledged);
        }
        child.wait().unwrap();
        if path.exists() {
            newest = check(&path, acknowledged);
        }
        assert!(newest >= acknowledged, "round {round}");
    }
    assert!(newest > 300, "{newest} transactions in all rounds");
}
