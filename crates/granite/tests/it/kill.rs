//! A process that is killed at a random moment, with a real disk and a real SIGKILL.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use granite::{Background, Db, Durability, KeyspaceOptions, Options, WriteBatch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::workload::{is_long, seed_or};

const CHILD: &str = "GRANITE_KILL_CHILD";

fn options() -> Options {
    Options::new()
        .memory_budget(4 << 20)
        .write_buffer(256 << 10)
        .segment_len(1 << 20)
        .table_len(256 << 10)
        .log_len_max(8 << 20)
        .background(Background::Threads(2))
}

/// The batch of a number: keys of 1 B to a few MiB, values of 0 B to many, all derived from the number.
fn batch(number: u64) -> (Vec<u8>, usize, u8) {
    let mut rng = StdRng::seed_from_u64(number);
    let key_len = match rng.random_range(0..100) {
        0 => rng.random_range(1 << 20..3 << 20),
        1..=10 => rng.random_range(100..5000),
        _ => 9,
    };
    let value_len = match rng.random_range(0..100) {
        0 => rng.random_range(4 << 20..12 << 20),
        1..=30 => rng.random_range(1000..60_000),
        31..=35 => 0,
        _ => rng.random_range(1..300),
    };
    let mut key = number.to_be_bytes().to_vec();
    key.resize(key_len.max(9), b'k');
    (key, value_len, number as u8)
}

fn sync_or_not(number: u64) -> Durability {
    if number.is_multiple_of(3) { Durability::Sync } else { Durability::Buffered }
}

/// The life of the child: writes batches from the first missing one on and acknowledges each through standard output.
fn child(dir: &Path) {
    let db = Db::open(dir, &options()).unwrap();
    let (data, last) = ["data", "last"].map(|name| db.keyspace(name, KeyspaceOptions::new()).unwrap()).into();
    let first = last.get(b"last").unwrap().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()) + 1);
    let mut acks = std::io::stdout();
    for number in first.. {
        let (key, len, fill) = batch(number);
        let mut batch = WriteBatch::new();
        batch.put(&data, &key, &vec![fill; len]);
        // Short keys, and one that goes away again.
        batch.put(&data, &[fill], &number.to_be_bytes());
        batch.delete(&data, &(number / 2).to_be_bytes());
        batch.put(&last, b"last", &number.to_be_bytes());
        db.write(batch, sync_or_not(number)).unwrap();
        acks.write_all(&number.to_be_bytes()).unwrap();
        acks.flush().unwrap();
    }
}

/// Not a test by itself: it is what the test below starts as another process.
#[test]
fn kill_child() {
    if let Some(dir) = std::env::var_os(CHILD) {
        child(Path::new(&dir));
    }
}

/// If it fails, a batch that was acknowledged before a SIGKILL is lost, torn, or reads back as something else.
#[test]
fn kill_at_a_random_moment_loses_no_acknowledged_batch() {
    let seed = seed_or(9000);
    let rounds = if is_long() { 3000 } else { 30 };
    let mut rng = StdRng::seed_from_u64(seed);
    let mut dir = tempfile::tempdir().unwrap();
    let mut checked_from = 0;
    let (mut total, mut acknowledged) = (0, 0);
    for round in 0..rounds {
        if round % 10 == 0 {
            dir = tempfile::tempdir().unwrap();
            checked_from = 0;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::kill_child", "--exact", "--nocapture", "--test-threads=1", "-q"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(5..160)));
        child.kill().unwrap();
        let mut output = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        child.wait().unwrap();
        // The test harness of the child says a line before it begins; every number begins with a zero.
        let start = output.iter().position(|&byte| byte == 0).unwrap_or(output.len());
        let acked = output[start..].chunks_exact(8).last().map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
        acknowledged += u64::from(acked.is_some());
        let context = format!("GRANITE_SEED={seed}, round {round}, acknowledged {acked:?}");
        let db = Db::open(dir.path(), &options()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let (Ok(data), Ok(last)) = (db.existing_keyspace("data"), db.existing_keyspace("last")) else {
            assert!(acked.is_none(), "{context}: the keyspaces are gone");
            continue;
        };
        let found = last.get(b"last").unwrap().map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
        assert!(found >= acked, "{context}: the last batch is {found:?}");
        let Some(found) = found else { continue };
        // All of the newest, and some of those that were checked before.
        for number in (0..=found).filter(|&number| number >= checked_from || rng.random_ratio(1, 20)) {
            let (key, len, fill) = batch(number);
            let value = data.get(&key).unwrap();
            let value = value.unwrap_or_else(|| panic!("{context}: batch {number} is gone"));
            assert!(value.len() == len && value.iter().all(|&byte| byte == fill), "{context}: the value of {number}");
        }
        assert_eq!(data.get(&[found as u8]).unwrap().unwrap(), found.to_be_bytes(), "{context}: half of a batch");
        total += found + 1 - checked_from;
        checked_from = found + 1;
    }
    println!("GRANITE_SEED={seed}: {rounds} kills, {total} batches");
    assert!(total > rounds, "only {total} batches were written before {rounds} kills");
    assert!(
        acknowledged > rounds / 3,
        "only {acknowledged} of {rounds} processes lived long enough to promise anything"
    );
}
